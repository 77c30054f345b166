package tool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) != 4 && (len(f) != 5 || strings.HasPrefix(f[3], "apt:")) {
			t.Fatalf("%q: want four fields, or five for a Go program with build tags", line)
		}
		name, stage, version, source := f[0], f[1], f[2], f[3]
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
		if !strings.Contains(" core servers judges browser ", " "+stage+" ") {
			t.Errorf("%s: no stage %q", name, stage)
		}
		want := "v" // a Go program's
		switch kind, _, _ := strings.Cut(source, ":"); kind {
		case "apt":
			want = "-"
		case "deb", "root", "npm":
			want = "r" // the number of this choice of packages
		}
		if !strings.HasPrefix(version, want) {
			t.Errorf("%s: version %q does not go with source %q", name, version, source)
		}
	}
	if len(seen) == 0 {
		t.Error("tools.txt is empty")
	}
}

func TestGoProgramComesFromItsVersionedFolderOnly(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("POLICYLIST_TOOLS", cache)
	e, err := find("fsck judges v1.2.3 host.example/fsck\n", "fsck")
	if err != nil {
		t.Fatal(err)
	}
	if path, err := e.locate(); err == nil {
		t.Fatalf("found %s in an empty cache", path)
	}
	for _, version := range []string{"v1.2.2", "v1.2.3"} {
		want := filepath.Join(cache, "fsck@"+version, "fsck")
		if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(want, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		path, err := e.locate()
		if found := err == nil; found != (version == "v1.2.3") || found && path != want {
			t.Errorf("with %s in the cache: %q, %v", version, path, err)
		}
	}
}

// Unpacked packages are a folder; of another choice of packages nothing is taken.
func TestTreeIsAVersionedFolder(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("POLICYLIST_TOOLS", cache)
	e, err := find("mta judges r2 deb:mta,libmta1\n", "mta")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"r1", "r2"} {
		if path, err := e.locate(); err == nil {
			t.Fatalf("found %s before r2 was there", path)
		}
		if err := os.MkdirAll(filepath.Join(cache, "mta@"+version, "usr/lib/x86_64-linux-gnu"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := e.locate()
	if err != nil || path != filepath.Join(cache, "mta@r2") {
		t.Errorf("%q, %v", path, err)
	}
	if got := libraries(path); len(got) != 1 || got[0] != filepath.Join(path, "usr/lib/x86_64-linux-gnu") {
		t.Errorf("libraries in %v", got)
	}
}

func TestFileOfAPackageMayBeAPattern(t *testing.T) {
	dir := t.TempDir()
	e := entry{name: filepath.Join(dir, "*", "initdb"), source: "apt:postgresql"}
	if path, err := e.locate(); err == nil {
		t.Fatalf("found %s in an empty folder", path)
	}
	for _, version := range []string{"15", "16"} {
		want := filepath.Join(dir, version, "initdb")
		if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(want, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if path, err := e.locate(); err != nil || path != want {
			t.Errorf("version %s: %q, %v", version, path, err)
		}
	}
}

// outcome records what Path does to a test instead of doing it.
type outcome struct {
	testing.TB
	did string
}

func (o *outcome) Helper()               {}
func (o *outcome) Skipf(string, ...any)  { o.end("skip") }
func (o *outcome) Fatalf(string, ...any) { o.end("fail") }
func (o *outcome) Fatal(...any)          { o.end("fail") }
func (o *outcome) end(did string)        { o.did = did; panic(o) }

func TestMissingProgramFailsOnlyWhereItMust(t *testing.T) {
	t.Setenv("POLICYLIST_TOOLS", t.TempDir())
	for _, c := range []struct{ name, ci, stages, want string }{
		{"versitygw", "", "", "skip"},
		{"versitygw", "true", "", "fail"},
		{"versitygw", "true", "core servers", "fail"},
		{"versitygw", "true", "core judges", "skip"},
		{"no-such-program", "", "", "fail"},
	} {
		t.Setenv("CI", c.ci)
		t.Setenv("POLICYLIST_STAGES", c.stages)
		o := &outcome{TB: t}
		func() {
			defer func() {
				if r := recover(); r != nil && r != any(o) {
					panic(r)
				}
			}()
			Path(o, c.name)
		}()
		if o.did != c.want {
			t.Errorf("%+v: did %q", c, o.did)
		}
	}
}
