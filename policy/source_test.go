package policy_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func plain(findings []policy.Finding) string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.Position.String()+" "+f.Code)
	}
	return strings.Join(lines, "\n")
}

const settingsText = `{"author": "A list", "origin": "list.example/a", "lifetime": 7,
 "vantages": [{"name": "north", "key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="},
              {"name": "south", "key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI="}]}`

func TestSourceCompilesToSortedEntries(t *testing.T) {
	source, findings := policy.ParseSource("list", []policy.File{
		{Path: "list/list.json", Data: []byte(settingsText)},
		{Path: "list/z.json", Data: []byte(`{"policies": {
  "z.example": {"mode": "testing", "mxs": ["mx2.z.example", "mx1.z.example"], "managed-by": "mta-sts"},
  "zz.example": {"policy-alias": "provider", "note": "since May", "override": "their policy is stale"}}}`)},
		{Path: "list/sub/a.json", Data: []byte(`{"policy-aliases": {"provider": {"mode": "enforce", "mxs": [".provider.example"]}},
 "policies": {"a.example": {"policy-alias": "provider"}}}`)},
	})
	if len(findings) > 0 {
		t.Fatal(plain(findings))
	}
	var lines []string
	for _, e := range source.Compile() {
		lines = append(lines, e.Domain.String()+" "+string(e.Policy.AppendJSON(nil)))
	}
	want := `a.example {"mode":"enforce","mxs":[".provider.example"]}
z.example {"mode":"testing","mxs":["mx1.z.example","mx2.z.example"]}
zz.example {"mode":"enforce","mxs":[".provider.example"]}`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("compiled to\n%s", got)
	}
	zz, ok := source.Lookup(domain(t, "zz.example"))
	if !ok || zz.Note != "since May" || zz.Override == "" || zz.Alias != "provider" || zz.ManagedBy != policy.ManagedByOwner || zz.Position().String() != "list/z.json:3:3" {
		t.Errorf("%+v at %s", zz, zz.Position())
	}
	if members := source.Members("provider"); len(members) != 2 || members[0].Domain.String() != "a.example" {
		t.Errorf("members %v", members)
	}
	s := source.Settings()
	if s.LifetimeDays != 7 || s.Quorum != 1 || len(s.Vantages) != 2 || s.Vantages[1].Key[31] != 2 {
		t.Errorf("%+v", s)
	}
}

// Two independent flaws are both found; the rest of the source is still read.
func TestOneBrokenFileDoesNotHideAnother(t *testing.T) {
	source, findings := policy.ParseSource(".", []policy.File{
		{Path: "list.json", Data: []byte(`{"author": 1, "origin": "list.example", "lifetime": 14.0, "quorum": 1, "vantages": [{"name": "N"}], "x": 0}`)},
		{Path: "a.json", Data: []byte(`[]`)},
		{Path: "b.json", Data: []byte(`{"policies": [], "policy-aliases": {"a": [], "b": {"mode": 1, "mxs": [1], "managed-by": "owner", "note": 5}}}`)},
		{Path: "c.json", Data: []byte(`{`)},
		{Path: "d.json", Data: []byte(`{"policies": {"d.example": {"mode": "testing", "mxs": ["mx.d.example"]}, "e.example": 7, "f.example": {"policy-alias": ""}}}`)},
		{Path: "e.json", Data: []byte(`{}`)},
	})
	got := plain(findings)
	want := `a.json:1:1 source.shape
b.json:1:14 source.shape
b.json:1:37 alias.unused
b.json:1:42 source.shape
b.json:1:46 alias.unused
b.json:1:60 source.shape
b.json:1:71 source.shape
b.json:1:75 source.unknown-key
b.json:1:106 source.shape
c.json:1:2 json.syntax
d.json:1:87 source.shape
d.json:1:120 alias.unknown
e.json:1:1 source.shape
list.json:1:12 source.shape
list.json:1:53 list.lifetime
list.json:1:69 list.quorum
list.json:1:85 source.shape
list.json:1:101 source.unknown-key`
	if got != want {
		t.Errorf("found\n%s", got)
	}
	if entries := source.Compile(); len(entries) != 1 {
		t.Errorf("%d entries", len(entries))
	}
}

func TestExamplesOfTheRulesPass(t *testing.T) {
	page, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	_, findings := policy.ParseSource(".", []policy.File{{Path: "a.json", Data: blocks[0][1]}, {Path: "list.json", Data: blocks[1][1]}})
	if len(findings) > 0 {
		t.Error(plain(findings))
	}
	if _, findings := policy.ParseIncident(policy.File{Path: "incidents/2026-03-02-witness-down.json", Data: blocks[2][1]}); len(findings) > 0 {
		t.Error(plain(findings))
	}
	for i, format := range []func(policy.File) ([]byte, error){policy.FormatFragment, policy.FormatSettings} {
		if out, err := format(policy.File{Path: "x", Data: blocks[i][1]}); err != nil || string(out) != string(blocks[i][1]) {
			t.Errorf("the example is not in the normal form: %v\n%s", err, out)
		}
	}
}

// FuzzSource: nothing that a pull request holds makes the checker fall over, every finding is explained, and what passes
// without an error compiles to a list that can be published.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{
		`{"policies": {"A.example": {"mode": "enforce", "mxs": ["*.a.example", ".", "192.0.2.1", "x"]}}}`,
		`{"policy-aliases": {"p": {"mode": "testing", "mxs": ["mx.p.example"]}}, "policies": {"a.example": {"policy-alias": "p", "note": "x@y.z"}}}`,
		`{"version": "0.1", "timestamp": 1, "expires": "x", "policies": {"b.example": {}}, "policy-aliases": {}}`,
		`{"policies": {"": {"mxs": [], "mode": null}, "a.example": {"policy-alias": "p"}, "a.example": 1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := policy.File{Path: "a.json", Data: data}
		_, found := policy.ParseOldList(file)
		_, more := policy.ParseSettings(file)
		source, findings := policy.ParseSource("", []policy.File{file})
		for _, x := range slices.Concat(found, more, findings) {
			if _, ok := policy.LookupCode(x.Code); !ok || x.Fix == "" || x.Summary == "" {
				t.Fatalf("%+v", x)
			}
		}
		list, err := policy.NewList(slices.Clone(source.Compile()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := list.Bytes(header())
		if err != nil {
			t.Fatal(err)
		}
		if _, again, err := policy.ParseList(text); err != nil || again.Len() != list.Len() {
			t.Fatal(err)
		}
		out, err := policy.FormatFragment(file)
		if err != nil {
			return
		}
		formatted := policy.File{Path: "a.json", Data: out}
		if twice, err := policy.FormatFragment(formatted); err != nil || string(twice) != string(out) {
			t.Fatalf("formatting %q twice: %v\n%s", out, err, twice)
		}
		after, _ := policy.ParseSource("", []policy.File{formatted})
		for _, c := range policy.Diff(source.Compile(), after.Compile()) {
			// Dropping what another pattern covers is the only difference that formatting may make.
			if c.Class != policy.MXsNarrowed {
				t.Fatalf("formatting changes %s: %s", c.Domain, c.Class)
			}
		}
	})
}
