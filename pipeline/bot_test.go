package pipeline_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// TestR38BotsFollowMTASTS is the life of an entry that nobody touches by hand: added, promoted, moved, softened, left. The
// list follows each of them in its time, and the source never says anything that the gate holds for ever.
func TestR38BotsFollowMTASTS(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts","note":"joined in spring"}`)
	g.is(g.until("add.testing a.example"), 1, "added")
	run, changes, left := g.bot("promote", g.known())
	if len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.passes gate.waiting"}) || !strings.HasPrefix(run.Left[0].Why, "not before 20") {
		t.Errorf("promoted at once: %q %q", changes, left)
	}
	days := 0
	for ; len(changes) == 0 && days < 20; days++ {
		g.day()
		_, changes, _ = g.bot("promote", g.known())
	}
	g.is(days, 14, "promoted")
	run = g.does("promote", "promote.evidence a.example")
	if subject, _, _ := strings.Cut(run.Message(), "\n"); subject != "Promote 1 domain to enforce" {
		t.Errorf("subject %q", subject)
	}
	g.is(g.until("promote.evidence a.example"), 1, "promotion released")

	a.mx = "mx2.a.example" // MX and MTA-STS move
	g.day()
	g.does("sync-mta-sts", "mxs.replaced a.example")
	g.is(g.until("mxs.replaced a.example"), 1, "moved")
	if want := `{"mode": "enforce", "mxs": ["mx2.a.example"], "managed-by": "mta-sts", "note": "joined in spring"}`; !strings.Contains(g.text(), want) {
		t.Errorf("%s", g.text())
	}

	a.sts = "testing"
	g.day()
	g.does("sync-mta-sts", "demote.owner a.example")
	g.is(g.until("demote.owner a.example"), 1, "softened")

	a.sts = ""
	g.day()
	g.does("sync-mta-sts") // an absent policy is nobody's wish

	a.sts = "none"
	g.day()
	if _, changes, left := g.bot("sync-mta-sts", g.known()); len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.waiting"}) {
		t.Errorf("none at once: %q %q", changes, left)
	}
	g.is(g.until("remove.owner a.example"), 2, "left")
	g.does("sync-mta-sts", "remove.owner a.example")
	if _, held := g.day(); len(held) > 0 {
		t.Errorf("held after all: %q", held)
	}
}

// TestR54OverrideSurvivesBots: no bot touches an entry that maintainers corrected, and each tells so.
func TestR54OverrideSurvivesBots(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":[".a.example"],"managed-by":"mta-sts","override":"the policy forgets a host"}`)
	before := g.text()
	scans := g.scans(16)
	for _, name := range []string{"sync-mta-sts", "promote"} {
		run, changes, left := g.bot(name, g.knownFrom(scans...))
		if len(changes) > 0 || !slices.Equal(left, []string{"a.example bot.override"}) || !strings.Contains(run.Left[0].Why, "the policy forgets a host") {
			t.Errorf("%s: %q %q", name, changes, left)
		}
		if err := run.Write(); err != nil || g.text() != before {
			t.Errorf("%s: %v\n%s", name, err, g.text())
		}
	}
	g.source(`"a.example": {"mode":"testing","mxs":[".a.example"],"managed-by":"mta-sts"}`)
	if _, changes, left := g.bot("sync-mta-sts", g.knownFrom(scans...)); !slices.Equal(changes, []string{"mxs.narrowed a.example"}) {
		t.Errorf("without the override: %q, left %q", changes, left)
	}
}

