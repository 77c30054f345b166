package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/schema"
)

func load(t testing.TB) *schema.Set {
	t.Helper()
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func glob(t *testing.T, pattern string, atLeast int) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < atLeast {
		t.Fatalf("%d fixtures %s, want %d or more (%v)", len(paths), pattern, atLeast, err)
	}
	return paths
}

func TestValidFixturesPass(t *testing.T) {
	set := load(t)
	for _, kind := range schema.Kinds() {
		for _, path := range glob(t, filepath.Join("valid", string(kind), "*.json"), 1) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range set.Validate(kind, decode(t, data)) {
				t.Errorf("%s: %s: %s", path, v.Pointer, v.Message)
			}
		}
	}
}

// Each invalid fixture is a sentence naming its one flaw, where it is ("at:"), and the document.
func TestInvalidFixturesFailAtTheirFlaw(t *testing.T) {
	set := load(t)
	for _, kind := range schema.Kinds() {
		for _, path := range glob(t, filepath.Join("invalid", string(kind), "*.txtar"), 3) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sentence, at, ok := strings.Cut(strings.TrimSpace(string(a.Comment)), "\nat: ")
			if !ok || !strings.HasSuffix(sentence, ".") && !strings.HasSuffix(sentence, "?") || len(a.Files) != 1 {
				t.Fatalf("%s: no sentence, place and document", path)
			}
			if at == "the whole" {
				at = ""
			}
			violations := set.Validate(kind, decode(t, a.Files[0].Data))
			if len(violations) == 0 {
				t.Errorf("%s passes", path)
			}
			for _, v := range violations {
				if v.Pointer != at {
					t.Errorf("%s: %q: %s, expected only at %q", path, v.Pointer, v.Message, at)
				}
			}
		}
	}
}

// Other people's validators look at the schemas too: each says which draft it is and explains itself.
func TestSchemasExplainThemselves(t *testing.T) {
	for _, kind := range schema.Kinds() {
		text, err := schema.Text(kind)
		if err != nil {
			t.Fatal(err)
		}
		m := decode(t, text).(map[string]any)
		if m["$schema"] != "http://json-schema.org/draft-07/schema#" || m["title"] == "" || m["description"] == nil ||
			!strings.HasSuffix(m["$id"].(string), "/"+string(kind)+".schema.json") {
			t.Errorf("%s: %v %v %v", kind, m["$schema"], m["$id"], m["title"])
		}
	}
	if files := glob(t, "*.schema.json", 1); len(files) != len(schema.Kinds()) {
		t.Errorf("%d schemas, %d kinds", len(files), len(schema.Kinds()))
	}
	if v := load(t).Validate("nonsense", nil); len(v) != 1 {
		t.Errorf("an unknown kind: %v", v)
	}
}

func TestPointersAreNotURLs(t *testing.T) {
	v := load(t).Validate(schema.Fragment, map[string]any{"policies": map[string]any{"b ü/~.example": 1}})
	if len(v) != 1 || v[0].Pointer != "/policies/b ü~1~0.example" {
		t.Errorf("%+v", v)
	}
}
