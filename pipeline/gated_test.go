package pipeline_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// gated is an operator whose releases go by the gate, and by what three vantages say that they saw.
type gated struct {
	*vantagePoints
	domains map[string]*sightOf
	blind   []string                 // vantages that see every connection fail
	dated   map[string]time.Duration // by how much vantages date their looks ahead
	key     func(vantage string) ed25519.PrivateKey
	held    map[string]*policy.Policy // the entries that the vantages hold the domains against; absent: none
}

// sightOf is what there is to see of a domain.
type sightOf struct {
	mx      string
	expired bool     // its certificate
	gone    bool     // it does not exist
	sts     string   // mode, "" for no policy
	stsMXs  []string // its MX patterns; nil: mx
	txt     string   // proof of control
}

func newGated(t *testing.T, domains map[string]*sightOf) *gated {
	t.Helper()
	g := &gated{vantagePoints: newVantagePoints(t, 2), domains: domains, key: vantageKey}
	g.Gate, g.SkipVerify = &pipeline.Gate{}, true
	paths, err := filepath.Glob(g.path("list/*/*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no fragments to replace", err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		var files []probe.EvidenceFile
		for _, name := range vantageNames {
			files = append(files, evidenceFile(name, g.scan(name)))
		}
		return files, nil
	}
	return g
}

// source writes the whole list: lines like `"a.example": {"mode":…}`.
func (g *gated) source(lines ...string) {
	g.t.Helper()
	g.write("list/all.json", `{"policies": {`+strings.Join(lines, ",\n")+"}}\n")
}

// scan is the evidence of one vantage at this moment.
func (g *gated) scan(vantage string) []byte {
	g.t.Helper()
	var out bytes.Buffer
	at, roots := g.now.UTC().Format(policy.TimeFormat), strings.Repeat("ab", 32)
	var h probe.Header
	err := json.Unmarshal(fmt.Appendf(nil, `{"canary":{"codes":[],"domain":"canary.example","verdict":"pass"},"ehlo":"%s.example","format":"policylist/evidence/v1",
		"kind":"header","roots":"%s","roots-version":"1","started":"%s","tool":"test","vantage":"%s"}`, vantage, roots, at, vantage), &h)
	w, err1 := probe.NewEvidence(&out, h)
	err = errors.Join(err, err1)
	var names []string
	for name := range g.domains {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		d, e := policy.ParseDomain(name)
		o := g.domains[name].observation(name, g.now, slices.Contains(g.blind, vantage))
		at := g.now.Add(g.dated[vantage]).UTC().Format(policy.TimeFormat)
		j := probe.Judge(d, o, policy.Policy{}, g.now, 0)
		line, e2 := json.Marshal(probe.Record{At: at, Codes: append([]string{}, j.Codes...), Domain: name, Kind: "domain", Observed: o, Roots: roots,
			Since: at, Tool: "test", Vantage: vantage, Verdict: j.Verdict})
		if p := g.held[name]; p != nil {
			line = bytes.Replace(line, []byte(`"roots":`), fmt.Appendf(nil, `"policy":%s,"roots":`, p.AppendJSON(nil)), 1)
		}
		err = errors.Join(err, e, e2, w.Add(probe.Result{Line: line}))
	}
	if err = errors.Join(err, w.Sign(g.key(vantage))); err != nil {
		g.t.Fatal(err)
	}
	return out.Bytes()
}

func (s *sightOf) observation(name string, now time.Time, blind bool) probe.Observation {
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format(policy.TimeFormat) }
	const day = 24 * time.Hour
	if s.gone {
		return probe.Observation{Lookups: []probe.Lookup{{Name: name, Status: "nxdomain", Type: "MX"}}, Route: "none"}
	}
	ends := 30 * day
	if s.expired {
		ends = -day
	}
	session := probe.Session{
		Address: "192.0.2.1", Stage: probe.StageDone, Offer: "starttls", Greeting: &probe.Reply{Code: 220, Lines: []string{}}, EHLO: &probe.Reply{Code: 250, Lines: []string{}}, STARTTLS: &probe.Reply{Code: 220, Lines: []string{}},
		TLS: &probe.TLS{Chain: []string{}, Key: "ecdsa-256", Match: "yes", NotBefore: stamp(-60 * day), NotAfter: stamp(ends), Suite: "x", Trust: probe.TrustOK, Version: "TLS 1.3"},
	}
	if blind {
		session = probe.Session{Address: "192.0.2.1", Stage: probe.StageConnect, Failure: probe.FailNoRoute}
	}
	o := probe.Observation{
		Hosts: []probe.Host{{Name: s.mx, Preference: 10, Sessions: []probe.Session{session},
			Lookups: []probe.Lookup{{Name: s.mx, Status: "ok", Type: "A", Records: []string{"192.0.2.1"}}}}},
		Lookups: []probe.Lookup{{Name: name, Status: "ok", Type: "MX", Records: []string{"10 " + s.mx + "."}}}, Route: "mx",
		STS: &probe.STS{Record: probe.Lookup{Name: "_mta-sts." + name, Status: "nxdomain", Type: "TXT"}, Status: "none"},
	}
	if s.sts != "" {
		o.STS.Status, o.STS.Policy = "ok", &probe.STSPolicy{MaxAge: 10886400, Mode: s.sts, Track: "self-service", MXs: s.stsMXs}
		if s.stsMXs == nil {
			o.STS.Policy.MXs = []string{s.mx}
		}
	}
	reading := proof.Parse([]string{s.txt}, now)
	o.Proof = &probe.Proof{Change: reading.Change, Kind: string(reading.Kind), Status: string(reading.Status), Record: probe.Lookup{Name: proof.Name + "." + name, Status: "ok", Type: "TXT"}}
	if !reading.Expires.IsZero() {
		o.Proof.Expires = reading.Expires.Format(policy.TimeFormat)
	}
	return o
}

