package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func TestEachChangeHasItsClass(t *testing.T) {
	e := func(mode policy.Mode, mxs ...string) []policy.Entry {
		return []policy.Entry{entry(t, "a.example", mode, mxs...)}
	}
	for _, c := range []struct {
		old, new []policy.Entry
		want     string
	}{
		{nil, e(policy.Testing, "mx.a.example"), "added"},
		{e(policy.Testing, "mx.a.example"), nil, "removed"},
		{e(policy.Testing, "mx.a.example"), e(policy.Enforce, "mx.a.example"), "strengthened"},
		{e(policy.Enforce, "mx.a.example"), e(policy.Testing, "mx.a.example"), "weakened"},
		{e(policy.Enforce, "m1.a.example", "m2.a.example"), e(policy.Enforce, "m1.a.example"), "mxs-narrowed"},
		{e(policy.Enforce, ".a.example"), e(policy.Enforce, "m1.a.example"), "mxs-narrowed"},
		{e(policy.Enforce, ".a.example", "m1.a.example"), e(policy.Enforce, ".a.example"), "mxs-narrowed"},
		{e(policy.Enforce, "m1.a.example"), e(policy.Enforce, "m1.a.example", "m2.a.example"), "mxs-widened"},
		{e(policy.Enforce, "m1.a.example"), e(policy.Enforce, ".a.example"), "mxs-widened"},
		{e(policy.Enforce, "m1.b.a.example"), e(policy.Enforce, ".a.example"), "mxs-replaced"},
		{e(policy.Enforce, "m1.a.example"), e(policy.Enforce, "m2.a.example"), "mxs-replaced"},
		{e(policy.Testing, "m1.a.example"), e(policy.Enforce, "m2.a.example"), "strengthened+mxs-replaced"},
		{e(policy.Enforce, "m1.a.example"), e(policy.Testing, ".a.example"), "weakened+mxs-widened"},
		{e(policy.Enforce, "m1.a.example"), e(policy.Enforce, "m1.a.example"), ""},
	} {
		var got []string
		for _, change := range policy.Diff(c.old, c.new) {
			got = append(got, change.Class.String())
			if both := strings.Contains(c.want, "+"); change.Class.ModeAndMXs() != both {
				t.Errorf("%s: mode and mxs in one step: %v", c.want, !both)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v to %v is %q, want %q", c.old, c.new, got, c.want)
		}
	}
}

func TestDiffWalksBothListsInOrder(t *testing.T) {
	before := []policy.Entry{entry(t, "a.example", policy.Testing, "mx.a.example"), entry(t, "c.example", policy.Testing, "mx.c.example"), entry(t, "d.example", policy.Testing, "mx.d.example")}
	after := []policy.Entry{entry(t, "b.example", policy.Enforce, "mx.b.example"), entry(t, "c.example", policy.Enforce, "mx.c.example"), entry(t, "d.example", policy.Testing, "mx.d.example")}
	text, err := json.Marshal(policy.Diff(before, after))
	want := `[{"domain":"a.example","class":"removed","old":{"mode":"testing","mxs":["mx.a.example"]}},` +
		`{"domain":"b.example","class":"added","new":{"mode":"enforce","mxs":["mx.b.example"]}},` +
		`{"domain":"c.example","class":"strengthened","old":{"mode":"testing","mxs":["mx.c.example"]},"new":{"mode":"enforce","mxs":["mx.c.example"]}}]`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestBudgetHasAFloorAndAShare(t *testing.T) {
	removed := func(n int) (changes []policy.Change) {
		for i := range n {
			p := entry(t, "a.example", policy.Enforce, "mx.a.example").Policy
			changes = append(changes, policy.Change{Domain: domain(t, fmt.Sprintf("d%d.example", i)), Old: &p, Class: policy.Removed})
		}
		return changes
	}
	added := func(mode policy.Mode) policy.Change {
		p := entry(t, "a.example", mode, "mx.a.example").Policy
		return policy.Change{Domain: domain(t, "a.example"), New: &p, Class: policy.Added}
	}
	for _, c := range []struct {
		listed, removed, allowed int // allowed 0: within the budget
	}{{10, 10, 0}, {30, 20, 0}, {30, 21, 20}, {1000, 50, 0}, {1000, 51, 50}} {
		over := policy.Count(c.listed, removed(c.removed)).Over()
		if (len(over) == 1) != (c.allowed > 0) || len(over) == 1 && over[0].Allowed != c.allowed {
			t.Errorf("%d of %d removed: %v", c.removed, c.listed, over)
		}
	}
	tally := policy.Count(5, []policy.Change{added(policy.Enforce), added(policy.Testing), {Class: policy.Weakened}, {Class: policy.MXsWidened},
		{Class: policy.MXsReplaced}, {Class: policy.Strengthened | policy.MXsReplaced}, {Class: policy.MXsNarrowed}})
	if tally != (policy.Tally{Listed: 5, Weakened: 2, Hardened: 3, Touched: 4}) {
		t.Errorf("%+v", tally)
	}
}

// What startles a client is 20 entries and more than a fifth of its list: both sides of both limits.
func TestStartles(t *testing.T) {
	for _, c := range []struct {
		listed, touched int
		want            bool
	}{{0, 500, false}, {1, 19, false}, {1, 20, true}, {99, 19, false}, {99, 20, true}, {100, 20, false}, {100, 21, true}, {104, 21, true}, {105, 21, false}, {1000, 200, false}, {1000, 201, true}} {
		tally := policy.Tally{Listed: c.listed, Touched: c.touched}
		if tally.Startles() != c.want || c.listed > 0 && (c.touched > policy.Unstartling(c.listed)) != c.want {
			t.Errorf("%d of %d: %v", c.touched, c.listed, tally.Startles())
		}
	}
}

// A change is to blame for what is new and for what concerns the domains that it touches, not for what moved a line.
func TestIntroducedLeavesOldFindingsOut(t *testing.T) {
	text := func(lead, c string) string {
		return `{"policies": {` + lead + `
 "a.example": {"mode": "testing", "mxs": [".a.example", "mx.a.example"]},
 "c.example": {"mode": "testing", "mxs": [".c.example", "` + c + `"]},
 "d.example": {"mode": "testing", "mxs": ["mx.d.example"]},
 "d.example": {"mode": "testing", "mxs": ["mx.d.example"]}}}`
	}
	before, old := parse(map[string]policy.File{"a.json": {Path: "a.json", Data: []byte(text("", "m1.c.example"))}}, "")
	after, now := parse(map[string]policy.File{"a.json": {Path: "a.json", Data: []byte(text("\n\n", "m2.c.example"))}}, "")
	changes, findings := policy.CompareSources(before, after)
	if len(changes) != 1 || len(findings) != 0 {
		t.Fatalf("%v %v", changes, findings)
	}
	if got := plain(policy.Introduced(old, now, changes)); got != "a.json:5:57 mx.redundant" {
		t.Errorf("introduced:\n%s\nof\n%s", got, plain(now))
	}
}
