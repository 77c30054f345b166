package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// stopAt is a log that calls stop when a step of the journal is reached.
func stopAt(step string, stop func()) *slog.Logger { return slog.New(stopper{step, stop}) }

type stopper struct {
	step string
	stop func()
}

func (stopper) Enabled(context.Context, slog.Level) bool { return true }
func (s stopper) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s stopper) WithGroup(string) slog.Handler          { return s }
func (s stopper) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == pipeline.StepMessage && a.Key == "step" && a.Value.String() == s.step {
			s.stop()
		}
		return true
	})
	return nil
}

// TestRecoverFromHostileMirrors: one mirror of two was tampered with, in every way. What it forged is never taken over;
// what it withheld comes from the other; what it contradicts stops everything, with evidence; and what was signed once
// and is nowhere any more is not passed over in silence.
func TestRecoverFromHostileMirrors(t *testing.T) {
	base := newOperator(t, "public", "second")
	base.Observer = passing{}
	base.release()
	first := copied(t, base.path("second"))
	base.news(1)
	base.release()
	base.news(2)
	base.release()
	stranger := newOperator(t, "public")
	stranger.release()
	twin := newOperator(t) // the same keys, another history
	twin.dir, twin.Trust, twin.Keys = base.dir, base.Trust, base.Keys
	twin.Mirrors = []pipeline.Target{{Name: "fork", Store: newFolderStore(t, base.path("fork"))}}
	twin.now = base.now
	for n := range 3 {
		twin.news(10 + n)
		twin.release()
	}
	for name, c := range map[string]struct {
		tamper func(folder string)
		both   bool  // on both mirrors
		want   error // nil: recovered
	}{
		"behind":               {tamper: func(f string) { replaceFolder(t, f, first) }},
		"behind, both":         {tamper: func(f string) { replaceFolder(t, f, first) }, both: true}, // nobody can know, but for witnesses
		"empty":                {tamper: func(f string) { replaceFolder(t, f, t.TempDir()) }, want: pipeline.ErrUnjudged},
		"entries altered":      {tamper: func(f string) { alter(t, f, "tile/entries/*.p/*") }},
		"tiles altered":        {tamper: func(f string) { alter(t, f, "tile/0/*.p/*") }},
		"entries cut":          {tamper: func(f string) { cut(t, f, "tile/entries/*.p/*") }},
		"entries withheld":     {tamper: func(f string) { drop(t, f, "tile/entries/*.p/*") }},
		"proofs altered":       {tamper: func(f string) { alter(t, f, "release/*") }},
		"lists altered":        {tamper: func(f string) { alter(t, f, "list/*.zst") }},
		"lists withheld":       {tamper: func(f string) { drop(t, f, "list/*") }, both: true},
		"signatures altered":   {tamper: func(f string) { alter(t, f, "*.sigstore.json") }},
		"entries altered, all": {tamper: func(f string) { alter(t, f, "tile/entries/*.p/*") }, both: true, want: pipeline.ErrIncomplete},
		"tiles withheld, all":  {tamper: func(f string) { drop(t, f, "tile/*/*.p/*") }, both: true, want: pipeline.ErrIncomplete},
		"truncated behind a signature": {both: true, want: pipeline.ErrIncomplete, tamper: func(f string) {
			note := read(t, filepath.Join(base.path("public"), mirror.CheckpointPath))
			replaceFolder(t, f, first)
			setFile(t, filepath.Join(f, mirror.CheckpointPath), note)
		}},
		"checkpoint altered": {tamper: func(f string) { alter(t, f, mirror.CheckpointPath) }, want: pipeline.ErrForeign},
		"pointer altered":    {tamper: func(f string) { alter(t, f, mirror.PointerPath) }, want: pipeline.ErrForeign},
		"another list":       {tamper: func(f string) { replaceFolder(t, f, stranger.path("public")) }, want: pipeline.ErrForeign},
		"forked":             {tamper: func(f string) { replaceFolder(t, f, base.path("fork")) }, want: pipeline.ErrFork},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			o.dir, o.now = copied(t, base.dir), base.now
			c.tamper(o.path("second"))
			if c.both {
				c.tamper(o.path("public"))
			}
			o.Publisher = o.publisher("public", "second")
			o.Observer = passing{}
			o.lose()
			evidence := t.TempDir()
			out, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Evidence = evidence })
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("want %v, got %v", c.want, err)
			}
			if errors.Is(err, pipeline.ErrFork) {
				confirmed(t, o, evidence)
			}
			if err != nil {
				if names, err := os.ReadDir(filepath.Join(o.State, "outbox")); err == nil && len(names) > 0 {
					t.Error("a state was written")
				}
				if c.want == pipeline.ErrForeign {
					o.recovered(func(r *pipeline.RecoverOptions) { r.Without = []string{"second"} })
					o.Mirrors = o.Mirrors[:1]
					o.release()
					o.clean("public")
				}
				return
			}
			next := o.release()
			if next.Leaf().Release != out.Release+1 {
				t.Errorf("release %d after %d", next.Leaf().Release, out.Release)
			}
			replayAll(t, o.Mirrors[0].Store, o, 1, next.Leaf().Release)
		})
	}
}

// confirmed looks whether a stranger finds the fork in the evidence.
func confirmed(t *testing.T, o *operator, folder string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "fork-*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no evidence: %v", err)
	}
	for _, n := range names {
		e, err := mirror.ParseEvidence([]byte(read(t, n)))
		if err == nil {
			err = e.Check(o.Trust)
		}
		if err != nil {
			t.Errorf("the evidence: %v", err)
		}
	}
}

