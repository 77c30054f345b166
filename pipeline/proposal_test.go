package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// proposing is a source and what a domain shows of itself.
type proposing struct {
	t      *testing.T
	source string
	seen   pipeline.Sighted
}

func newProposing(t *testing.T, fragment string) *proposing {
	t.Helper()
	p := &proposing{t: t, source: t.TempDir()}
	p.seen.At = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p.mx("mx.a.example")
	p.seen.STS.Status = discovery.STSNone
	p.seen.Proof.Status = proof.None
	p.file("list.json", `{"author": "A", "origin": "list.example/a"}`)
	p.file("all.json", fragment)
	return p
}

func (p *proposing) file(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.source, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proposing) mx(names ...string) {
	p.seen.Route = discovery.Route{Kind: discovery.RouteHosts}
	for _, name := range names {
		h := discovery.Host{Name: name}
		if d, err := policy.ParseDomain(name); err == nil {
			h.Domain = d
		} else {
			h.Flaw = discovery.FlawSyntax
		}
		p.seen.Route.Hosts = append(p.seen.Route.Hosts, h)
	}
}

func (p *proposing) sts(mode mtasts.Mode, age time.Duration, mxs ...string) {
	p.t.Helper()
	p.seen.STS.Status = discovery.STSOK
	p.seen.STS.Policy = mtasts.Policy{Mode: mode, MaxAge: age, MXs: policyOf(p.t, "testing", mxs...).MXs}
}

func (p *proposing) propose(w pipeline.Wish) (*pipeline.Proposal, error) {
	p.t.Helper()
	var err error
	if w.Domain, err = policy.ParseDomain("a.example"); err != nil {
		p.t.Fatal(err)
	}
	if w.Kind == "" {
		w.Kind = proof.Change
	}
	return pipeline.Propose(p.t.Context(), p.source, w, p.seen)
}

const weeks18 = 18 * 7 * 24 * time.Hour