// day releases a day later; what it changed is told as "reason domain", what it holds as "domain codes".
func (g *gated) day() (changed, held []string) {
	g.t.Helper()
	g.now = g.now.Add(23 * time.Hour)
	out := g.release()
	for _, c := range out.Changes() {
		changed = append(changed, c.Reason+" "+c.Domain.String())
	}
	for _, f := range out.Findings {
		g.t.Errorf("%s: %s", f.Code, f.Summary)
	}
	return changed, holds(out.Held)
}

func holds(held []pipeline.Held) (out []string) {
	for _, h := range held {
		out = append(out, h.Change.Domain.String()+" "+strings.Join(h.Codes, " "))
	}
	return out
}

// until releases daily until something changes, and returns after how many days it did.
func (g *gated) until(change string) int {
	g.t.Helper()
	for days := 1; days < 50; days++ {
		changed, held := g.day()
		switch {
		case slices.Equal(changed, []string{change}):
			return days
		case len(changed) > 0:
			g.t.Fatalf("day %d: %v, waiting for %q", days, changed, change)
		case days == 49:
			g.t.Fatalf("%q never came; held %v", change, held)
		}
	}
	return 0
}

func (g *gated) is(days, want int, what string) {
	g.t.Helper()
	if days != want {
		g.t.Errorf("%s after %d days, not %d", what, days, want)
	}
}

// TestGateOverWeeks is the life of two domains: one joins, is promoted, breaks and is restored, the other joins late and
// leaves by its owner's word alone. The publisher's memory is lost in between.
func TestGateOverWeeks(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	entryA := `"a.example": {"mode":"%s","mxs":["mx.a.example"],"managed-by":"mta-sts"}`
	entryB := `"b.example": {"mode":"testing","mxs":["mx.b.example"]}`
	g.source(fmt.Sprintf(entryA, "testing"), entryB)
	if changed, held := g.day(); !slices.Equal(changed, []string{"add.testing a.example"}) || !slices.Equal(held, []string{"b.example proof.missing"}) {
		t.Fatal(changed, held)
	}
	b.txt = proof.For(*policyOf(t, "testing", "mx.b.example"), g.now.AddDate(0, 0, 50)).String()
	g.is(g.until("add.testing b.example"), 1, "joined")

	g.source(fmt.Sprintf(entryA, "enforce"), entryB)
	g.is(g.until("promote.evidence a.example"), 13, "promoted") // the policy has said enforce since the first day
	g.blind = []string{"north", "south"}
	if changed, held := g.day(); len(changed)+len(held) > 0 {
		t.Errorf("with two vantages blind: %v, held %v", changed, held)
	}
	g.blind = nil
	g.day()
	a.expired = true
	g.is(g.until("demote.auto a.example"), 3, "demoted")
	a.expired = false
	if _, held := g.day(); !slices.Equal(held, []string{"a.example gate.waiting"}) {
		t.Error(held)
	}
	// What the gate remembers is lost; the log and the evidence in the outbox still tell.
	for _, path := range []string{"looks.jsonl.zst", "outbox/3/evidence.jsonl.zst"} {
		if err := os.Remove(filepath.Join(g.State, path)); err != nil {
			t.Fatal(err)
		}
	}
	g.is(g.until("restore.auto a.example"), 1, "restored")

	b.txt = "v=STP1; remove; exp=" + g.now.AddDate(0, 0, 30).Format(time.DateOnly)
	g.is(g.until("remove.owner b.example"), 4, "left") // 72 hours from its first look on
	if _, held := g.day(); !slices.Equal(held, []string{"b.example proof.other"}) {
		t.Error(held)
	}
	b.txt, b.gone = "", true
	g.source(fmt.Sprintf(entryA, "enforce"))
	if changed, held := g.day(); len(changed)+len(held) > 0 {
		t.Errorf("what is neither listed nor wanted: %v, held %v", changed, held)
	}
}

func policyOf(t testing.TB, mode string, mxs ...string) *policy.Policy {
	t.Helper()
	m, err := policy.ParseMode(mode)
	if err != nil {
		t.Fatal(err)
	}
	var patterns []policy.MXPattern
	for _, mx := range mxs {
		p, err := policy.ParseMXPattern(mx)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	p, err := policy.NewPolicy(m, patterns)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}
