package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// evidenceFormat names the file format; it stands in the header and in what a vantage signs.
const evidenceFormat = "policylist/evidence/v1"

// maxLine caps one line of evidence. The worst that a hostile domain can make of it is less, see trimAbove.
const maxLine = 4 << 20

// MaxEvidence is the most that one evidence file may have: a million domains at 4 KB.
const MaxEvidence = 4 << 30

// MaxMerged is the most that a merged file may have: four vantages whose files are as large as any.
const MaxMerged = 16 << 30

// ErrEvidence is what a refused evidence file wraps.
var ErrEvidence = errors.New("not valid evidence")

// Header is the first line of an evidence file: who looked, with what, since when. Readers accept members that they do
// not know.
type Header struct {
	Canary       *canaryLine `json:"canary,omitempty"`
	EHLO         string      `json:"ehlo"`
	Format       string      `json:"format"`
	Kind         string      `json:"kind"`  // "header"
	Roots        string      `json:"roots"` // Roots.Digest
	RootsVersion string      `json:"roots-version"`
	Shard        string      `json:"shard,omitempty"` // "2/4"
	Started      string      `json:"started"`
	Tool         string      `json:"tool"`
	TrustAD      uint        `json:"trust-ad,omitempty"` // 1: Lookup.Secure can be believed
	Vantage      string      `json:"vantage"`
}

type canaryLine struct {
	Codes   []string `json:"codes"`
	Domain  string   `json:"domain"`
	Verdict Verdict  `json:"verdict"`
}

// Record is one domain's line. It can be judged again: Judge(Domain, Observed, Policy, At, …). A line may have more
// members, which a later version wrote: see Line.
type Record struct {
	At       string      `json:"at"`
	Codes    []string    `json:"codes"`
	Domain   string      `json:"domain"`
	Kind     string      `json:"kind"` // "domain"
	Observed Observation `json:"observed"`
	Policy   *listPolicy `json:"policy,omitempty"` // the list's entry that it was held against
	Roots    string      `json:"roots"`
	Since    string      `json:"since"`
	Tool     string      `json:"tool"`
	Vantage  string      `json:"vantage"`
	Verdict  Verdict     `json:"verdict"`
}

// listPolicy is a policy.Policy in the spelling of the list.
type listPolicy struct {
	Mode string   `json:"mode"`
	MXs  []string `json:"mxs"`
}

// signatureLine is the last line of a signed file.
type signatureLine struct {
	Key       string `json:"key"`  // base64 SHA-256 of the vantage key's SubjectPublicKeyInfo
	Kind      string `json:"kind"` // "signature"
	SHA256    string `json:"sha256"`
	Signature string `json:"signature"`
}

// result puts judgement and observation together; the evidence line is made here.
func (p *Prober) result(t Target, o Observation, j Judgement) Result {
	now := p.opts.Clock.Now().UTC().Truncate(time.Second)
	r := Result{Domain: t.Domain, Judgement: j, Since: now, Keys: o.hostKeys()}
	if old, ok := p.opts.Previous[t.Domain]; ok && old.Verdict == j.Verdict {
		if old.Since.Before(now) {
			r.Since = old.Since
		}
	}
	line := Record{
		At: formatTime(now), Codes: append([]string{}, j.Codes...), Domain: t.Domain.String(), Kind: "domain", Observed: o,
		Roots: p.opts.Roots.Digest, Since: formatTime(r.Since), Tool: p.opts.Tool, Vantage: p.opts.Vantage, Verdict: j.Verdict,
	}
	if len(t.Policy.MXs) > 0 {
		line.Policy = &listPolicy{Mode: t.Policy.Mode.String()}
		for _, mx := range t.Policy.MXs {
			line.Policy.MXs = append(line.Policy.MXs, mx.String())
		}
	}
	if r.Line = appendLine(nil, line); len(r.Line) > trimAbove {
		line.Observed = o.trimmed()
		r.Line = appendLine(nil, line)
	}
	return r
}

// Header describes the scan that p makes; it looks at the canary first. shard is "" for a whole scan. The error is
// ctx's.
func (p *Prober) Header(ctx context.Context, shard string) (Header, error) {
	canary, err := p.Canary(ctx)
	if err != nil {
		return Header{}, err
	}
	h := Header{
		Canary: canary.canaryLine(), EHLO: p.visitor.ehlo, Format: evidenceFormat, Kind: "header",
		Roots: p.opts.Roots.Digest, RootsVersion: p.opts.Roots.Version, Shard: shard,
		Started: formatTime(p.opts.Clock.Now()), Tool: p.opts.Tool, Vantage: p.opts.Vantage,
	}
	if p.opts.TrustAD {
		h.TrustAD = 1
	}
	return h, nil
}

// appendLine writes v as one canonical line without its end. The types of this file hold their keys in byte order and
// only printable ASCII, which is all that encoding/json needs to come out canonical.
func appendLine(b []byte, v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("evidence line: %v", err)) // strings, integers, slices and structs always encode
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// readCanonical reads one canonical line of a closed format into v: unknown keys, other order, other spelling and white
// space are refused, since v encoded again must give the same bytes.
func readCanonical(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrEvidence, err)
	}
	if !bytes.Equal(appendLine(nil, v), line) {
		return fmt.Errorf("%w: not in canonical form", ErrEvidence)
	}
	// encoding/json gives some things back unchanged that canonical JSON cannot hold: \u001b, null for an empty list.
	if _, err := canonical.Members(line); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return nil
}
