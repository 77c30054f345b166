package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// TestClockSetBackShortensNoDelay: a publisher whose clock goes back, and then forward again, releases nothing meanwhile that
// the log would show as older than the last, and counts no hour twice.
func TestClockSetBackShortensNoDelay(t *testing.T) {
	a := &sightOf{mx: "mx1.a.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx1.a.example"]}`)
	g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "testing", "mx1.a.example")}, nil
	g.day()
	g.Gate = &pipeline.Gate{}
	g.source(`"a.example": {"mode":"testing","mxs":["mx2.a.example"]}`)
	a.mx = "mx2.a.example"
	a.txt = proof.For(*policyOf(t, "testing", "mx2.a.example"), g.now.AddDate(0, 0, 50)).String()
	g.day()
	first := g.now
	for _, back := range []time.Duration{time.Hour, 30 * time.Hour, 60 * 24 * time.Hour} {
		g.now = first.Add(-back)
		if out, err := g.Release(t.Context()); err == nil && out.Leaf().Timestamp.Before(first) {
			t.Errorf("%s back: release %d of %s follows one of %s", back, out.Leaf().Release, out.Leaf().Timestamp, first)
		}
	}
	g.now = first.Add(22*time.Hour + 59*time.Minute)
	if out := g.release(); len(out.Changes()) > 0 || !slices.Contains(holds(out.Held), "a.example gate.waiting") {
		t.Errorf("before its day is over: %v, held %v", out.Changes(), holds(out.Held))
	}
	if out := g.release(); len(out.Changes()) != 1 {
		t.Errorf("after its day: held %v", holds(out.Held))
	}
}