// TestR17BotsEditAliasesForAllMembersOnly: an alias is edited when all who use it change alike. Else those who change leave
// it, and the others stay what they are.
func TestR17BotsEditAliasesForAllMembersOnly(t *testing.T) {
	a, b := &sightOf{mx: "mx1.p.example", sts: "testing"}, &sightOf{mx: "mx1.p.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	g.write("list/alias.json", `{"policy-aliases": {"p": {"mode":"testing","mxs":["mx1.p.example"],"note":"of the provider"}}}`)
	g.source(`"a.example": {"policy-alias":"p","managed-by":"mta-sts"}`, `"b.example": {"policy-alias":"p","managed-by":"mta-sts"}`)
	g.day()
	a.mx, b.mx = "mx2.p.example", "mx2.p.example"
	g.day()
	run := g.does("sync-mta-sts", "mxs.replaced a.example", "mxs.replaced b.example")
	if files := run.Files(); len(files) != 1 || !strings.HasSuffix(files[0], "/alias.json") || !strings.Contains(run.Message(), "by the alias p") {
		t.Errorf("%q\n%s", files, run.Message())
	}
	g.day()
	g.day()
	a.mx = "mx3.p.example"
	g.day()
	run = g.does("sync-mta-sts", "mxs.replaced a.example")
	if want := "\"a.example\": {\"mode\": \"testing\", \"mxs\": [\"mx3.p.example\"], \"managed-by\": \"mta-sts\"},\n    \"b.example\": {\"policy-alias\": \"p\", \"managed-by\": \"mta-sts\"}"; !strings.Contains(g.text(), want) {
		t.Errorf("%s", g.text())
	}
	if strings.Contains(run.Message(), "alias") {
		t.Error(run.Message())
	}
}

// TestBotsDoNothingOnDoubt: blind vantages, one that is lied to, and looks of days ago move nobody.
func TestBotsDoNothingOnDoubt(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	b.txt = proof.For(*policyOf(t, "testing", "mx.b.example"), g.now.AddDate(0, 0, 50)).String()
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`, `"b.example": {"mode":"testing","mxs":["mx.b.example"]}`)
	scans := g.scans(16)
	if _, changes, _ := g.bot("promote", g.knownFrom(scans...)); !slices.Equal(changes, []string{"promote.evidence a.example"}) {
		t.Errorf("without doubt: %q", changes)
	}
	a.sts = "testing"
	g.now = g.now.Add(time.Hour)
	one := evidenceFile("north", g.scan("north")) // the one that sees it
	a.sts = "enforce"
	lied := append(slices.Clone(scans), g.merge(one, evidenceFile("south", g.scan("south")), evidenceFile("west", g.scan("west"))))
	if _, changes, left := g.bot("sync-mta-sts", g.knownFrom(lied...)); len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.disagree"}) {
		t.Errorf("one vantage sees another policy: %q %q", changes, left)
	}
	if _, changes, left := g.bot("promote", g.knownFrom(lied...)); len(changes) > 0 || !slices.Contains(left, "a.example gate.disagree") {
		t.Errorf("one vantage sees another policy, promote: %q %q", changes, left)
	}
	a.expired, b.txt = true, "v=STP1; remove; exp="+g.now.AddDate(0, 0, 20).Format(time.DateOnly)
	g.blind = vantageNames
	blind := append(slices.Clone(scans), g.scans(4)...)
	for _, name := range []string{"promote", "demote"} {
		if _, changes, _ := g.bot(name, g.knownFrom(blind...)); len(changes) > 0 && name == "promote" || slices.Contains(changes, "demote.auto a.example") {
			t.Errorf("blind vantages, %s: %q", name, changes)
		}
	}
	g.now = g.now.Add(30 * time.Hour)
	for _, name := range []string{"sync-mta-sts", "promote", "demote"} {
		if _, changes, _ := g.bot(name, g.knownFrom(scans...)); len(changes) > 0 {
			t.Errorf("%s on looks of yesterday: %q", name, changes)
		}
	}
}

// TestDemoteBotFollowsTheLog: what fails stays wanted while the gate restores it, and is given up after; an owner who
// leaves takes the entry along; a later entry of the same domain stays.
func TestDemoteBotFollowsTheLog(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	b.txt = proof.For(*policyOf(t, "testing", "mx.b.example"), g.now.AddDate(0, 0, 30)).String()
	entryA, entryB := `"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`, `"b.example": {"mode":"testing","mxs":["mx.b.example"]}`
	g.source(entryA, entryB)
	g.held = map[string]*policy.Policy{"a.example": policyOf(t, "enforce", "mx.a.example"), "b.example": policyOf(t, "testing", "mx.b.example")}
	g.Gate = nil // or the promotion would take its weeks
	if changed, held := g.day(); len(changed) != 2 {
		t.Fatal(changed, held)
	}
	g.Gate = &pipeline.Gate{}
	g.day()

	b.txt = "v=STP1; remove; exp=" + g.now.AddDate(0, 0, 50).Format(time.DateOnly)
	g.until("remove.owner b.example")
	g.does("demote", "remove.owner b.example")
	if strings.Contains(g.text(), "b.example") {
		t.Error(g.text())
	}
	// Its owner comes back: the bot must not take that entry away.
	b.txt = proof.For(*policyOf(t, "testing", "mx.b.example"), g.now.AddDate(0, 0, 50)).String()
	b.expired = true // so the list waits
	g.source(entryA, entryB)
	g.now = g.now.Add(time.Hour)
	if out := g.release(); len(out.Changes()) > 0 {
		t.Fatal(out.Changes())
	}
	g.does("demote")
	g.now = g.now.Add(8 * 24 * time.Hour) // and once his proof is forgotten it is nobody's any more
	g.does("demote")

	a.expired, a.sts = true, ""
	g.until("demote.auto a.example")
	g.blind = vantageNames // whether it ever comes back nobody sees
	for days := 0; days <= 40; days += 2 {
		_, changes, _ := g.bot("demote", g.known())
		if len(changes) == 0 {
			g.now = g.now.Add(24 * time.Hour)
			g.day()
			continue
		}
		if days < 30 || days > 34 || !slices.Equal(changes, []string{"demote.auto a.example"}) {
			t.Errorf("%q, %d days after the demotion", changes, days)
		}
		g.does("demote", changes...)
		return
	}
	t.Error("never given up")
}

// TestR52SyncChangesOneThingAtATime: while a change of mode is on its way to the list, hosts do not change beside it in a
// way that the gate would hold for ever.
func TestR52SyncChangesOneThingAtATime(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	entry := `"a.example": {"mode":"%s","mxs":["mx.a.example"],"managed-by":"mta-sts"}`
	g.source(strings.Replace(entry, "%s", "testing", 1))
	g.day()
	g.source(strings.Replace(entry, "%s", "enforce", 1)) // asked for by hand, and it takes its weeks
	g.day()
	g.does("sync-mta-sts")
	a.mx = "mx2.a.example"
	g.day()
	g.does("sync-mta-sts", "mxs.replaced a.example")
	if want := `{"mode": "testing", "mxs": ["mx2.a.example"]`; !strings.Contains(g.text(), want) {
		t.Errorf("%s", g.text())
	}
	g.is(g.until("mxs.replaced a.example"), 1, "moved")

	g.source(`"a.example": {"mode":"enforce","mxs":["mx2.a.example"],"managed-by":"mta-sts"}`)
	g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "enforce", "mx2.a.example")}, nil
	g.day()
	g.Gate = &pipeline.Gate{}
	a.sts, a.mx = "testing", "mx3.a.example"
	if changed, _ := g.day(); len(changed) > 0 && !strings.HasPrefix(changed[0], "demote.emergency") {
		t.Fatal(changed)
	}
	// Mode and hosts both: a step a run.
	for _, want := range [][]string{{"demote.owner a.example"}, {"mxs.replaced a.example"}, nil} {
		run, changes, left := g.bot("sync-mta-sts", g.known())
		if err := run.Write(); err != nil || !slices.Equal(changes, want) {
			t.Errorf("%v: %q, left %q, want %q", err, changes, left, want)
		}
	}
}

