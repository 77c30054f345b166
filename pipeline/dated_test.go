package pipeline_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestVantageDatedAheadKeepsNobodyOut: one of three vantages was taken over and dates all that it says days ahead, within
// what a scan may take. Were that when the domain was looked at, every honest look until then would be an old one, and nothing
// would be demoted, promoted or taken off any more.
func TestVantageDatedAheadKeepsNobodyOut(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "enforce", "mx.a.example")}, nil
	g.day()
	g.Gate = &pipeline.Gate{}
	g.dated = map[string]time.Duration{"west": 6 * 24 * time.Hour}
	g.day()
	a.expired = true
	g.is(g.until("demote.auto a.example"), 3, "demoted")
	g.dated = nil // it is put right
	a.expired = false
	g.is(g.until("restore.auto a.example"), 2, "restored")
	a.sts = "none"
	if _, changes, left := g.bot("sync-mta-sts", g.known()); len(changes) > 0 || len(left) > 0 {
		t.Errorf("nobody has seen that yet: %q %q", changes, left)
	}
}
