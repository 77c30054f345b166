package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// trustReport is a trust version as it is shown: the shape of --json.
type trustReport struct {
	File       string           `json:"file,omitempty"`
	Version    int64            `json:"version"`
	Digest     string           `json:"fingerprint"` // SHA-256 of the text, lower-case hex
	Origin     string           `json:"origin"`
	Expires    string           `json:"expires"`
	Expired    bool             `json:"expired"`
	Root       trustRole        `json:"root"`
	Release    trustRole        `json:"release"`
	Log        trustKey         `json:"log"`
	Witnesses  []string         `json:"witness_policy"` // C2SP tlog-policy lines
	Signatures []trustSignature `json:"signatures"`
	Complete   bool             `json:"complete"` // all thresholds that can be checked here are met

	// Before is the version that the two next are about, 0 when it is not there.
	Before  int64                      `json:"version_before"`
	Changes []transparency.TrustChange `json:"changes"`

	witnessed bool
	left      time.Duration
}

type trustRole struct {
	Threshold int        `json:"threshold"`
	Keys      []trustKey `json:"keys"`
}

// trustKey is a key: Name and VKey of a note key, Algorithm and SPKI of a release key.
type trustKey struct {
	Name        string `json:"name,omitempty"`
	VKey        string `json:"vkey,omitempty"`
	Algorithm   string `json:"algorithm,omitempty"`
	SPKI        string `json:"spki,omitempty"`   // base64
	Fingerprint string `json:"fingerprint"`      // SHA-256 of the SubjectPublicKeyInfo, lower-case hex
	Signed      bool   `json:"signed,omitempty"` // this version, as a root key of it
}

// trustSignature counts the signatures of one version's root keys.
type trustSignature struct {
	Version   int64    `json:"version"` // whose root keys
	Threshold int      `json:"threshold"`
	Keys      int      `json:"keys"`
	Signed    []string `json:"signed"`  // names
	Missing   []string `json:"missing"` // names of those that could still sign
}

func (s trustSignature) enough() bool { return len(s.Signed) >= s.Threshold }

func describeTrust(t, before *transparency.Trust, now time.Time) trustReport {
	r := trustReport{
		Version: t.Version, Digest: fmt.Sprintf("%x", t.Digest()), Origin: t.Origin, Expires: t.Expires.Format(policy.TimeFormat),
		Expired: now.After(t.Expires), Root: trustRole{Threshold: t.RootK}, Release: trustRole{Threshold: t.ReleaseK},
		Log: noteTrustKey(t.LogVKey()), Witnesses: strings.Split(strings.TrimSuffix(t.Witnesses.String(), "\n"), "\n"),
		Changes: []transparency.TrustChange{}, witnessed: !t.Witnesses.IsNone(), left: t.Expires.Sub(now),
	}
	signed := t.SignedBy(t)
	for _, vkey := range t.RootVKeys() {
		k := noteTrustKey(vkey)
		k.Signed = slices.Contains(signed, vkey)
		r.Root.Keys = append(r.Root.Keys, k)
	}
	for _, key := range t.ReleaseKeys() {
		r.Release.Keys = append(r.Release.Keys, trustKey{Algorithm: algorithm(key), SPKI: key.String(), Fingerprint: fingerprint(key.SPKI())})
	}
	if before != nil && before.Version == t.Version-1 {
		r.Before, r.Changes = before.Version, t.Changes(before)
		r.Signatures = append(r.Signatures, countSignatures(t, before))
	}
	r.Signatures = append(r.Signatures, countSignatures(t, t))
	r.Complete = !slices.ContainsFunc(r.Signatures, func(s trustSignature) bool { return !s.enough() })
	return r
}

func noteTrustKey(vkey string) trustKey {
	name, _, _ := strings.Cut(vkey, "+")
	return trustKey{Name: name, VKey: vkey, Fingerprint: noteFingerprint(vkey)}
}

func algorithm(k transparency.ReleaseKey) string {
	if public, err := x509.ParsePKIXPublicKey(k.SPKI()); err == nil {
		if _, ok := public.(ed25519.PublicKey); ok {
			return "ed25519"
		}
	}
	return "ecdsa-p256"
}

