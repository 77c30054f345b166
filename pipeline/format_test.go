package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

func TestFormatRewritesWhatItUnderstands(t *testing.T) {
	dir := layOut(t, `
-- list.json --
{"origin": "a.example", "author": "A"}
-- a.json --
{"policies": {"a.example": {"mxs": ["*.A.example"], "mode": "testing", "note": "kept"}}}
-- broken.json --
{"policies": {"b.example": {"mode": "testing", "mxs": ["mx.b.example"],}}}
`)
	a := filepath.Join(dir, "a.json")
	if err := os.Chmod(a, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.json", filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	before := read(t, a)
	for _, write := range []bool{false, true} {
		files, err := pipeline.Format(t.Context(), dir, write)
		if err != nil || len(files) != 4 {
			t.Fatal(err, files)
		}
		for i, want := range []struct{ changed, refused bool }{{true, false}, {true, false}, {false, true}, {true, false}} {
			if f := files[i]; f.Changed != want.changed || errors.Is(f.Err, policy.ErrFormat) != want.refused {
				t.Errorf("%+v", f)
			}
		}
		if !write && read(t, a) != before {
			t.Error("written though only asked")
		}
	}
	want := "{\n  \"policies\": {\n    \"a.example\": {\"mode\": \"testing\", \"mxs\": [\".a.example\"], \"note\": \"kept\"}\n  }\n}\n"
	if got := read(t, a); got != want {
		t.Errorf("formatted to\n%s", got)
	}
	if info, err := os.Stat(a); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v %v", info.Mode(), err)
	}
	if link, err := os.Readlink(filepath.Join(dir, "link.json")); err != nil || link != "a.json" {
		t.Errorf("the link became %q, %v", link, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 4 {
		t.Errorf("left behind: %v", names)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
