package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestRecoverVaultStates: what is done about the state that a bucket has: an older one, one as new, one that lost a
// blob, one whose lease is garbage. The one that is replaced stays, under another name.
func TestRecoverVaultStates(t *testing.T) {
	b := newBucket(t)
	place := func(name string) string { return filepath.Join(b.gateway.Folder, name) }
	o := newOperator(t, "public").remote(b.store("state"))
	o.release()
	if out, err := exec.Command("cp", "-a", place("state"), place("old")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o.news(1)
	o.release()
	at := func(prefix string) *operator {
		twin := o.another(b.store(prefix))
		twin.now = o.now
		return twin
	}
	if _, err := at("state").recovers(); !errors.Is(err, pipeline.ErrNotOlder) {
		t.Errorf("one that is as new: %v", err)
	}
	out, err := at("old").recovers()
	if err != nil || !out.State.Older || out.State.Release != 1 || out.Replaced == "" {
		t.Fatalf("an older one: %v %+v", err, out)
	}
	if _, err := os.Stat(place("old/" + out.Replaced)); err != nil {
		t.Errorf("it is not kept: %v", err)
	}
	o = at("old")
	if got := o.release().Leaf().Release; got != 3 {
		t.Errorf("release %d", got)
	}
	blobs, err := filepath.Glob(place("old/blob/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range blobs {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(place("old/lease.json"), []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := at("old").recovers(); !errors.Is(err, pipeline.ErrNotOlder) {
		t.Errorf("one without its blobs: %v", err)
	}
	replace := func(r *pipeline.RecoverOptions) { r.Replace = true }
	if out, err := at("old").recovers(replace); err != nil || out.State.Damage == nil {
		t.Fatalf("one without its blobs, on demand: %v", err)
	}
	if got := at("old").release().Leaf().Release; got != 4 {
		t.Errorf("release %d", got)
	}
	o.clean("public")
}

// TestRecoverVaultThatChanges: somebody else recovers while this one is being shown; the second to write is told.
func TestRecoverVaultThatChanges(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	o.release()
	first := o.another(b.store("state"))
	_, err := first.recovers(func(r *pipeline.RecoverOptions) {
		r.Confirm = func(*pipeline.Recovery) error {
			o.another(b.store("state")).recovered()
			return nil
		}
	})
	if !errors.Is(err, pipeline.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if got := o.another(b.store("state")).release().Leaf().Release; got != 2 {
		t.Errorf("release %d", got)
	}
}

var errDead = errors.New("this process is dead")

// TestRecoverVaultDiesAtEachWrite: from some write to the bucket on nothing more arrives, as when the process is killed.
// Whatever the write, the next run of recover makes a whole state, and nothing is released before.
func TestRecoverVaultDiesAtEachWrite(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	o.release()
	o.SkipVerify = true
	points := 0
	for at := 1; ; at++ {
		prefix := fmt.Sprintf("state%d", at)
		var mu sync.Mutex
		writes := 0
		twin := o.another(stepStore{b.store(prefix), func(string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if writes++; writes >= at {
				return errDead
			}
			return nil
		}})
		twin.Vault.Term = time.Nanosecond
		_, err := twin.recovers()
		if writes < at {
			if err != nil || at < 6 {
				t.Fatalf("undisturbed, %d writes: %v", writes, err)
			}
			break
		}
		points++
		// The last write only gives the lease back.
		next := o.another(b.store(prefix))
		next.SkipVerify = true
		if _, err := next.peek(); err == nil {
			continue
		}
		next = o.another(b.store(prefix))
		if _, err := next.Release(t.Context()); !errors.Is(err, pipeline.ErrAhead) {
			t.Errorf("write %d: a release after that: %v", at, err)
		}
		if out, err := o.another(b.store(prefix)).recovers(); err != nil || out.Release != 1 {
			t.Errorf("write %d: %v", at, err)
		}
		if got, err := o.another(b.store(prefix)).peek(); err != nil || got != 5 {
			t.Errorf("write %d: %d domains, %v", at, got, err)
		}
	}
	t.Logf("died at %d writes", points)
	if got := o.another(b.store("state3")).release().Leaf().Release; got != 2 {
		t.Errorf("release %d", got)
	}
	o.clean("public")
}

// peek counts the domains that the next release would have without a change in the source.
func (o *operator) peek() (int, error) {
	o.t.Helper()
	plan, _, err := o.Plan(o.t.Context())
	if err == nil && len(plan.Changes()) > 0 {
		err = errors.New("the state knows no release")
	}
	return plan.List().Len(), err
}
