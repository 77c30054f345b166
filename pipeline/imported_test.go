package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
)

const oldHistory = "../../shared/data/eff-history"

// oldFiles reads the real lists of the old project, which stand beside the repository in CI only.
func oldFiles(t *testing.T) ([]pipeline.OldFile, *signing.Keyring) {
	t.Helper()
	names, err := filepath.Glob(oldHistory + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skip("the old project's lists are not here")
	}
	var files []pipeline.OldFile
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sig, _ := os.ReadFile(name + ".asc")
		files = append(files, pipeline.OldFile{File: policy.File{Path: filepath.Base(name), Data: data}, Signature: sig})
	}
	public, err := os.ReadFile(oldHistory + "/eff-authority.pgp")
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := signing.ReadKeyring(public)
	if err != nil {
		t.Fatal(err)
	}
	return files, keyring
}

// TestImportTheOldHistory makes 46 releases of 46 real files. A client that follows by delta and one that takes
// snapshots hold the same bytes after each.
func TestImportTheOldHistory(t *testing.T) {
	files, keyring := oldFiles(t)
	o := newOperator(t, "public")
	o.SkipVerify = true
	var delta, snapshot *mirror.Client
	found := map[string][]int64{}
	err := o.Import(t.Context(), files, keyring, func(i pipeline.Imported) {
		n := i.Leaf().Release
		for _, f := range i.Findings {
			if !slices.Contains(found[f.Code], n) {
				found[f.Code] = append(found[f.Code], n)
			}
		}
		if delta == nil {
			delta, snapshot = o.client("public", mirror.Auto), o.client("public", mirror.Snapshot)
			delta.KeepStale, snapshot.KeepStale = true, true
		}
		for _, c := range []*mirror.Client{delta, snapshot} {
			c.Accept = n // the diff guard rightly stops at 361 domains that change at once
			if got, err := c.Update(t.Context()); err != nil || got.Release.Release != n {
				t.Fatalf("release %d by %q: %v %v", n, c.Method, err, got.Problems)
			}
		}
		delta.Method = mirror.Delta
		if string(list(t, delta.Dir)) != string(list(t, snapshot.Dir)) {
			t.Fatalf("release %d: the two paths end in different bytes", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string][]int64{
		"import.unsigned":      {1},
		"import.bad-signature": {3, 18},
		"time.not-later":       {18, 30},
		"source.retired-key":   span(1, 12),
		"json.duplicate-key":   span(4, 15),
		"mx.form":              append(span(16, 18), span(30, 46)...),
		"time.lapsed":          {2, 3, 7, 17, 27, 28, 31, 32, 37, 42, 44},
	} {
		if !slices.Equal(found[code], want) {
			t.Errorf("%s in the releases %v, want %v", code, found[code], want)
		}
	}
	_, held, err := policy.ParseList(list(t, delta.Dir))
	if err != nil || held.Len() != 466 {
		t.Errorf("the last list has %d domains: %v", held.Len(), err)
	}
	again := func(i pipeline.Imported) { t.Errorf("%s was imported twice", i.File) }
	if err := o.Import(t.Context(), files, keyring, again); err != nil {
		t.Error(err)
	}
}

func span(from, to int64) []int64 {
	var out []int64
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

const oldList = `{
  "timestamp": "2018-03-30T19:45:16+00:00",
  "expires": "2018-04-13T19:45:16+00:00",
  "version": "0.1",
  "policy-aliases": {"big": {"mode": "enforce", "mxs": [".mx.big.example"]}},
  "policies": {
    "a.example": {"policy-alias": "big"},
    "b.example": {"mode": "testing", "mxs": ["MX.b.example"]}
  }
}`

// TestFirstReleaseAfterImport: imported enforce entries are history. What nobody has seen to work today goes on as
// testing.
func TestFirstReleaseAfterImport(t *testing.T) {
	o := newOperator(t, "public")
	file := pipeline.OldFile{File: policy.File{Path: "old.json", Data: []byte(oldList)}}
	err := o.Import(t.Context(), []pipeline.OldFile{file}, nil, func(i pipeline.Imported) {
		if c := i.Changes(); len(c) != 2 || c[0].Reason != "import.history" || c[1].Reason != "import.history" {
			t.Errorf("imported with the changes %+v", c)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if data := string(list(t, o.path("public"))); !strings.Contains(data, `"a.example":{"mode":"enforce","mxs":[".mx.big.example"]}`) {
		t.Fatalf("imported:\n%s", data)
	}
	if err := os.RemoveAll(o.path("list/domains")); err != nil {
		t.Fatal(err)
	}
	o.write("list/a.json", `{"policies":{"a.example":{"mode":"enforce","mxs":[".mx.big.example"]},"b.example":{"mode":"testing","mxs":["mx.b.example"]}}}`)
	out := o.release()
	if len(out.Changes()) != 1 || out.Changes()[0].Reason != "import.unproven" || out.Changes()[0].Policy.Mode != policy.Testing {
		t.Errorf("changes: %+v", out.Changes())
	}
	err = o.Import(t.Context(), []pipeline.OldFile{file}, nil, func(pipeline.Imported) {})
	if !errors.Is(err, pipeline.ErrImport) {
		t.Errorf("history after a release from a source: %v", err)
	}
}
