package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// evidenceFile is the file of --out while it is written: under a temporary name, so that what has the name is whole.
// Without --out all methods do nothing.
type evidenceFile struct {
	path string
	file *os.File
	to   *probe.EvidenceWriter
	key  ed25519.PrivateKey // nil: unsigned
}

func (f *probeFlags) openEvidence(ctx context.Context, p *probe.Prober) (*evidenceFile, error) {
	if f.out == "" {
		return &evidenceFile{}, nil
	}
	e := &evidenceFile{path: f.out}
	if f.vantageKey != "" {
		key, err := readVantageKey(f.vantageKey)
		if err != nil {
			return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("--vantage-key: %w", err)}
		}
		e.key = key
	}
	header, err := p.Header(ctx, f.shard)
	if err != nil {
		return nil, err
	}
	if e.file, err = os.CreateTemp(filepath.Dir(f.out), filepath.Base(f.out)+".*.tmp"); err != nil {
		return nil, err
	}
	if e.to, err = probe.NewEvidence(e.file, header); err != nil {
		e.discard()
		return nil, err
	}
	return e, nil
}

func (e *evidenceFile) add(r probe.Result) error {
	if e.file == nil {
		return nil
	}
	return e.to.Add(r)
}

// finish signs, makes the file durable and gives it its name.
func (e *evidenceFile) finish() error {
	if e.file == nil {
		return nil
	}
	if e.key != nil {
		if err := e.to.Sign(e.key); err != nil {
			return err
		}
	}
	err := errors.Join(e.file.Chmod(0o644), e.file.Sync(), e.file.Close())
	if err == nil {
		err = os.Rename(e.file.Name(), e.path)
	}
	return err
}

// discard removes what was not finished; after finish there is nothing to remove.
func (e *evidenceFile) discard() {
	if e.file != nil {
		e.file.Close()
		os.Remove(e.file.Name())
	}
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