// TestProposeChoosesTheWay is rule R31: what a domain publishes decides how its owner's word reaches the list.
func TestProposeChoosesTheWay(t *testing.T) {
	for _, c := range []struct {
		name     string
		fragment string
		prepare  func(p *proposing)
		wish     pipeline.Wish
		way      pipeline.Way
		entry    string // as the file has it
	}{
		{"nothing but MX records", `{"policies": {}}`, func(p *proposing) { p.mx("mx.a.example", "ms1.msv1.invalid", "mx_1.a.example") }, pipeline.Wish{},
			pipeline.WayProof, `"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}`},
		{"a long MTA-STS policy", `{"policies": {}}`, func(p *proposing) { p.sts(mtasts.Enforce, weeks18, ".a.example") }, pipeline.Wish{},
			pipeline.WaySTS, `"a.example": {"mode": "testing", "mxs": [".a.example"], "managed-by": "mta-sts"}`},
		{"one of less than 18 weeks", `{"policies": {}}`, func(p *proposing) { p.sts(mtasts.Testing, weeks18-time.Second, "mx.a.example") }, pipeline.Wish{},
			pipeline.WayBoth, `"a.example": {"mode": "testing", "mxs": ["mx.a.example"], "managed-by": "mta-sts"}`},
		{"one of less than a day", `{"policies": {}}`, func(p *proposing) { p.sts(mtasts.Enforce, 24*time.Hour-time.Second, "mx.a.example") }, pipeline.Wish{},
			pipeline.WayProof, `"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}`},
		{"mode none", `{"policies": {}}`, func(p *proposing) { p.sts(mtasts.None, weeks18, "mx.b.example") }, pipeline.Wish{},
			pipeline.WayProof, `"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}`},
		{"hosts that MTA-STS does not allow", `{"policies": {}}`, func(p *proposing) { p.sts(mtasts.Enforce, weeks18, "mx.a.example") },
			pipeline.Wish{MXs: policyOf(t, "testing", "mx.a.example", "mx2.a.example").MXs},
			pipeline.WayProof, `"a.example": {"mode": "testing", "mxs": ["mx.a.example", "mx2.a.example"]}`},
		{"an owner's entry stays the owner's", `{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"], "note": "n"}}}`,
			func(p *proposing) { p.sts(mtasts.Enforce, weeks18, "mx.a.example") }, pipeline.Wish{Mode: policy.Enforce},
			pipeline.WayProof, `"a.example": {"mode": "enforce", "mxs": ["mx.a.example"], "note": "n"}`},
		{"a curated entry is taken over", `{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"], "managed-by": "curated"}}}`,
			func(p *proposing) { p.sts(mtasts.Enforce, weeks18, "mx.a.example") }, pipeline.Wish{},
			pipeline.WaySTS, `"a.example": {"mode": "testing", "mxs": ["mx.a.example"], "managed-by": "mta-sts"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProposing(t, c.fragment)
			c.prepare(p)
			got, err := p.propose(c.wish)
			if err != nil {
				t.Fatal(err)
			}
			if got.Way != c.way || !strings.Contains(string(got.Draft.Data), "    "+c.entry+"\n") || (got.Record == nil) != (c.way == pipeline.WaySTS) {
				t.Errorf("%s, record %v\n%s", got.Way, got.Record, got.Draft.Data)
			}
			if r := got.Record; r != nil && (r.Change != proof.Digest(*got.Entry) || r.At(p.seen.At) != proof.OK) {
				t.Errorf("the record %s", r)
			}
			if err := got.Draft.Write(); err != nil {
				t.Fatal(err)
			}
			again, err := p.propose(c.wish)
			if !errors.Is(err, pipeline.ErrNothingToPropose) || again.Record == nil || again.Record.Change != proof.Digest(*got.Entry) {
				t.Errorf("once more: %v, %+v", err, again)
			}
		})
	}
}

// TestProposeRefuses what no entry can be made of, and what would take somebody else's place.
func TestProposeRefuses(t *testing.T) {
	p := newProposing(t, `{"policies": {}}`)
	p.seen.Route = discovery.Route{Kind: discovery.RouteNull}
	if _, err := p.propose(pipeline.Wish{}); !errors.Is(err, pipeline.ErrNoEntryPossible) {
		t.Errorf("null MX: %v", err)
	}
	p.seen.Route = discovery.Route{Kind: discovery.RouteUnknown}
	if _, err := p.propose(pipeline.Wish{}); !errors.Is(err, pipeline.ErrNothingSeen) || errors.Is(err, pipeline.ErrNoEntryPossible) {
		t.Errorf("a lookup that failed: %v", err)
	}
	var many []string
	for i := range policy.MaxMXs + 1 {
		many = append(many, "mx"+string(rune('a'+i))+".a.example")
	}
	p.mx(many...)
	if _, err := p.propose(pipeline.Wish{}); !errors.Is(err, pipeline.ErrNoEntryPossible) {
		t.Errorf("17 hosts: %v", err)
	}
	for _, kind := range []proof.Kind{proof.Remove, proof.Emergency} {
		if _, err := p.propose(pipeline.Wish{Kind: kind}); !errors.Is(err, pipeline.ErrNothingToPropose) {
			t.Errorf("%s of what is not listed: %v", kind, err)
		}
	}
	p.mx("mx.a.example")
	got, err := p.propose(pipeline.Wish{})
	if err != nil {
		t.Fatal(err)
	}
	p.file("domains/a.example.json", `{"policies": {"b.example": {"mode": "testing", "mxs": ["mx.b.example"]}}}`)
	if err := got.Draft.Write(); !errors.Is(err, pipeline.ErrTaken) {
		t.Errorf("a file that came meanwhile: %v", err)
	}
	if _, err := p.propose(pipeline.Wish{}); !errors.Is(err, pipeline.ErrTaken) {
		t.Errorf("a file of that name: %v", err)
	}
	if left, err := filepath.Glob(p.source + "/domains/.new-*"); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	listed := newProposing(t, `{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.old.example"]}}}`)
	if got, err = listed.propose(pipeline.Wish{}); err != nil {
		t.Fatal(err)
	}
	listed.file("all.json", `{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.other.example"]}}}`)
	if err := got.Draft.Write(); !errors.Is(err, pipeline.ErrChangedMeanwhile) {
		t.Errorf("an entry that changed meanwhile: %v", err)
	}
}

// TestProposeForeseesTheGate: what the gate says today, and once the record stands.
func TestProposeForeseesTheGate(t *testing.T) {
	p := newProposing(t, `{"policies": {"a.example": {"mode": "enforce", "mxs": ["mx.a.example"]}}}`)
	got, err := p.propose(pipeline.Wish{Kind: proof.Remove})
	if err != nil {
		t.Fatal(err)
	}
	if w := got.Today.Waits; len(w) != 1 || !w[0].Until.IsZero() || w[0].Findings[0].Code != "gate.needs-removal" {
		t.Errorf("today %+v", w)
	}
	if w := got.Agreed.Waits; len(w) != 1 || !w[0].Until.Equal(p.seen.At.Add(72*time.Hour)) {
		t.Errorf("with the record %+v", w)
	}
	if got.Draft != nil || got.Record.String() != "v=STP1; remove; exp=2026-04-15" {
		t.Errorf("%s", got.Record)
	}
	if got, err = p.propose(pipeline.Wish{Kind: proof.Emergency}); err != nil || got.Record.String() != "v=STP1; emergency; exp=2026-04-15" {
		t.Fatal(err, got)
	}
	// The longest name there is fits into a file name.
	long, err := policy.ParseDomain(strings.Repeat("abcdefghi.", 24) + "example")
	if err != nil {
		t.Fatal(err)
	}
	named, err := pipeline.Propose(t.Context(), p.source, pipeline.Wish{Domain: long, Kind: proof.Change}, p.seen)
	if err != nil || named.Draft.Write() != nil {
		t.Fatal(err)
	}
	loose, err := pipeline.Propose(t.Context(), "", pipeline.Wish{Domain: long, Kind: proof.Change}, p.seen)
	if err != nil || string(loose.Draft.Data) != string(named.Draft.Data) || loose.Agreed.Step == nil {
		t.Errorf("without a source: %v", err)
	}
}
