package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestNothingNewIsRenewed: each run makes a release, whether anything is new, the source has errors or nothing passes.
func TestNothingNewIsRenewed(t *testing.T) {
	o := newOperator(t, "public")
	first := o.release()
	for i, spoil := range []func(){func() {}, func() {}, func() { o.write("list/broken.json", "{") }} {
		spoil()
		out := o.release()
		leaf := out.Leaf()
		if leaf.Release != int64(i+2) || leaf.Source != "renew" || leaf.Count != first.Leaf().Count || len(out.Changes()) > 0 ||
			!leaf.Timestamp.After(first.Leaf().Timestamp) || leaf.Expires.Sub(leaf.Timestamp) != 14*24*time.Hour {
			t.Errorf("run %d: %+v", i+2, leaf)
		}
		c := o.client("public", "")
		if got, err := c.Update(t.Context()); err != nil || got.Release.Release != leaf.Release || int64(got.List.Len()) != leaf.Count {
			t.Errorf("run %d: a client has %+v, %v", i+2, got.Release, err)
		}
	}
}

// blindObserver is a prober that could not look, or whose canary looked wrong.
type blindObserver struct {
	err       error
	withdrawn bool
}

func (b *blindObserver) Probe(_ context.Context, targets []probe.Target) (out []probe.Result, err error) {
	if b.err != nil {
		return nil, b.err
	}
	for _, t := range targets {
		j := probe.Judgement{Verdict: probe.Pass}
		if b.withdrawn {
			j = probe.Judgement{Verdict: probe.Inconclusive, Codes: []string{"vantage.withdrawn"}}
		}
		line := fmt.Appendf(nil, `{"codes":[],"domain":"%s","verdict":"%s"}`, t.Domain, j.Verdict)
		out = append(out, probe.Result{Domain: t.Domain, Judgement: j, Line: line})
	}
	return out, nil
}

func (b *blindObserver) Header(context.Context, string) (probe.Header, error) {
	return probe.Header{Vantage: "test"}, b.err
}

