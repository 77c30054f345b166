package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// printer shows results one by one, for people or for programs.
func printer(out io.Writer, asJSON bool) func(probe.Result) error {
	if !asJSON {
		return func(r probe.Result) error { return printResult(out, r) }
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(r probe.Result) error {
		return enc.Encode(struct {
			Domain   string           `json:"domain"`
			Verdict  probe.Verdict    `json:"verdict"`
			Since    time.Time        `json:"since"`
			Codes    []string         `json:"codes"`
			Findings []policy.Finding `json:"findings"`
		}{r.Domain.String(), r.Verdict, r.Since, append([]string{}, r.Codes...), append([]policy.Finding{}, r.Findings...)})
	}
}

func printResult(out io.Writer, r probe.Result) error {
	line := fmt.Sprintf("%s  %s", r.Domain, r.Verdict)
	if len(r.Codes) > 0 {
		line += "  " + strings.Join(r.Codes, " ")
	}
	if _, err := fmt.Fprintln(out, line); err != nil {
		return err
	}
	for _, f := range r.Findings {
		if _, err := fmt.Fprintf(out, "  %s %s: %s\n    fix: %s\n", f.Severity, f.Code, term.Escape(f.Summary), f.Fix); err != nil {
			return err
		}
	}
	return nil
}

func readVantageKey(path string) (ed25519.PrivateKey, error) {
	text, err := readFile(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no PEM block \"PRIVATE KEY\"", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that is not an Ed25519 key", path)
	}
	return ed, nil
}
