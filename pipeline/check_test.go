package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// layOut writes files, given as a txtar text, below a new folder.
func layOut(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, text)
	return dir
}

func put(t testing.TB, dir, text string) {
	t.Helper()
	for _, f := range txtar.Parse([]byte(text)).Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// found prints findings as "FILE:LINE:COL CODE", files relative to dir.
func found(dir string, checked pipeline.Checked) string {
	var lines []string
	for _, f := range checked.Findings() {
		place := strings.TrimPrefix(f.Position.String(), filepath.ToSlash(dir)+"/")
		lines = append(lines, strings.TrimSpace(place+" "+f.Code))
	}
	return strings.Join(lines, "\n")
}

func TestExampleListPasses(t *testing.T) {
	checked, err := pipeline.Check(t.Context(), "../policy/list")
	if err != nil || len(checked.Findings()) > 0 {
		t.Fatal(err, found("", checked))
	}
	var names []string
	for _, e := range checked.Entries() {
		names = append(names, e.Domain.String()+":"+e.Policy.Mode.String())
	}
	if got := strings.Join(names, " "); got != "good.example:enforce one.example:enforce suffix.example:enforce trial.example:testing two.example:enforce" {
		t.Error(got)
	}
	if s := checked.Source().Settings(); s.Origin != "policylist.example/demo" || s.LifetimeDays != 14 {
		t.Errorf("%+v", s)
	}
}

func TestCheckFindsFilesAtAnyDepth(t *testing.T) {
	dir := layOut(t, `
-- list.json --
{"author": "A", "origin": "a.example"}
-- README.md --
not part of it
-- .hidden.json --
{
-- .git/x.json --
{
-- deep/er/list.json --
{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}}}
-- deep/b.json --
{"policies": {"b.example": {"mode": "testing"}}}
`)
	if err := os.Symlink("deep/b.json", filepath.Join(dir, "also-b.json")); err != nil {
		t.Fatal(err)
	}
	checked, err := pipeline.Check(t.Context(), dir)
	want := `also-b.json:1:28 mxs.missing
deep/b.json:1:15 domain.duplicate
deep/b.json:1:28 mxs.missing`
	if err != nil || found(dir, checked) != want {
		t.Errorf("%v\n%s", err, found(dir, checked))
	}
	if len(checked.Entries()) != 1 {
		t.Errorf("%d entries", len(checked.Entries()))
	}
}

// A pull request can bring any file along: what leads out of the source, or never ends, is refused by name.
func TestCheckRefusesWhatIsNoPlainFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, lay := range map[string]func(path string) error{
		"link-outside.json":   func(p string) error { return os.Symlink(secret, p) },
		"link-up.json":        func(p string) error { return os.Symlink("../../../../../etc/passwd", p) },
		"link-nowhere.json":   func(p string) error { return os.Symlink("gone.json", p) },
		"link-to-a-directory": func(p string) error { return os.Symlink("sub", p) },
		"pipe.json":           func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		dir := layOut(t, "-- list.json --\n{\"author\": \"A\", \"origin\": \"a.example\"}\n-- sub/a.json --\n{\"policies\": {}}\n")
		if err := lay(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := pipeline.Check(t.Context(), dir); !errors.Is(err, pipeline.ErrSource) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "gone"), os.DevNull} {
		if _, err := pipeline.Check(t.Context(), path); !errors.Is(err, pipeline.ErrSource) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pipeline.Check(ctx, "../policy/list"); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
}

// The rules see every flaw of structure that the schemas see: nothing rests on the schema alone, except that an entry
// is refused by both.
func TestRulesAndSchemasAgree(t *testing.T) {
	for _, kind := range []string{"fragment", "settings", "old-list"} {
		for _, invalid := range []bool{true, false} {
			pattern := "../schema/valid/" + kind + "/*.json"
			if invalid {
				pattern = "../schema/invalid/" + kind + "/*.txtar"
			}
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatal(pattern, err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if invalid {
					data = txtar.Parse(data).Files[0].Data
				}
				file := policy.File{Path: "x.json", Data: data}
				var findings []policy.Finding
				switch kind {
				case "fragment":
					findings = policy.ParseFragment(file).Findings()
				case "settings":
					_, findings = policy.ParseSettings(file)
				case "old-list":
					_, findings = policy.ParseOldList(file)
				}
				findings = without(findings, "time.form") // a source's times are ignored
				if policy.HasErrors(findings) != invalid && !strings.Contains(path, "time-an-object") {
					t.Errorf("%s: the rules say %+v", path, findings)
				}
			}
		}
	}
}

func without(findings []policy.Finding, code string) (rest []policy.Finding) {
	for _, f := range findings {
		if f.Code != code {
			rest = append(rest, f)
		}
	}
	return rest
}

// What only the schema objects to does not pass either, and its place is shown.
func TestSchemaSpeaksWhereTheRulesAreSilent(t *testing.T) {
	dir := layOut(t, `
-- old.json --
{
  "version": "0.1", "policies": {}, "policy-aliases": {},
  "timestamp": {"seconds": 1}
}
`)
	checked, err := pipeline.Check(t.Context(), filepath.Join(dir, "old.json"))
	if got := found(dir, checked); err != nil || got != "old.json:3:16 source.shape" {
		t.Errorf("%v %s", err, got)
	}
}

// The schema of the published list accepts whatever is canonical.
func TestListSchemaAcceptsEveryCanonicalList(t *testing.T) {
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	label := func() string {
		const inner = "abcxyz0189-"
		n := 1 + random.IntN(63)
		b := make([]byte, n)
		for i := range b {
			b[i] = inner[random.IntN(len(inner))]
		}
		b[0], b[n-1] = inner[random.IntN(10)], inner[random.IntN(10)]
		return string(b)
	}
	name := func() string {
		parts := make([]string, 2+random.IntN(3))
		for i := range parts {
			parts[i] = label()
		}
		return strings.Join(parts, ".")
	}
	lists := 0
	for range 300 {
		var entries []policy.Entry
		for range random.IntN(6) {
			d, err := policy.ParseDomain(name())
			if err != nil {
				continue // too long, or digits only at the end
			}
			var mxs []policy.MXPattern
			for range 1 + random.IntN(16) {
				if m, err := policy.ParseMXPattern(strings.Repeat(".", random.IntN(2)) + name()); err == nil {
					mxs = append(mxs, m)
				}
			}
			if p, err := policy.NewPolicy(policy.Mode(1+random.IntN(2)), mxs); err == nil {
				entries = append(entries, policy.Entry{Domain: d, Policy: p})
			}
		}
		list, err := policy.NewList(entries)
		if err != nil {
			continue
		}
		header := policy.Header{Timestamp: time.Unix(random.Int64N(1<<33), 0), Author: strings.Repeat(string(rune(' '+random.IntN(95))), random.IntN(257))}
		header.Expires = header.Timestamp.Add(time.Hour)
		text, err := list.Bytes(header)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.ParseDocument(policy.File{Path: "policy.json", Data: text})
		if err != nil {
			t.Fatal(err)
		}
		if violations := set.Validate(schema.List, doc.Root.Value()); violations != nil {
			t.Fatalf("%s\n%+v", text, violations)
		}
		lists++
	}
	if lists < 200 {
		t.Fatalf("only %d lists were tried", lists)
	}
}

// However many fragments are read side by side, the result is the same.
func TestCheckIsDeterministic(t *testing.T) {
	var text strings.Builder
	text.WriteString("-- list.json --\n{\"author\": \"A\", \"origin\": \"a.example\"}\n")
	for i := range 50 {
		fmt.Fprintf(&text, "-- f%02d.json --\n{\"policies\": {\"d%02d.example\": {\"mode\": \"none\", \"mxs\": [\"MX.d%02d.example\"]}, \"same.example\": {\"policy-alias\": \"x%d\"}}}\n", i, i, i, i)
	}
	dir := layOut(t, text.String())
	var first string
	for range 10 {
		checked, err := pipeline.Check(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		now := fmt.Sprintf("%+v", checked.Findings())
		if first == "" {
			first = now
		}
		if now != first || len(checked.Findings()) != 50*3+49 {
			t.Fatalf("%d findings\n%s", len(checked.Findings()), found(dir, checked))
		}
	}
}
