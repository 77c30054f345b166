package pipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// newLeavers has n domains, listed by their owners' proof, all of which have wanted to leave for three days.
func newLeavers(t *testing.T, n int) *gated {
	t.Helper()
	domains := map[string]*sightOf{}
	var lines []string
	for i := range n {
		name := fmt.Sprintf("d%02d.example", i)
		domains[name] = &sightOf{mx: "mx." + name, txt: proof.For(*policyOf(t, "testing", "mx."+name), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)).String()}
		lines = append(lines, fmt.Sprintf(`"%s": {"mode":"testing","mxs":["mx.%s"]}`, name, name))
	}
	g := newGated(t, domains)
	g.source(lines...)
	if changed, held := g.day(); len(changed) != n || len(held) > 0 {
		t.Fatal(changed, held)
	}
	for _, d := range domains {
		d.txt = "v=STP1; remove; exp=2026-12-31"
	}
	for range 3 {
		if changed, held := g.day(); len(changed) > 0 || len(held) != n {
			t.Fatal(changed, held)
		}
	}
	return g
}

// TestGateHoldsTheBudget: of 25 owners who leave on one day 19 go with one release, and the rest a day later, unless two
// maintainers accept them all. Pending shows them, and neither it nor a dry run remembers anything.
func TestGateHoldsTheBudget(t *testing.T) {
	g := newLeavers(t, 25)
	before := objects(t, g.State)
	g.now = g.now.Add(24 * time.Hour)
	plan, _, err := g.Plan(t.Context())
	if err != nil || len(plan.Changes()) != 19 || len(plan.Held()) != 6 || plan.Held()[0].Codes[0] != "gate.guard" {
		t.Fatalf("%v %v %v", err, plan.Changes(), holds(plan.Held()))
	}
	g.Gate.AcceptBudget = true
	if plan, _, err = g.Plan(t.Context()); err != nil || len(plan.Changes()) != 25 || len(plan.Held()) > 0 {
		t.Fatalf("accepted: %v %v", err, holds(plan.Held()))
	}
	g.Gate.AcceptBudget = false
	g.now = g.now.Add(-23 * time.Hour)
	pending, _, err := g.Pending(t.Context())
	if err != nil || len(pending.Held()) != 25 || !pending.Held()[0].Automatic || pending.Held()[0].Until.IsZero() {
		t.Fatalf("%v %+v", err, holds(pending.Held()))
	}
	if after := objects(t, g.State); len(after) != len(before) || after["looks.jsonl.zst"] != before["looks.jsonl.zst"] {
		t.Error("a dry run left something behind")
	}
	g.now = g.now.Add(-time.Hour)
	client := g.client("public", "")
	fetch := func(release int64) {
		t.Helper()
		if got, err := client.Update(t.Context()); err != nil || got.Release.Release != release || got.Held != "" {
			t.Fatalf("%+v, %v", got.Release, err)
		}
	}
	fetch(4)
	if changed, held := g.day(); len(changed) != 19 || len(held) != 6 {
		t.Fatal(changed, held)
	}
	// Releases by the hour carry no more than one a day, also where the gate's memory is lost in between.
	g.now = g.now.Add(time.Hour)
	if out := g.release(); len(out.Changes()) > 0 || guarded(out) != 6 {
		t.Fatalf("%v, held %v", out.Changes(), holds(out.Held))
	}
	if err := os.Remove(filepath.Join(g.State, "looks.jsonl.zst")); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.Add(20 * time.Hour)
	if out := g.release(); len(out.Changes()) > 0 || guarded(out) != 6 {
		t.Fatalf("%v, held %v", out.Changes(), holds(out.Held))
	}
	fetch(7)
	g.now = g.now.Add(2 * time.Hour)
	if out := g.release(); len(out.Changes()) != 6 || out.Leaf().Count != 0 || out.Leaf().Override != "" {
		t.Errorf("%v, held %v, override %q", out.Changes(), holds(out.Held), out.Leaf().Override)
	}
	fetch(8)
}

// guarded counts what waits for the sake of clients.
func guarded(out *pipeline.Published) (n int) {
	for _, h := range out.Held {
		if slices.Equal(h.Codes, []string{"gate.guard"}) {
			n++
		}
	}
	return n
}