// TestRecoverForksOfAnotherSize: the shorter of two histories is no beginning of the longer one.
func TestRecoverForksOfAnotherSize(t *testing.T) {
	o := newOperator(t, "public", "second")
	o.release()
	twin := newOperator(t)
	twin.dir, twin.Trust, twin.Keys, twin.now = o.dir, o.Trust, o.Keys, o.now
	if err := os.RemoveAll(o.path("second")); err != nil {
		t.Fatal(err)
	}
	twin.Mirrors = []pipeline.Target{{Name: "second", Store: newFolderStore(t, o.path("second"))}}
	for n := range 3 {
		twin.news(n)
		twin.release()
	}
	o.Publisher = o.publisher("public", "second")
	o.lose()
	evidence := t.TempDir()
	if _, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Evidence = evidence }); !errors.Is(err, pipeline.ErrFork) {
		t.Fatalf("got %v", err)
	}
	confirmed(t, o, evidence)
}

// TestRecoverUnreadableMirror: a mirror that gives no answer may be ahead of the others.
func TestRecoverUnreadableMirror(t *testing.T) {
	o := newOperator(t, "public", "second")
	o.release()
	o.lose()
	o.Mirrors[1].Store = deadStore{o.Mirrors[1].Store}
	if _, err := o.recovers(); !errors.Is(err, pipeline.ErrUnjudged) {
		t.Fatalf("got %v", err)
	}
	o.recovered(func(r *pipeline.RecoverOptions) { r.Without = []string{"second"} })
	o.Publisher = o.publisher("public")
	o.lose()
	if err := os.RemoveAll(o.path("public")); err != nil {
		t.Fatal(err)
	}
	o.Publisher = o.publisher("public")
	if _, err := o.recovers(); !errors.Is(err, pipeline.ErrNothing) {
		t.Errorf("with nothing anywhere: %v", err)
	}
	r, err := dir.OpenReader(o.path("second"))
	if err != nil {
		t.Fatal(err)
	}
	if out := o.recovered(func(o *pipeline.RecoverOptions) {
		o.From, o.Without = []mirror.Source{{Name: "copy", Reader: r}}, []string{"public"}
	}); out.Chosen != "copy" || out.Release != 1 {
		t.Errorf("%+v", out)
	}
	if out := o.release(); out.Leaf().Release != 2 {
		t.Errorf("%+v", out.Leaf())
	}
	o.clean("public")
}

// TestRecoverTrust: versions that the folder lacks are asked for by name.
func TestRecoverTrust(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	r.rotate(func(r *rotating) { r.expires = 100 * 24 * time.Hour })
	r.release()
	two := read(t, r.path("trust/2"))
	if err := os.Remove(r.path("trust/2")); err != nil {
		t.Fatal(err)
	}
	r.lose()
	r.Publisher = r.publisher("public")
	if _, err := r.recovers(); !errors.Is(err, pipeline.ErrTrustOld) || !strings.Contains(err.Error(), "trust/2") {
		t.Fatalf("got %v", err)
	}
	setFile(t, r.path("trust/2"), two)
	r.Publisher = r.publisher("public")
	r.recovered()
	if out := r.release(); out.Leaf().Release != 3 {
		t.Errorf("%+v", out.Leaf())
	}
	r.clean("public")
}

// TestRecoverUnderWitnesses: a witness that cosigned what no mirror shows says so. If the entries were spread, they are
// found; if not, nothing goes on in their place.
func TestRecoverUnderWitnesses(t *testing.T) {
	for _, gone := range []bool{false, true} {
		o := newOperator(t, "public")
		w := witnesstest.StartFake(t, "w", o.Trust.Newest().LogVKey(), func() time.Time { return o.now })
		o.askWitnesses(w.Line() + "quorum w\n")
		o.must("w")
		spread := copied(t, o.path("public"))
		o.news(1)
		stop, cancel := context.WithCancel(t.Context())
		o.Log = stopAt("signed", cancel)
		o.now = o.now.Add(time.Hour)
		o.Release(stop) // the process dies when the witness has cosigned
		if w.Size() != 8 {
			t.Fatalf("the witness knows %d entries", w.Size())
		}
		if gone {
			replaceFolder(t, o.path("public"), spread)
		}
		o.lose()
		o.Publisher = o.publisher("public")
		if _, err := o.recovers(); !errors.Is(err, pipeline.ErrWitnesses) {
			t.Errorf("without asking the witness: %v", err)
		}
		o.Witnesses = witness.New("test/1")
		evidence := t.TempDir()
		out, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Evidence = evidence })
		if gone {
			if !errors.Is(err, pipeline.ErrKnown) || !strings.Contains(err.Error(), "8 entries") {
				t.Errorf("the entries are gone: %v", err)
			}
			if names, _ := filepath.Glob(filepath.Join(evidence, "refusal-*.json")); len(names) != 1 {
				t.Errorf("evidence: %v", names)
			}
			continue
		}
		if err != nil || len(out.Unpublished) != 1 || len(out.Witnesses) != 1 || out.Witnesses[0].Size != 8 {
			t.Fatalf("%v %+v", err, out)
		}
		if got := o.must("w"); got.Leaf().Release != 2 {
			t.Errorf("%+v", got.Leaf())
		}
		if got := o.must("w"); got.Leaf().Release != 3 {
			t.Errorf("%+v", got.Leaf())
		}
		replayAll(t, o.Mirrors[0].Store, o, 1, 3)
	}
}
