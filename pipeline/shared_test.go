package pipeline

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// A fragment that is the same in both versions is parsed once, and a changed one never taken for it.
func TestSharedFragments(t *testing.T) {
	file := func(name, text string) policy.File { return policy.File{Path: name, Data: []byte(text)} }
	before := tree{rest: []policy.File{file("same.json", `{"policies":{}}`), file("edited.json", `{"policies":{}}`), file("gone.json", `{}`)}}
	after := tree{rest: []policy.File{file("same.json", `{"policies":{}}`), file("edited.json", `{"policies": {}}`), file("new.json", `{}`)}}
	same := newShared(before, after)
	if len(same) != 1 || same["same.json"] == nil {
		t.Fatalf("shared: %v", same)
	}
	if first, second := same["same.json"](), same["same.json"](); first != second {
		t.Error("parsed twice")
	}
}

// randomTree is a source that has mistakes here and there: names twice, unknown aliases, a wrong type, no JSON at all.
func randomTree(rnd *rand.Rand) tree {
	t := tree{where: "list.json", settings: &policy.File{Path: "list.json", Data: []byte(`{"author":"A","origin":"list.example/a"}`)}}
	for i := range 6 {
		t.rest = append(t.rest, policy.File{Path: fmt.Sprintf("f%d.json", i), Data: randomFragment(rnd)})
	}
	return t
}

func randomFragment(rnd *rand.Rand) []byte {
	if rnd.IntN(12) == 0 {
		return []byte(`{"policies": {`)
	}
	var aliases, entries []string
	for range rnd.IntN(3) {
		aliases = append(aliases, fmt.Sprintf(`"p%d":{"mode":"enforce","mxs":["mx%d.p.example"]}`, rnd.IntN(4), rnd.IntN(3)))
	}
	for range rnd.IntN(5) {
		body := [...]string{`"policy-alias":"p%d"`, `"mode":"testing","mxs":["mx%d.x.example"]`, `"mode":"enforce","mxs":[%d]`,
			`"mode":"enforce","mxs":["MX%d.x.example"],"override":"because"`}[rnd.IntN(4)]
		entries = append(entries, fmt.Sprintf(`"d%d.example":{`+body+`}`, rnd.IntN(12), rnd.IntN(4)))
	}
	return fmt.Appendf(nil, "{\"policy-aliases\":{%s},\n\"policies\":{%s}}", strings.Join(aliases, ","), strings.Join(entries, ",\n"))
}

// What two versions share makes no difference to what the check says.
func TestSharingChangesNothing(t *testing.T) {
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	v, rnd := validator{set}, rand.New(rand.NewPCG(1, 2))
	introduced := 0
	for round := range 80 {
		before := randomTree(rnd)
		after := before
		after.rest = slices.Clone(before.rest)
		for range rnd.IntN(3) {
			after.rest[rnd.IntN(len(after.rest))].Data = randomFragment(rnd)
		}
		if rnd.IntN(4) == 0 {
			after.rest = append(after.rest, policy.File{Path: "new.json", Data: randomFragment(rnd)})
		}
		got, err := v.compare(t.Context(), before, after, newShared(before, after))
		if err != nil {
			t.Fatal(err)
		}
		want, err := v.compare(t.Context(), before, after, nil)
		if err != nil {
			t.Fatal(err)
		}
		introduced += len(want.findings)
		if !reflect.DeepEqual(got.findings, want.findings) || !reflect.DeepEqual(got.entries, want.entries) || !reflect.DeepEqual(changeTexts(got.changes), changeTexts(want.changes)) {
			t.Fatalf("round %d: with sharing\n%v\n%v\nwithout\n%v\n%v", round, got.findings, changeTexts(got.changes), want.findings, changeTexts(want.changes))
		}
	}
	if introduced == 0 {
		t.Error("no round introduced a finding")
	}
}

func changeTexts(changes []policy.SourceChange) (out []string) {
	for _, c := range changes {
		out = append(out, fmt.Sprint(c.Domain, c.Class, c.Alias, c.At))
	}
	return out
}
