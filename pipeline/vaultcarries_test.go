package pipeline_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// carried compares a state folder with what an empty one gets from the vault; only this machine's own files stay here.
func carried(t *testing.T, o *operator, store pipeline.VaultStore, wanted ...string) {
	t.Helper()
	here := map[string]string{}
	for path, data := range objects(t, o.State) {
		if !strings.HasPrefix(path, "verify/") && filepath.Base(path) != "lock" && !strings.Contains(path, "/tmp/") {
			here[path] = data
		}
	}
	twin := o.another(store)
	twin.State = t.TempDir()
	twin.Plan(t.Context()) // a dry run copies the state
	there := objects(t, twin.State)
	maps.DeleteFunc(there, func(path, _ string) bool { return filepath.Base(path) == "lock" })
	if !maps.Equal(here, there) {
		t.Errorf("here are %v,\nthe vault gives %v", slices.Sorted(maps.Keys(here)), slices.Sorted(maps.Keys(there)))
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(there)), func(path string) bool {
			match, _ := filepath.Match(w, path)
			return match
		}) {
			t.Errorf("no %s among %v", w, slices.Sorted(maps.Keys(there)))
		}
	}
}

// TestVaultCarriesLogs: the folders of the present log and of the one before, and the note that binds one to a tree of
// Trillian, are all in the vault.
func TestVaultCarriesLogs(t *testing.T) {
	b := newBucket(t)
	r := newRotating(t, "public")
	folder := r.State
	move := func() {
		r.remote(b.store("state"))
		r.State = folder
	}
	move()
	r.release()
	bind := func(ctx context.Context) error {
		return r.WithLogFolder(ctx, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "trillian"), []byte("tree 4711\n"), 0o644)
		})
	}
	if err := bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.rotate(func(r *rotating) { r.origin, r.log = "list.operator.example/second", r.key(signing.Ed25519) })
	r.Mirrors = append(r.Mirrors, r.target("second"))
	move()
	if out := r.release(); out.Leaf().Release != 2 || out.Leaf().From != 0 {
		t.Fatalf("%+v", out.Leaf())
	}
	carried(t, r.operator, b.store("state"), "log/root", "log/trillian", "log-2/root", "log-2/tile/entries/000.p/*", "outbox/1/entries", "outbox/2/proof", "journal.json")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	move()
	if out := r.release(); out.Leaf().Release != 3 {
		t.Errorf("%+v", out.Leaf())
	}
	carried(t, r.operator, b.store("state"), "log/trillian", "log-2/root")
	r.audited("second")
}

// TestVaultCarriesEvidence: what a witness's refusal left behind, and what is remembered of the witnesses, is in the vault
// also after a release that failed.
func TestVaultCarriesEvidence(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	w := witnesstest.StartFake(t, "w", o.Trust.Newest().LogVKey(), o.Now)
	o.askWitnesses(w.Line() + "quorum w\n")
	o.must("w")
	twin := newOperator(t, "public")
	twin.dir, twin.now = o.dir, o.now
	folder := twin.State
	twin.Publisher = twin.publisher()
	twin.Witnesses = witness.New("test/1")
	twin.Mirrors = []pipeline.Target{{Name: "twin", Store: newOperatorStore(t)}}
	twin.remote(b.store("twin"))
	twin.State = folder
	twin.change(1)
	if _, err := twin.try(); !errors.Is(err, pipeline.ErrRefused) {
		t.Fatalf("the other history: %v", err)
	}
	carried(t, twin, b.store("twin"), "evidence/*.json", "witnesses.json", "outbox/1/checkpoint.signed")
	leased(t, b.store("twin"), false)
}