// TestBudgetAccepted: two maintainers let a release exceed its budget. Its leaf says so, the operator is told that clients
// keep it back, and they do until they are told otherwise.
func TestBudgetAccepted(t *testing.T) {
	g := newLeavers(t, 21)
	client := g.client("public", "")
	if got, err := client.Update(t.Context()); err != nil || got.List.Len() != 21 {
		t.Fatal(got.List.Len(), err)
	}
	g.now = g.now.Add(24 * time.Hour)
	g.Gate.AcceptBudget = true
	out := g.release()
	if len(out.Changes()) != 21 || out.Leaf().Override != "budget.accepted" {
		t.Errorf("%d changes, held %v, override %q", len(out.Changes()), holds(out.Held), out.Leaf().Override)
	}
	told := fmt.Sprintf("release %d touches 21 entries of a list of 21", out.Leaf().Release)
	if len(out.Findings) != 1 || out.Findings[0].Code != "release.startles" || !strings.Contains(out.Findings[0].Summary, told) || !strings.Contains(out.Findings[0].Fix, "update --accept") {
		t.Errorf("%+v", out.Findings)
	}
	if got, err := client.Update(t.Context()); err != nil || got.List.Len() != 21 || got.Held == "" {
		t.Errorf("the client took it: %d, %v", got.List.Len(), err)
	}
	client.Accept = out.Leaf().Release
	if got, err := client.Update(t.Context()); err != nil || got.List.Len() != 0 || got.Held != "" {
		t.Errorf("the client did not take it: %d, %v", got.List.Len(), err)
	}
}

// TestReleaseTellsWhatStartles: without a gate nothing is held for it, and it is told.
func TestReleaseTellsWhatStartles(t *testing.T) {
	o := newOperator(t, "public")
	var lines []string
	for i := range 60 {
		lines = append(lines, fmt.Sprintf(`"d%02d.example": {"mode":"testing","mxs":["mx.example"]}`, i))
	}
	o.write("list/many.json", `{"policies":{`+strings.Join(lines, ",")+"}}")
	if out := o.release(); len(out.Findings) > 0 {
		t.Fatal(out.Findings)
	}
	for _, c := range []struct{ drop, findings int }{{10, 0}, {10 + 19, 0}, {10 + 19 + 20, 1}} {
		o.write("list/many.json", `{"policies":{`+strings.Join(lines[c.drop:], ",")+"}}")
		out := o.release()
		if len(out.Findings) != c.findings || c.findings > 0 && out.Findings[0].Code != "release.startles" {
			t.Errorf("%d left: %v", 60-c.drop, out.Findings)
		}
	}
}

// TestGateKeepsOwners: calling an owner's entry curated does not make it the operator's.
func TestGateKeepsOwners(t *testing.T) {
	a := &sightOf{mx: "mx.a.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": {mx: "mx.b.example"}})
	a.txt = proof.For(*policyOf(t, "testing", "mx.a.example"), g.now.AddDate(0, 0, 30)).String()
	curated := `"b.example": {"mode":"testing","mxs":["mx.b.example"],"managed-by":"curated","note":"by letter"}`
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"]}`, curated)
	if changed, held := g.day(); !slices.Equal(changed, []string{"add.testing a.example", "add.testing b.example"}) || len(held) > 0 {
		t.Fatal(changed, held)
	}
	g.source(`"a.example": {"mode":"testing","mxs":["mx.evil.example"],"managed-by":"curated","note":"trust me"}`)
	changed, held := g.day()
	if !slices.Equal(changed, []string{"remove.curated b.example"}) || len(held) != 1 || !strings.Contains(held[0], "proof.other") {
		t.Error(changed, held)
	}
	g.source() // a commit that drops an owner's entry
	if changed, held := g.day(); len(changed) > 0 || len(held) != 1 || !strings.Contains(held[0], "gate.needs-removal") {
		t.Error(changed, held)
	}
}

// TestGateAfterAnImport: the first release from a source lists what that source has; what enforced and is not seen to
// work goes on as testing, and comes back by its own row.
func TestGateAfterAnImport(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce", expired: true}
	g := newGated(t, map[string]*sightOf{"a.example": a, "n.example": {mx: "mx.n.example"}})
	old := `{"timestamp":"2026-11-01T00:00:00Z","expires":"2026-11-15T00:00:00Z","version":"0.1","policy-aliases":{},"policies":{
		"a.example":{"mode":"enforce","mxs":["mx.a.example"]},"gone.example":{"mode":"enforce","mxs":["mx.gone.example"]}}}`
	if err := g.Import(t.Context(), []pipeline.OldFile{{File: policy.File{Path: "old.json", Data: []byte(old)}}}, nil, func(pipeline.Imported) {}); err != nil {
		t.Fatal(err)
	}
	g.source(`"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`, `"n.example": {"mode":"testing","mxs":["mx.n.example"]}`)
	changed, held := g.day()
	if !slices.Equal(changed, []string{"import.unproven a.example", "change.source gone.example"}) || !slices.Equal(held, []string{"n.example proof.missing"}) {
		t.Fatal(changed, held)
	}
	a.expired = false
	g.is(g.until("promote.evidence a.example"), 14, "promoted")
}

// TestVaultCarriesLooks: what the gate remembers is part of the state.
func TestVaultCarriesLooks(t *testing.T) {
	b := newBucket(t)
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "enforce"}})
	folder := g.State
	g.remote(b.store("state"))
	g.State = folder
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	if changed, _ := g.day(); len(changed) != 1 {
		t.Fatal(changed)
	}
	carried(t, g.operator, b.store("state"), "looks.jsonl.zst")
}
