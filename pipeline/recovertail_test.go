package pipeline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// appended puts entries behind the log and its tiles on a mirror. signed also lets the log's key sign that, as a thief of
// the key would.
func (o *operator) appended(name string, signed bool, entries ...[]byte) {
	o.t.Helper()
	l, err := tilelog.Open(filepath.Join(o.State, "log"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer l.Close()
	before := l.Tree().N
	tree, err := l.Append(o.t.Context(), before, entries)
	if err != nil {
		o.t.Fatal(err)
	}
	store := newFolderStore(o.t.(*testing.T), o.path(name))
	for _, path := range tilelog.Files(before, tree.N) {
		data, err := l.ReadFile(path)
		if err == nil {
			err = store.Create(o.t.Context(), mirror.NewTile(path, data))
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	if !signed {
		return
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: o.Trust.Newest().Origin, Tree: tree}, o.Keys.Log)
	if err == nil {
		err = store.Put(o.t.Context(), mirror.NewObject(mirror.CheckpointPath, note))
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// TestRecoverSignedRubbish: what the log's key has signed and the release keys have not is no history to go on with.
func TestRecoverSignedRubbish(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	o.appended("public", true, []byte("rubbish"))
	o.lose()
	if _, err := o.recovers(); !errors.Is(err, pipeline.ErrTail) {
		t.Errorf("got %v", err)
	}
}

// TestRecoverUnsignedRubbish: what stands behind the signed tree and is no release of ours is nothing.
func TestRecoverUnsignedRubbish(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	before := copied(t, o.State)
	o.appended("public", false, []byte("rubbish"), []byte(`{"domain":"x.example","kind":"change","op":"del","reason":"remove.owner","release":2}`))
	replaceFolder(t, o.State, before)
	o.lose()
	if out := o.recovered(); out.Mirrors[0].Tail != 0 || len(out.Unpublished) != 0 {
		t.Errorf("%+v", out)
	}
}

// TestRecoverTwoTails: a state that was set back let two releases be prepared for one place, each on another mirror.
// Nobody but the witnesses knows which one counts, so somebody has to choose.
func TestRecoverTwoTails(t *testing.T) {
	o := newOperator(t, "public", "second")
	o.release()
	before := copied(t, o.State)
	for i, name := range []string{"public", "second"} {
		replaceFolder(t, o.State, before)
		o.news(i)
		o.Publisher = o.publisher(name)
		stop, cancel := context.WithCancel(t.Context())
		o.Log = stopAt("spread", cancel)
		o.now = o.now.Add(time.Hour)
		if _, err := o.Release(stop); err == nil {
			t.Fatal("released")
		}
	}
	o.lose()
	o.Publisher = o.publisher("public", "second")
	if _, err := o.recovers(); !errors.Is(err, pipeline.ErrTwoTails) {
		t.Fatalf("got %v", err)
	}
	if out := o.recovered(func(r *pipeline.RecoverOptions) { r.Without = []string{"second"} }); len(out.Unpublished) != 1 {
		t.Errorf("%+v", out)
	}
}

// TestRecoverStateOfAnotherHistory: the state that there is and the mirrors are two signed histories; nothing is replaced,
// not even on demand, and there is evidence.
func TestRecoverStateOfAnotherHistory(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	o.lose()
	o.Publisher = o.publisher()
	o.Mirrors = []pipeline.Target{{Name: "elsewhere", Store: newOperatorStore(t)}}
	o.news(1)
	o.release()
	o.Publisher = o.publisher("public")
	for _, replace := range []bool{false, true} {
		evidence := t.TempDir()
		_, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Evidence, r.Replace = evidence, replace })
		if !errors.Is(err, pipeline.ErrStateAhead) {
			t.Errorf("got %v", err)
		}
	}
	third := o.copyOf("public")
	third.news(2)
	third.release()
	o.recoverFork(third.path("public"))
}

// copyOf is another operator with these keys, whose mirror and state begin anew.
func (o *operator) copyOf(name string) *operator {
	o.t.Helper()
	twin := newOperator(o.t)
	twin.Trust, twin.Keys, twin.now = o.Trust, o.Keys, o.now
	twin.Mirrors = []pipeline.Target{{Name: name, Store: newFolderStore(o.t.(*testing.T), twin.path(name))}}
	for n := range 2 {
		twin.news(20 + n)
		twin.release()
	}
	return twin
}

// recoverFork lets a state meet a larger mirror of another history.
func (o *operator) recoverFork(public string) {
	t := o.t.(*testing.T)
	t.Helper()
	replaceFolder(t, o.path("public"), public)
	o.Publisher = o.publisher("public")
	evidence := t.TempDir()
	if _, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Evidence, r.Replace = evidence, true }); !errors.Is(err, pipeline.ErrFork) {
		t.Fatalf("got %v", err)
	}
	confirmed(t, o, evidence)
}

// TestRecoverWithoutFirstTrust: the log began under a version that the folder has no more.
func TestRecoverWithoutFirstTrust(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	r.rotate(func(r *rotating) { r.expires = 100 * 24 * time.Hour })
	r.release()
	for _, name := range []string{"trust/1", "state"} {
		if err := os.RemoveAll(r.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	r.Publisher = r.publisher("public")
	if _, err := r.recovers(); !errors.Is(err, pipeline.ErrTrustOld) {
		t.Errorf("got %v", err)
	}
}