func countSignatures(t, by *transparency.Trust) trustSignature {
	s := trustSignature{Version: by.Version, Threshold: by.RootK, Keys: len(by.RootVKeys()), Signed: []string{}, Missing: []string{}}
	signed := t.SignedBy(by)
	for _, vkey := range by.RootVKeys() {
		name, _, _ := strings.Cut(vkey, "+")
		if slices.Contains(signed, vkey) {
			s.Signed = append(s.Signed, name)
		} else {
			s.Missing = append(s.Missing, name)
		}
	}
	return s
}

// need says whose signatures a draft takes.
func (r trustReport) need() string {
	var parts []string
	for _, s := range r.Signatures {
		if len(r.Signatures) == 1 {
			parts = append(parts, fmt.Sprintf("%d of %d root keys", s.Threshold, s.Keys))
		} else if len(parts) == 0 {
			parts = append(parts, fmt.Sprintf("%d of %d root keys of version %d", s.Threshold, s.Keys, s.Version))
		} else {
			parts = append(parts, fmt.Sprintf("%d of %d of version %d", s.Threshold, s.Keys, s.Version))
		}
	}
	return strings.Join(parts, " and ")
}

// verdict is the last line: whether enough have signed, else who is missing.
func (r trustReport) verdict() string {
	var parts []string
	word := "complete"
	for _, s := range r.Signatures {
		of := "root keys"
		if r.Before != 0 {
			of += fmt.Sprintf(" of version %d", s.Version)
		}
		part := fmt.Sprintf("%d of %d %s have signed", len(s.Signed), s.Keys, of)
		if !s.enough() {
			word = "incomplete"
			part += fmt.Sprintf(", it takes %d (not yet: %s)", s.Threshold, strings.Join(s.Missing, ", "))
		}
		parts = append(parts, part)
	}
	if r.Before == 0 && r.Version > 1 {
		parts = append(parts, fmt.Sprintf("version %d is not here, so its signatures were not checked", r.Version-1))
	}
	if r.Expired {
		parts = append(parts, "EXPIRED: no release is made or accepted under it any more")
	}
	return term.Escape(word + ": " + strings.Join(parts, "; "))
}

func printTrust(w io.Writer, r trustReport) {
	left := "expired"
	if !r.Expired {
		left = "in " + term.Plural(int(r.left.Round(time.Hour)/(24*time.Hour)), "day")
	}
	fmt.Fprintf(w, "trust version %d of %s\n  fingerprint  %s\n  expires      %s (%s)\n", r.Version, term.Escape(r.Origin), r.Digest, r.Expires, left)
	fmt.Fprintf(w, "  root keys    %d of %d must sign a version\n", r.Root.Threshold, len(r.Root.Keys))
	for _, k := range r.Root.Keys {
		signed := ""
		if k.Signed {
			signed = "  signed"
		}
		fmt.Fprintf(w, "    %s  %s%s\n", term.Escape(k.Name), k.Fingerprint, signed)
	}
	fmt.Fprintf(w, "  release keys %d of %d must sign a release\n", r.Release.Threshold, len(r.Release.Keys))
	for _, k := range r.Release.Keys {
		fmt.Fprintf(w, "    %-10s  %s\n", k.Algorithm, k.Fingerprint)
	}
	fmt.Fprintf(w, "  log key\n    %s  %s\n", term.Escape(r.Log.Name), r.Log.Fingerprint)
	if r.witnessed {
		fmt.Fprintln(w, "  witnesses")
		for _, l := range r.Witnesses {
			fmt.Fprintln(w, "    "+term.Escape(l))
		}
	} else {
		fmt.Fprintln(w, "  witnesses    none: checkpoints are not witnessed")
	}
	if r.Before == 0 {
		return
	}
	fmt.Fprintf(w, "  changes against version %d\n", r.Before)
	for _, c := range r.Changes {
		if c.Removed != "" {
			fmt.Fprintf(w, "    - %s  %s\n", c.Item, term.Escape(c.Removed))
		}
		if c.Added != "" {
			fmt.Fprintf(w, "    + %s  %s\n", c.Item, term.Escape(c.Added))
		}
	}
}

func printTrustJSON(c *cobra.Command, r trustReport) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
