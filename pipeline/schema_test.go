package pipeline_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
	"github.com/starttls-everywhere/policylist/schema/schematest"
)

func schemaFixtures(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob("../schema/" + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal(pattern, err)
	}
	return paths
}

// The log's own reader takes the leaves that the schemas call valid and refuses those with a flaw.
func TestLeafSchemasAgreeWithTheLog(t *testing.T) {
	for _, path := range schemaFixtures(t, "valid/*-leaf/*.json") {
		text := schematest.Canonical(t, path)
		leaf, err := mirror.ParseLeaf(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var again []byte
		switch {
		case leaf.Change != nil:
			again = leaf.Change.Append(nil)
		case leaf.Trust != nil:
			again = leaf.Trust.Append(nil)
		}
		if again != nil && !bytes.Equal(again, text) {
			t.Errorf("%s: written back as\n%s", path, again)
		}
	}
	for _, path := range schemaFixtures(t, "invalid/*-leaf/*.txtar") {
		if _, err := mirror.ParseLeaf(schematest.Canonical(t, path)); err == nil && !lawOfTheReplay(path) {
			t.Errorf("%s: the log takes it", path)
		}
	}
}

// lawOfTheReplay names the flaws that are no matter of form for the log: whether a number fits is decided when the log
// is replayed.
func lawOfTheReplay(path string) bool {
	name := strings.TrimSuffix(filepath.Base(path), ".txtar")
	return name == "release-zero" || name == "version-one" || name == "source-a-path"
}

// What the probe writes is what the evidence schemas say, and it reads their valid fixtures.
func TestEvidenceSchemasAgreeWithTheProbe(t *testing.T) {
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	header := schematest.Canonical(t, "../schema/valid/evidence-header/whole.json")
	record := schematest.Canonical(t, "../schema/valid/evidence-domain/whole.json")
	var h probe.Header
	if err := json.Unmarshal(header, &h); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := probe.NewEvidence(&file, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(probe.Result{Line: record}); err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if err := w.Sign(key); err != nil {
		t.Fatal(err)
	}
	evidence, err := probe.ReadEvidence(bytes.NewReader(file.Bytes()), 1<<20)
	if err != nil {
		t.Fatalf("%v\n%s", err, file.String())
	}
	if err := evidence.Verify(key.Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSuffix(file.String(), "\n"), "\n")
	for i, kind := range []schema.Kind{schema.EvidenceHeader, schema.EvidenceDomain, schema.EvidenceSignature} {
		doc, err := policy.ParseDocument(policy.File{Path: "line", Data: []byte(lines[i])})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range set.Validate(kind, doc.Root.Value()) {
			t.Errorf("%s: %s: %s", kind, v.Pointer, v.Message)
		}
	}
}