// TestBotsGoByEvidenceAlone: without the publisher's state a bot takes the scans of some days, signed by the vantages that
// list.json names and by nobody else.
func TestBotsGoByEvidenceAlone(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	g.source(`"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`, `"b.example": {"mode":"enforce","mxs":["mx.b.example"],"managed-by":"mta-sts"}`)
	var scans []probe.EvidenceFile
	known := func() *pipeline.Known {
		k, err := pipeline.KnownFrom(t.Context(), g.Source, scans, g.now)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a.expired = true
	for range 2 {
		g.now = g.now.Add(24 * time.Hour)
		scans = append(scans, g.mergeAll())
		if run, changes, left := g.bot("demote", known()); len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.waiting"}) || run.Message() != "" {
			t.Errorf("%q %q", changes, left)
		}
	}
	b.sts = "none"
	g.now = g.now.Add(24 * time.Hour)
	scans = append(scans, g.mergeAll())
	run, changes, left := g.bot("demote", known())
	if !slices.Equal(changes, []string{"demote.auto a.example"}) || !slices.Equal(left, []string{"b.example gate.waiting"}) {
		t.Fatalf("%q %q", changes, left)
	}
	if err := run.Write(); err != nil {
		t.Fatal(err)
	}
	const message = "Demote or remove 1 domain\n\n- a.example: enforce to testing (demote.auto): since "
	if !strings.HasPrefix(run.Message(), message) {
		t.Errorf("%s", run.Message())
	}
	if _, changes, _ := g.bot("demote", known()); len(changes) > 0 {
		t.Errorf("once more: %q", changes)
	}
	if _, err := pipeline.KnownFrom(t.Context(), g.Source, []probe.EvidenceFile{evidenceFile("north", g.scan("north"))}, g.now); !errors.Is(err, probe.ErrEvidence) {
		t.Errorf("one vantage's own file: %v", err)
	}
	g.write("list/list.json", `{"author": "A", "origin": "list.operator.example/2026"}`)
	if _, err := pipeline.KnownFrom(t.Context(), g.Source, scans, g.now); !errors.Is(err, probe.ErrEvidence) {
		t.Errorf("a list without vantages: %v", err)
	}
}