// alarms are the codes of a release's findings that are errors.
func alarms(out *pipeline.Published) (codes []string) {
	for _, f := range out.Findings {
		if f.Severity == policy.Error {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

// TestRenewedWithoutALook: where the releasing host cannot look, the list is renewed, an alarm tells, and what is new waits;
// what takes something away does not.
func TestRenewedWithoutALook(t *testing.T) {
	for _, scanAll := range []bool{false, true} {
		o := newOperator(t, "public")
		blind := &blindObserver{}
		o.Observer, o.ScanAll = blind, scanAll
		before := o.release().Leaf().Count
		o.write("list/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
		blind.err = errors.New("the resolver \x1b[1mis down")
		out := o.release()
		if leaf := out.Leaf(); leaf.Release != 2 || leaf.Source != "renew" || leaf.Count != before || leaf.Evidence != nil || leaf.Override != "" {
			t.Errorf("%+v", leaf)
		}
		if !slices.Equal(alarms(out), []string{"scan.failed"}) || !strings.Contains(out.Findings[0].Summary, "is down: the releasing host") {
			t.Errorf("findings %v", out.Findings)
		}
		if len(out.Held) != 1 && !scanAll || out.Held[0].Verdict != probe.Inconclusive || !slices.Equal(out.Held[0].Codes, []string{"scan.failed"}) {
			t.Errorf("held %+v", out.Held)
		}
		blind.err, blind.withdrawn = nil, true
		if out = o.release(); out.Leaf().Count != before || len(out.Held) == 0 || slices.Equal(alarms(out), []string{"scan.incomplete"}) != scanAll {
			t.Errorf("withdrawn: %+v, %v", out.Leaf(), out.Findings)
		}
		blind.withdrawn = false
		if out = o.release(); out.Leaf().Count != before+1 || len(alarms(out)) > 0 {
			t.Errorf("then all is well: %+v, %v", out.Leaf(), out.Findings)
		}
		// A person who stops the program is no failed scan.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.now, blind.err = o.now.Add(time.Hour), context.Canceled
		o.write("list/newer.json", `{"policies":{"newer.example":{"mode":"testing","mxs":["mx.newer.example"]}}}`)
		if _, err := o.Release(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	}
}

// TestRenewedAfterAPartialScan: while listed domains are missing from the vantages' evidence, or too few vantages looked,
// nothing new goes in and nothing becomes enforce; the owner's wish to ask for less is heard.
func TestRenewedAfterAPartialScan(t *testing.T) {
	v := newVantagePoints(t, 2)
	before := v.release().Leaf().Count
	lost := v.entries[0].Domain
	v.write("list/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	checked, err := pipeline.Check(t.Context(), v.Source)
	if err != nil {
		t.Fatal(err)
	}
	v.entries, v.started = checked.Entries(), v.now
	v.says = func(_ string, e policy.Entry) (string, string) {
		if e.Domain == lost {
			return "", ""
		}
		return "pass", ""
	}
	scan := func(names ...string) *pipeline.Published {
		v.ScanAll, v.started = true, v.now
		v.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return v.files(names...), nil }
		return v.release()
	}
	out := scan(vantageNames...)
	if !slices.Equal(alarms(out), []string{"scan.incomplete"}) || !strings.Contains(out.Findings[0].Summary, "1 of 5 listed domains") || out.Leaf().Count != before || out.Leaf().Evidence == nil {
		t.Errorf("a domain is missing: %+v, %v", out.Leaf(), out.Findings)
	}
	if len(out.Held) != 1 || !slices.Equal(out.Held[0].Codes, []string{"scan.incomplete"}) || out.Held[0].Change.Domain.String() != "new.example" || out.Held[0].Found[0].Fix == "" {
		t.Errorf("held %+v", out.Held)
	}
	v.says = func(string, policy.Entry) (string, string) { return "pass", "" }
	if out = scan("north"); !slices.Equal(alarms(out), []string{"scan.incomplete"}) || !strings.Contains(out.Findings[0].Summary, "1 of the vantages looked, and it takes 2") || out.Leaf().Count != before {
		t.Errorf("one vantage of two: %+v, %v", out.Leaf(), out.Findings)
	}
	if out = scan(vantageNames...); len(alarms(out)) > 0 || out.Leaf().Count != before+1 {
		t.Errorf("then all is well: %+v, %v", out.Leaf(), out.Findings)
	}
}

// TestGateWithoutAScan: the gate's releases alarm, too, where they could not rest on a whole scan, and then let nothing in.
func TestGateWithoutAScan(t *testing.T) {
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "testing"}, "b.example": {mx: "mx.b.example", sts: "testing"}})
	entry := `"%s": {"mode":"testing","mxs":["mx.%s"],"managed-by":"mta-sts"}`
	g.source(fmt.Sprintf(entry, "a.example", "a.example"))
	if changed, _ := g.day(); !slices.Equal(changed, []string{"add.testing a.example"}) {
		t.Fatal(changed)
	}
	g.source(fmt.Sprintf(entry, "a.example", "a.example"), fmt.Sprintf(entry, "b.example", "b.example"))
	files := g.Evidence
	release := func(want string) *pipeline.Published {
		t.Helper()
		g.now = g.now.Add(24 * time.Hour)
		out := g.release()
		if got := strings.Join(alarms(out), " "); got != want || out.Leaf().Source != "renew" && want != "" {
			t.Errorf("alarms %q, want %q; %+v", got, want, out.Leaf())
		}
		return out
	}
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return nil, errors.New("no evidence") }
	release("evidence.refused")
	g.Evidence = func(ctx context.Context) ([]probe.EvidenceFile, error) {
		all, err := files(ctx)
		return all[:min(1, len(all))], err
	}
	if out := release("scan.incomplete"); len(out.Held) != 1 || out.Held[0].Change.Domain.String() != "b.example" {
		t.Errorf("held %v", holds(out.Held))
	}
	g.Evidence = files
	if out := release(""); len(out.Changes()) != 1 || out.Changes()[0].Domain.String() != "b.example" {
		t.Errorf("then all is well: %v, held %v", out.Changes(), holds(out.Held))
	}
}

// TestOneDomainLeftOut: a domain of ten or more that is missing from the evidence waits by itself; a second one is the sign
// of a scan that was not of the whole list.
func TestOneDomainLeftOut(t *testing.T) {
	v := newVantagePoints(t, 2)
	entry := `"d%02d.example": {"mode":"testing","mxs":["%s.example"]}`
	list := func(mx string, n int) {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf(entry, i, mx))
		}
		v.write("list/many.json", `{"policies":{`+strings.Join(lines, ",")+"}}")
		checked, err := pipeline.Check(t.Context(), v.Source)
		if err != nil {
			t.Fatal(err)
		}
		v.entries, v.started = checked.Entries(), v.now
	}
	lost := []string{}
	v.says = func(_ string, e policy.Entry) (string, string) {
		if slices.Contains(lost, e.Domain.String()) {
			return "", ""
		}
		return "pass", ""
	}
	v.ScanAll = true
	list("mx", 11)
	before := v.release().Leaf().Count
	lost = []string{"d01.example"}
	list("mx2", 12)
	out := v.release()
	if len(alarms(out)) > 0 || len(out.Findings) != 1 || out.Findings[0].Code != "scan.left-out" || out.Leaf().Count != before+1 ||
		!strings.Contains(out.Findings[0].Summary, fmt.Sprintf("1 of %d listed domains were left out (d01.example): ", before)) {
		t.Errorf("one is missing: %+v, %v", out.Leaf(), out.Findings)
	}
	if len(out.Held) != 1 || out.Held[0].Change.Domain.String() != "d01.example" || !slices.Equal(out.Held[0].Codes, []string{"evidence.absent"}) {
		t.Errorf("held %+v", out.Held)
	}
	lost = append(lost, "d02.example")
	list("mx2", 13)
	if out = v.release(); !slices.Equal(alarms(out), []string{"scan.incomplete"}) || out.Leaf().Count != before+1 {
		t.Errorf("two are missing: %+v, %v", out.Leaf(), out.Findings)
	}
}

// TestDroppedDomainIsLookedAt: the vantages must look at a listed domain that the source dropped, too, or its owner's wish
// is never seen; where they do not, a release says what they lack.
func TestDroppedDomainIsLookedAt(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "testing"}, &sightOf{mx: "mx.b.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	entry := `"%s": {"mode":"testing","mxs":["mx.%s"],"managed-by":"mta-sts"}`
	g.source(fmt.Sprintf(entry, "a.example", "a.example"), fmt.Sprintf(entry, "b.example", "b.example"))
	if changed, _ := g.day(); len(changed) != 2 {
		t.Fatal(changed)
	}
	g.source(fmt.Sprintf(entry, "a.example", "a.example"))
	b.sts = "none"
	delete(g.domains, "b.example") // vantages that go by the source alone
	g.now = g.now.Add(24 * time.Hour)
	if out := g.release(); !slices.Equal(alarms(out), []string{"scan.incomplete"}) || !strings.Contains(out.Findings[0].Summary, "of which the source has dropped 1 (probe --published") {
		t.Errorf("%v", out.Findings)
	}
	g.domains["b.example"] = b
	g.is(g.until("remove.owner b.example"), 3, "gone") // 48 hours, in days of 23
}
