package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// killed updates and dies after the named stage, as a process does: nothing after it runs but the kernel's unlocking.
func (r *reader) killed(stage string) {
	r.t.Helper()
	r.afterStage = func(s string) {
		if s == stage {
			panic("killed after " + stage)
		}
	}
	defer func() {
		r.afterStage = nil
		if recover() == nil {
			r.t.Fatalf("no stage %q was reached", stage)
		}
	}()
	r.Update(context.Background())
}

// loads checks that a process that starts now finds an undamaged list of the given release.
func (r *reader) loads(want *Release) {
	r.t.Helper()
	out, err := r.Load()
	if err != nil || out.Damaged != nil || out.Release == nil || out.Release.Release != want.Leaf.Release || out.List.Len() != want.List.Len() {
		r.t.Fatalf("loaded %+v, %v; want release %d", out, err, want.Leaf.Release)
	}
}

// Kills at every stage, also several in a row while the world goes on; each time a usable client is left.
func TestKilledAtEveryStage(t *testing.T) {
	for _, stage := range []string{"list", "sinks"} {
		for _, method := range bothMethods {
			w := newWorld(t, 1)
			held := w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.killed(stage) // the very first update
			r.update()
			r.holds(held)
			r.Method = method
			for i := range 4 {
				newest := w.release(set(fmt.Sprintf("x%d.example", i), policy.Testing))
				r.killed(stage)
				r.loads(held)
				if i%2 == 0 {
					r.killed(stage) // the same release again
					r.loads(held)
				}
				if i == 3 {
					r.update()
					r.holds(newest)
				}
			}
		}
	}
}

// Dead mirrors after a crash: the list is what the state says, and it still expires.
func TestKilledThenAlone(t *testing.T) {
	w := newWorld(t, 0)
	held := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.release(set("x.example", policy.Testing))
	r.killed("list")
	r.ask(&shelf{})
	r.refuse("no mirror")
	r.loads(held)
	w.now = held.Leaf.Expires
	if out := r.refuse("no mirror, expired"); out.Freshness != Expired {
		t.Errorf("got %+v", out)
	}
	if r.served.Freshness != Expired || r.served.List.Len() != 0 {
		t.Errorf("the mail server still has %+v", r.served)
	}
}

// flaws are what a power failure or a bad disk makes of a file.
var flaws = map[string]func(data []byte) []byte{
	"gone":          func([]byte) []byte { return nil },
	"empty":         func([]byte) []byte { return []byte{} },
	"cut in half":   func(d []byte) []byte { return d[:len(d)/2] },
	"one byte less": func(d []byte) []byte { return d[:len(d)-1] },
	"zeroed":        func(d []byte) []byte { return make([]byte, len(d)) },
	"half zeroed":   func(d []byte) []byte { return append(d[:len(d)/2:len(d)/2], make([]byte, len(d)-len(d)/2)...) },
	"appended":      func(d []byte) []byte { return append(d[:len(d):len(d)], "}\n"...) },
	"not text":      func([]byte) []byte { return []byte{0xff, 0xfe, 0} },
	"another JSON":  func([]byte) []byte { return []byte("{}\n") },
}

