package pipeline_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// repository is a new Git repository; git runs there with a configuration of its own.
type repository struct {
	t   testing.TB
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is missing")
		}
		t.Skip("git is missing")
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "test")
		t.Setenv("GIT_"+who+"_EMAIL", "test@list.example")
	}
	r := repository{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r repository) git(args ...string) {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (r repository) commit(text string) {
	r.t.Helper()
	put(r.t, r.dir, text)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "list")
}

func changes(checked pipeline.Checked) string {
	var lines []string
	for _, c := range checked.Changes() {
		lines = append(lines, strings.TrimSpace(c.Domain.String()+" "+c.Class.String()+" "+c.Alias))
	}
	return strings.Join(lines, "\n")
}

const firstCommit = `
-- list/list.json --
{"author": "A", "origin": "a.example"}
-- list/provider.json --
{"policy-aliases": {"p": {"mode": "enforce", "mxs": ["mx1.p.example"]}},
 "policies": {
  "one.example": {"policy-alias": "p"},
  "two.example": {"policy-alias": "p"}}}
-- list/old sins.json --
{"policies": {"c.example": {"mode": "testing", "mxs": [".c.example", "mx.c.example"]}}}
`

func TestBaseShowsWhatAnAliasEditDoes(t *testing.T) {
	r := newRepository(t)
	r.commit(firstCommit)
	list := filepath.Join(r.dir, "list")
	put(t, r.dir, `
-- list/provider.json --
{"policy-aliases": {"p": {"mode": "enforce", "mxs": ["mx1.p.example", "mx2.p.example"]}},
 "policies": {
  "one.example": {"policy-alias": "p"},
  "three.example": {"mode": "enforce", "mxs": ["MX.three.example"]},
  "two.example": {"policy-alias": "p"}}}
`)
	checked, err := pipeline.CheckAgainst(t.Context(), list, "main")
	if err != nil || !checked.Compared() {
		t.Fatal(err)
	}
	if got := changes(checked); got != "one.example mxs-widened p\nthree.example added\ntwo.example mxs-widened p" {
		t.Errorf("changes\n%s", got)
	}
	// The redundant pattern of c.example was there before.
	if got := found(list, checked); got != "provider.json:3:3 change.alias\nprovider.json:4:48 mx.form\nprovider.json:5:3 change.alias" {
		t.Errorf("findings\n%s", got)
	}
	if checked, err = pipeline.Check(t.Context(), list); err != nil || !strings.Contains(found(list, checked), "old sins.json:1:70 mx.redundant") {
		t.Errorf("without a base: %v\n%s", err, found(list, checked))
	}
}

func TestBaseFollowsAMovedSource(t *testing.T) {
	r := newRepository(t)
	r.commit(firstCommit)
	r.git("mv", "list", "policies here")
	moved := filepath.Join(r.dir, "policies here")
	put(t, r.dir, "-- policies here/b.json --\n{\"policies\": {\"b.example\": {\"mode\": \"testing\", \"mxs\": [\"mx.b.example\"]}}}\n")
	checked, err := pipeline.CheckAgainst(t.Context(), moved, "HEAD")
	if got := changes(checked); err != nil || got != "b.example added" || len(checked.Findings()) > 0 {
		t.Errorf("%v\n%s\n%s", err, got, found(moved, checked))
	}

	// A source that was not there at all is new, every domain of it.
	put(t, r.dir, "-- other/list.json --\n{\"author\": \"B, of another list\", \"origin\": \"b.example/b\", \"lifetime\": 30}\n-- other/x.json --\n{\"policies\": {\"x.example\": {\"mode\": \"testing\", \"mxs\": [\"mx.x.example\"]}}}\n")
	checked, err = pipeline.CheckAgainst(t.Context(), filepath.Join(r.dir, "other"), "HEAD")
	if got := changes(checked); err != nil || got != "x.example added" {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestBaseOfASingleFileAndOfTheWholeRepository(t *testing.T) {
	r := newRepository(t)
	const old = `{"version": "0.1", "policy-aliases": {}, "policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}}}`
	r.commit("-- list.json --\n{\"author\": \"A\", \"origin\": \"a.example\"}\n-- .github/x.json --\n[]\n-- old/policy.json --\n" + old + "\n-- a.json --\n{\"policies\": {}}\n")
	r.git("mv", "old/policy.json", "old.json")
	put(t, r.dir, "-- old.json --\n"+strings.ReplaceAll(old, "testing", "enforce")+"\n")
	checked, err := pipeline.CheckAgainst(t.Context(), filepath.Join(r.dir, "old.json"), "main")
	if got := changes(checked); err != nil || got != "a.example strengthened" {
		t.Errorf("%v\n%s", err, got)
	}

	r.git("rm", "-q", "-f", "old.json")
	put(t, r.dir, "-- a.json --\n{\"policies\": {\"b.example\": {\"mode\": \"testing\", \"mxs\": [\"mx.b.example\"]}}}\n")
	t.Chdir(r.dir)
	checked, err = pipeline.CheckAgainst(t.Context(), ".", "main~0")
	if got := changes(checked); err != nil || got != "a.example removed\nb.example added" {
		t.Errorf("%v\n%s\n%s", err, got, found(".", checked))
	}
}

func TestBaseThatCannotBeRead(t *testing.T) {
	r := newRepository(t)
	r.commit(firstCommit)
	list := filepath.Join(r.dir, "list")
	for revision, want := range map[string]error{
		"gone":                         pipeline.ErrNoRevision,
		"--output=" + r.dir + "/pwned": pipeline.ErrNoRevision,
		"":                             pipeline.ErrNoRevision,
		"main:list":                    pipeline.ErrNoRevision,
	} {
		if _, err := pipeline.CheckAgainst(t.Context(), list, revision); !errors.Is(err, want) {
			t.Errorf("%q: %v", revision, err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, "pwned")); err == nil {
		t.Error("a revision was taken for an option")
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", "/")
	outside := layOut(t, firstCommit)
	if _, err := pipeline.CheckAgainst(t.Context(), filepath.Join(outside, "list"), "main"); !errors.Is(err, pipeline.ErrNotRepository) {
		t.Errorf("outside a repository: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := pipeline.CheckAgainst(t.Context(), list, "main"); !errors.Is(err, pipeline.ErrGit) {
		t.Errorf("without git: %v", err)
	}
}
