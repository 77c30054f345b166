package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestR52SyncHoldsHostsWhileAWeakeningWaits: an owner softens the policy and adds a host in one go. The list needs a day to
// say testing; until then the bot leaves the hosts alone and says so, for both in one step the gate would hold for ever.
func TestR52SyncHoldsHostsWhileAWeakeningWaits(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "enforce", "mx.a.example")}, nil
	g.day()
	g.Gate = &pipeline.Gate{}
	a.sts, a.stsMXs = "testing", []string{"mx.a.example", "mx2.a.example"}
	if changed, _ := g.day(); len(changed) > 0 {
		t.Fatal(changed)
	}
	g.does("sync-mta-sts", "demote.owner a.example")
	before := g.text()
	run, changes, left := g.bot("sync-mta-sts", g.known())
	if len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.one-step"}) || !strings.Contains(run.Left[0].Why, "once the list says testing") || g.text() != before {
		t.Fatalf("while the list says enforce: %q, left %q", changes, left)
	}
	g.is(g.until("demote.owner a.example"), 1, "softened")
	g.does("sync-mta-sts", "mxs.widened a.example")
	g.is(g.until("mxs.widened a.example"), 1, "widened")
	g.does("sync-mta-sts")
}

// TestR41SyncLeavesWhatNoEntryCanSay: a policy with more patterns than an entry has is left to people.
func TestR41SyncLeavesWhatNoEntryCanSay(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.day()
	for i := range policy.MaxMXs + 1 {
		a.stsMXs = append(a.stsMXs, fmt.Sprintf("mx%d.a.example", i))
	}
	g.day()
	if _, changes, left := g.bot("sync-mta-sts", g.known()); len(changes) > 0 || !slices.Equal(left, []string{"a.example bot.too-many"}) {
		t.Errorf("%q, left %q", changes, left)
	}
}
