package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// later releases a while later; with what is no good among the evidence, an alarm tells.
func (g *gated) later(d time.Duration, alarm string) (changed, held []string) {
	g.t.Helper()
	g.now = g.now.Add(d)
	out := g.release()
	for _, c := range out.Changes() {
		changed = append(changed, c.Reason+" "+c.Domain.String())
	}
	if got := alarms(out); alarm == "" && len(got) > 0 || alarm != "" && !slices.Equal(got, []string{alarm}) {
		g.t.Errorf("alarms %v, want %q: %v", got, alarm, out.Findings)
	}
	return changed, holds(out.Held)
}

// TestMovesWaitForAScan is what each kind of change does while the evidence is refused, or leaves the domain out, though
// looks of some hours ago would do: other MX hosts wait as additions do, and what takes away goes.
func TestMovesWaitForAScan(t *testing.T) {
	none := func(context.Context) ([]probe.EvidenceFile, error) { return nil, errors.New("the store is down") }
	for _, c := range []struct {
		name    string
		mxs     []string // of the entry that is wanted; nil: its owner leaves
		live    string
		looks   int // the last of them four hours before what is wanted has stood long enough, or two
		then    string
		leftOut bool // what the vantages wrote is good, and the domain not in it
	}{
		{name: "replaced", mxs: []string{"mx2.a.example"}, live: "mx2.a.example", looks: 2, then: "mxs.replaced a.example"},
		{name: "widened", mxs: []string{"mx1.a.example", "mx2.a.example"}, live: "mx1.a.example", looks: 2, then: "mxs.widened a.example"},
		{name: "left out", mxs: []string{"mx2.a.example"}, live: "mx2.a.example", looks: 2, then: "mxs.replaced a.example", leftOut: true},
		{name: "removed", live: "mx1.a.example", looks: 4, then: "remove.owner a.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := &sightOf{mx: "mx1.a.example"}
			g := newGated(t, map[string]*sightOf{"a.example": a})
			g.source(`"a.example": {"mode":"testing","mxs":["mx1.a.example"]}`)
			g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "testing", "mx1.a.example")}, nil
			g.day()
			g.held, g.Gate = nil, &pipeline.Gate{}
			if a.mx = c.live; c.mxs == nil {
				a.txt = "v=STP1; remove; exp=" + g.now.AddDate(0, 0, 30).Format(time.DateOnly)
			} else {
				p := policyOf(t, "testing", c.mxs...)
				g.source(`"a.example": ` + string(p.AppendJSON(nil)))
				a.txt = proof.For(*p, g.now.AddDate(0, 0, 50)).String()
			}
			for i := range c.looks {
				d := 22 * time.Hour // a release is an hour on
				if i == c.looks-1 {
					d -= time.Hour
				}
				if changed, held := g.later(d, ""); len(changed) > 0 {
					t.Fatalf("too early: %v, held %v", changed, held)
				}
			}
			good, domains, alarm := g.Evidence, g.domains, "evidence.refused"
			if c.leftOut {
				g.domains, alarm = map[string]*sightOf{}, "scan.incomplete"
			} else {
				g.Evidence = none
			}
			changed, held := g.later(3*time.Hour, alarm)
			if c.mxs == nil {
				if !slices.Equal(changed, []string{c.then}) {
					t.Errorf("%v, held %v", changed, held)
				}
				return
			}
			if len(changed) > 0 || !slices.Contains(held, "a.example scan.incomplete") {
				t.Errorf("without a scan: %v, held %v", changed, held)
			}
			g.Evidence, g.domains = good, domains
			if changed, held = g.later(time.Hour, ""); !slices.Equal(changed, []string{c.then}) {
				t.Errorf("afterwards: %v, held %v", changed, held)
			}
		})
	}
}

// oneHost is a releasing host that sees what a vantage would, and writes too much about it where it is to.
type oneHost struct {
	*gated
	err error
}

func (h *oneHost) read() (header probe.Header, out []probe.Result) {
	r, err := probe.NewReader(bytes.NewReader(h.scan("north")), 1<<20)
	if err != nil {
		h.t.Fatal(err)
	}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), out
		} else if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, probe.Result{Domain: line.Domain, Judgement: probe.Judgement{Verdict: line.Verdict}, Line: bytes.Clone(line.Raw)})
	}
}

func (h *oneHost) Probe(context.Context, []probe.Target) ([]probe.Result, error) {
	_, out := h.read()
	return out, h.err
}

func (h *oneHost) Header(context.Context, string) (probe.Header, error) {
	header, _ := h.read()
	return header, nil
}

// TestScanThatFailedMovesNobody: what the releasing host saw in a scan that came to no end is not seen at all: neither are
// other MX hosts let in by it, nor is it remembered.
func TestScanThatFailedMovesNobody(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	host := &oneHost{gated: g}
	g.Evidence, g.Observer = nil, host
	entry := func(mx string) {
		g.source(`"a.example": {"mode":"testing","mxs":["` + mx + `"],"managed-by":"mta-sts"}`)
	}
	entry("mx.a.example")
	if changed, held := g.later(23*time.Hour, ""); !slices.Equal(changed, []string{"add.testing a.example"}) {
		t.Fatal(changed, held)
	}
	a.mx = "mx2.a.example"
	entry("mx2.a.example")
	g.later(time.Hour, "")
	g.later(20*time.Hour, "")
	restore := pipeline.SetMaxEvidence(100)
	changed, held := g.later(4*time.Hour, "scan.failed")
	restore()
	if len(changed) > 0 || !slices.Contains(held, "a.example scan.incomplete") {
		t.Errorf("a scan too large to be published: %v, held %v", changed, held)
	}
	host.err = errors.New("the resolver is down")
	if changed, held = g.later(time.Hour, "scan.failed"); len(changed) > 0 || !slices.Contains(held, "a.example scan.incomplete") {
		t.Errorf("a scan that failed: %v, held %v", changed, held)
	}
	host.err = nil
	if changed, held = g.later(time.Hour, ""); !slices.Equal(changed, []string{"mxs.replaced a.example"}) {
		t.Errorf("afterwards: %v, held %v", changed, held)
	}
}