// damage applies a flaw to a file of the client's folder.
func (r *reader) damage(name string, flaw func([]byte) []byte) {
	r.t.Helper()
	path := filepath.Join(r.Dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if data = flaw(data); data == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Damage is told and repaired in one update; it neither looks like an attack nor opens the door to a rollback.
func TestDamagedFolderHealsItself(t *testing.T) {
	for _, name := range []string{stateFile, ListPath, TrustPath(1), TrustPath(2), TrustPath(1) + copySuffix, TrustPath(2) + copySuffix} {
		for flaw, apply := range flaws {
			w := newWorld(t, 1)
			w.release(many(3, policy.Testing)...)
			w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
			w.release(set("x.example", policy.Testing))
			held := w.release(set("y.example", policy.Testing))
			r := w.join(w.mirror())
			r.update()
			r.update() // now both copies of the state know release 3
			r.damage(name, apply)
			needed := !strings.HasSuffix(name, copySuffix) // a second copy is only missed, and remade

			out, err := r.Load()
			if err != nil || needed != (out.Damaged != nil) || needed && !errors.Is(out.Damaged, ErrDamaged) {
				t.Errorf("%s %s: load tells %v, %v", name, flaw, out.Damaged, err)
			}
			r.ask(w.at(2))
			if out, err := r.Update(context.Background()); !errors.Is(err, ErrNoMirror) {
				t.Errorf("%s %s: a rollback to release 2: %v, %v", name, flaw, out.Release, err)
			}
			r.ask(w.mirror())
			out = r.update()
			r.holds(held)
			if strings.HasPrefix(name, trustDir) {
				if data := r.files(); data[TrustPath(1)] != data[TrustPath(1)+copySuffix] || data[TrustPath(2)] != data[TrustPath(2)+copySuffix] {
					t.Errorf("%s %s: the copies differ", name, flaw)
				}
			} else if out.Method != "snapshot" || !errors.Is(out.Damaged, ErrDamaged) {
				t.Errorf("%s %s: repaired by %q after %v", name, flaw, out.Method, out.Damaged)
			}
			if out = r.update(); out.Damaged != nil || out.Method != "none" {
				t.Errorf("%s %s: after the repair: %+v", name, flaw, out)
			}
		}
	}
}

// Every byte of the state file counts.
func TestFlippedStateIsNoticed(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	path := filepath.Join(r.Dir, stateFile)
	data, err := os.ReadFile(path)
	w.must(err)
	for i := range data {
		data[i] ^= 0x20
		w.must(os.WriteFile(path, data, 0o644))
		if s, err := readState(path); err == nil {
			t.Fatalf("byte %d of %s flipped, and read as %+v", i, stateFile, s)
		}
		data[i] ^= 0x20
	}
}

// The list of an expired, good state is damaged while no mirror answers: what the mail server reads must go.
func TestDamagedListStillExpires(t *testing.T) {
	w := newWorld(t, 0)
	held := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	r.damage(ListPath, flaws["zeroed"])
	r.ask(&shelf{})
	w.now = held.Leaf.Expires.Add(time.Second)
	out, err := r.Update(context.Background())
	if !errors.Is(err, ErrNoMirror) || out.Freshness != Expired || r.served.Freshness != Expired || r.served.List.Len() != 0 {
		t.Errorf("got %+v, %v; the mail server has %+v", out, err, r.served)
	}
}

func TestBothCopiesOfTheFirstTrustGone(t *testing.T) {
	w := newWorld(t, 0)
	w.release()
	r := w.join(w.mirror())
	r.update()
	r.damage(TrustPath(1), flaws["zeroed"])
	r.damage(TrustPath(1)+copySuffix, flaws["cut in half"])
	if _, err := r.Update(context.Background()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "join again") {
		t.Errorf("got %v", err)
	}
}

// Whoever may not read the state is told so, and nothing is called damaged.
func TestStateOfAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	w := newWorld(t, 0)
	w.release()
	r := w.join(w.mirror())
	r.update()
	w.must(os.Chmod(filepath.Join(r.Dir, stateFile), 0))
	if _, err := r.Load(); !errors.Is(err, os.ErrPermission) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// The disk is full, or the folder read-only: the update says so and the old state stays whole.
func TestStateCannotBeSaved(t *testing.T) {
	for _, obstacle := range []string{stateFile, stateOldFile, ListPath} {
		w := newWorld(t, 0)
		first := w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		w.release(set("x.example", policy.Testing))
		r.Sinks = append(r.Sinks, func(View) error { return block(r.Dir, obstacle) })
		if obstacle == ListPath {
			w.must(os.Rename(filepath.Join(r.Dir, ListPath), filepath.Join(r.Dir, listOldFile)))
			w.must(block(r.Dir, obstacle))
		}
		if _, err := r.Update(context.Background()); err == nil {
			t.Errorf("%s could not be written and the update succeeded", obstacle)
		}
		w.must(os.RemoveAll(filepath.Join(r.Dir, obstacle, "in the way")))
		r.Sinks = r.Sinks[:1]
		if obstacle != stateFile {
			r.loads(first)
		}
		r.ask(w.mirror())
		w.must(os.RemoveAll(filepath.Join(r.Dir, obstacle)))
		r.update()
		r.holds(w.last)
	}
}

// block puts a folder where a file should go.
func block(dir, name string) error {
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(dir, name, "in the way"), 0o755)
}

func FuzzReadState(f *testing.F) {
	w := newWorld(f, 1)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	data, err := os.ReadFile(filepath.Join(r.Dir, stateFile))
	w.must(err)
	_, body, _ := strings.Cut(string(data), "\n")
	f.Add([]byte(body))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"leaf":"","size":-1}`))
	path := filepath.Join(f.TempDir(), "state")
	// The checksum is always right here: what comes after it must hold for any content.
	f.Fuzz(func(t *testing.T, body []byte) {
		data := fmt.Appendf(nil, "%s%x\n%s", stateHeader, sum(body), body)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readState(path)
		if err == nil && s.release != nil && s.rng.Tree().N != s.Size {
			t.Errorf("a tree of %d for the size %d", s.rng.Tree().N, s.Size)
		}
	})
}