// TestBotLeavesWhatPeopleChange: an entry that is newer than the scan waits for the next; a file that is edited between
// reading and writing stays, and so do all others.
func TestBotLeavesWhatPeopleChange(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.held = map[string]*policy.Policy{"a.example": policyOf(t, "testing", "mx.a.example")} // what the vantages had
	k, err := pipeline.KnownFrom(t.Context(), g.Source, []probe.EvidenceFile{g.mergeAll()}, g.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, changes, left := g.bot("sync-mta-sts", k); len(changes) > 0 || !slices.Equal(left, []string{"a.example bot.changed"}) {
		t.Errorf("%q %q", changes, left)
	}
	g.held["a.example"] = policyOf(t, "enforce", "mx.a.example")
	if k, err = pipeline.KnownFrom(t.Context(), g.Source, []probe.EvidenceFile{g.mergeAll()}, g.now); err != nil {
		t.Fatal(err)
	}
	run, changes, _ := g.bot("sync-mta-sts", k)
	if !slices.Equal(changes, []string{"demote.owner a.example"}) {
		t.Fatal(changes)
	}
	byHand := g.text() + "\n"
	g.write("list/all.json", byHand)
	if err := run.Write(); !errors.Is(err, pipeline.ErrChangedMeanwhile) || g.text() != byHand {
		t.Errorf("%v\n%s", err, g.text())
	}
	if err := errors.Join(os.Rename(g.path("list/all.json"), g.path("list/all.txt")), os.Symlink("all.txt", g.path("list/all.json"))); err != nil {
		t.Fatal(err)
	}
	if run, _, _ = g.bot("sync-mta-sts", k); len(run.Files()) != 1 {
		t.Fatal(run.Files())
	}
	if err := run.Write(); !errors.Is(err, pipeline.ErrSource) || g.text() != byHand {
		t.Errorf("a symbolic link: %v\n%s", err, g.text())
	}
	if err := os.Remove(g.path("list/all.json")); err != nil {
		t.Fatal(err)
	}
	g.write("list/all.json", `{"policies": {"a.example": {}}}`)
	if _, err := g.Known(t.Context()); !errors.Is(err, pipeline.ErrSourceErrors) {
		t.Errorf("a source with errors: %v", err)
	}
}
