package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// What is told of incidents, well or not, changes nothing of what a source lists, and keeps nobody from it.
func TestIncidentsAreNoPartOfTheList(t *testing.T) {
	source := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("list.json", `{"author": "A list", "origin": "list.example/a"}`)
	write("a.json", `{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"]}}}`)
	before, err := pipeline.Check(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := pipeline.Incidents(source); err != nil || files == nil || len(files) != 0 {
		t.Errorf("of a source without incidents: %v, %v", files, err)
	}
	write("incidents/2026-03-02-b.json", `{"title": "B", "began": "2026-03-02T10:00:00Z", "text": ["x"]}`)
	write("incidents/2026-03-01-a.json", `{"policies": {"b.example": {"mode": "testing", "mxs": ["mx.b.example"]}}}`)
	write("incidents/.hidden.json", "{")
	write("incidents/notes.txt", "{")
	after, err := pipeline.Check(t.Context(), source)
	if err != nil || len(after.Findings()) > 0 || !reflect.DeepEqual(before.Entries(), after.Entries()) {
		t.Errorf("%v: %v, %v", err, after.Findings(), after.Entries())
	}
	files, err := pipeline.Incidents(source)
	if err != nil || len(files) != 2 || !strings.HasSuffix(files[0].Path, "/incidents/2026-03-01-a.json") {
		t.Errorf("%v, %v", err, files)
	}
	if found, err := pipeline.CheckIncidents(t.Context(), source, ""); err != nil || !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Code == "source.unknown-key" }) {
		t.Errorf("%v, %v", found, err)
	}
	// Elsewhere the name means nothing: a folder of that name below another one holds fragments.
	write("more/incidents/c.json", `{"policies": {"c.example": {"mode": "testing", "mxs": ["mx.c.example"]}}}`)
	if c, err := pipeline.Check(t.Context(), source); err != nil || len(c.Entries()) != 2 {
		t.Errorf("%v: %v", err, c.Entries())
	}
	// Nothing from outside, and no list in one file.
	if err := os.Symlink("/etc/hostname", filepath.Join(source, "incidents/2026-03-03-c.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Incidents(source); !errors.Is(err, pipeline.ErrSource) {
		t.Errorf("a link to another folder: %v", err)
	}
	if _, err := pipeline.Incidents(filepath.Join(source, "a.json")); !errors.Is(err, pipeline.ErrSource) {
		t.Errorf("a file: %v", err)
	}
	if found, err := pipeline.CheckIncidents(t.Context(), filepath.Join(source, "a.json"), ""); err != nil || found != nil {
		t.Errorf("a file: %v, %v", found, err)
	}
}
