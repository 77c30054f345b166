package mirror

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Each byte of each object that the update asks for is flipped (sampled in big ones): the update is refused and
// nothing changes, or it comes to the very same result.
func TestFlippedObjects(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 2)
		w.release(many(3, policy.Testing)...)
		w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
		w.release(set("x.example", policy.Testing))
		honest := w.mirror()
		clean := w.join(honest)
		clean.update()
		w.rotate(func(k *keyring) { k.releaseK = 1 })
		want := w.release(set("y.example", policy.Enforce), del("x.example"))
		honest.forget()
		clean.Method = method
		start := clean.files()
		clean.update()
		clean.holds(want)
		for _, path := range honest.asked {
			data := w.objects[path]
			step := 1 + len(data)/100
			for i := 0; i < len(data); i += step {
				m := w.mirror()
				m.lies[path] = slices.Clone(data)
				m.lies[path][i] ^= 1 << (i % 8)
				r := w.join(honest)
				r.Method = method
				r.restore(start)
				r.ask(m)
				out, err := r.Update(context.Background())
				switch {
				case err == nil:
					r.holds(want)
					if a, b := r.files(), clean.files(); a[ListPath] != b[ListPath] {
						t.Fatalf("%s, %s byte %d: accepted as another list", method, path, i)
					}
				case !errors.Is(err, ErrNoMirror) || len(out.Problems) != 1:
					t.Fatalf("%s, %s byte %d: %v, %v", method, path, i, err, out.Problems)
				default:
					r.unchanged(fmt.Sprintf("%s, %s byte %d", method, path, i), start)
				}
			}
		}
	}
}

// restore replaces the folder's files by those given.
func (r *reader) restore(files map[string]string) {
	r.t.Helper()
	for name, data := range files {
		writeFile(r.t, r.Dir, name, data)
	}
}

// Change leaves that are omitted, reordered, doubled or altered in the entries do not lead to the signed root.
func TestPoisonedDelta(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	old := w.shown
	want := w.release(set("x.example", policy.Testing), set("y.example", policy.Enforce), del("d001.example"))
	bundle := TilePaths(old, w.shown)[len(TilePaths(old, w.shown))-1]
	for name, poison := range map[string]func(e [][]byte) [][]byte{
		"omitted":        func(e [][]byte) [][]byte { return append(e[:old:old], e[old+1:]...) },
		"reordered":      func(e [][]byte) [][]byte { e[old], e[old+1] = e[old+1], e[old]; return e },
		"doubled":        func(e [][]byte) [][]byte { return slices.Insert(e, int(old), e[old]) },
		"doubled inside": func(e [][]byte) [][]byte { e[old+1] = e[old]; return e },
		"another policy": func(e [][]byte) [][]byte {
			e[old+1] = []byte(strings.Replace(string(e[old+1]), "x.example", "z.example", 1))
			return e
		},
		"cut short": func(e [][]byte) [][]byte { return e[:len(e)-1] },
		"emptied":   func(e [][]byte) [][]byte { e[old] = nil; return e },
		"none":      func([][]byte) [][]byte { return nil },
	} {
		entries, err := transparency.ParseBundle(w.objects[bundle], int(w.shown))
		w.must(err)
		data := []byte{}
		for _, e := range poison(slices.Clone(entries)) {
			data, err = transparency.AppendEntry(data, e)
			w.must(err)
		}
		m := w.mirror()
		m.lies[bundle] = data
		r.ask(m)
		r.Method = Delta
		r.refuse("delta with a leaf " + name)
	}
	for name, m := range map[string]*shelf{"withheld entries": w.mirror(), "short entries": w.mirror()} {
		if m.lies[bundle] = nil; name == "short entries" {
			m.lies[bundle] = []byte{0}
		}
		r := w.join(w.mirror())
		r.ask(m)
		r.Method = Auto
		if out := r.update(); out.Method != "snapshot" {
			t.Errorf("%s: %+v", name, out)
		}
		r.holds(want)
	}
}

// What a wrong release leaf says is refused although the log key, the witnesses and the release keys signed it.
func TestSignedButInvalidRelease(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(w *world, r *ReleaseLeaf)
		list bool // the flaw is in what the leaf says of the list
	}{
		{"from one less", func(_ *world, r *ReleaseLeaf) { r.From-- }, false}, // the leaf there is the last release's
		{"from one more", func(_ *world, r *ReleaseLeaf) { r.From++ }, false},
		{"to one less", func(_ *world, r *ReleaseLeaf) { r.To-- }, false},
		{"to one more", func(_ *world, r *ReleaseLeaf) { r.To++ }, false},
		{"an empty range", func(_ *world, r *ReleaseLeaf) { r.From = r.To }, false},
		{"a range in reverse", func(_ *world, r *ReleaseLeaf) { r.From, r.To = r.To, r.From }, false},
		{"the changes of the release before", func(_ *world, r *ReleaseLeaf) { r.From = 0 }, false},
		{"the same number", func(_ *world, r *ReleaseLeaf) { r.Release-- }, false},
		{"a number left out", func(_ *world, r *ReleaseLeaf) { r.Release++ }, false},
		{"the same time", func(w *world, r *ReleaseLeaf) { r.Timestamp = w.last.Leaf.Timestamp }, false},
		{"an earlier time", func(w *world, r *ReleaseLeaf) { r.Timestamp = r.Timestamp.Add(-9 * time.Hour) }, false},
		{"another leaf before", func(_ *world, r *ReleaseLeaf) { d := sum(nil); r.Previous = &d }, false},
		{"no leaf before", func(_ *world, r *ReleaseLeaf) { r.Previous = nil }, false},
		{"another origin", func(_ *world, r *ReleaseLeaf) { r.Origin = "staging.example/list" }, false},
		{"a life of six days", func(_ *world, r *ReleaseLeaf) { r.Expires = r.Timestamp.Add(MinLifetime - time.Second) }, false},
		{"a life of a month and more", func(_ *world, r *ReleaseLeaf) { r.Expires = r.Timestamp.Add(MaxLifetime + time.Second) }, false},
		{"an end before its start", func(_ *world, r *ReleaseLeaf) {
			r.Source, r.Expires = "import:00", r.Timestamp.Add(-time.Second)
		}, false},
		{"a trust version of before", func(_ *world, r *ReleaseLeaf) { r.Trust-- }, false},
		{"a trust version to come", func(_ *world, r *ReleaseLeaf) { r.Trust++ }, false},
		{"one domain more", func(_ *world, r *ReleaseLeaf) { r.Count++ }, true},
		{"one byte more", func(_ *world, r *ReleaseLeaf) { r.ListSize++ }, true},
		{"one byte less", func(_ *world, r *ReleaseLeaf) { r.ListSize-- }, true},
		{"another list", func(_ *world, r *ReleaseLeaf) { r.ListDigest[0] ^= 1 }, true},
		{"another author", func(_ *world, r *ReleaseLeaf) { r.Author = "Somebody" }, true},
		{"a list that names another author", func(w *world, r *ReleaseLeaf) {
			list, err := w.last.List.Apply([]policy.Edit{set("y.example", policy.Testing), set("z.example", policy.Testing)})
			w.must(err)
			data, err := list.Bytes(r.Header())
			w.must(err)
			w.objects[BlobPath(r.ListDigest)] = w.zstd.EncodeAll(data, nil)
			r.Author = "Somebody"
		}, true},
		{"dated after the witnesses saw it", func(w *world, r *ReleaseLeaf) {
			r.Timestamp = w.now.Add(maxFuture + time.Second)
			r.Expires = r.Timestamp.Add(MinLifetime)
		}, false},
		{"an expired trust version", func(w *world, r *ReleaseLeaf) {
			r.Timestamp = w.keys.expires.Add(time.Second)
			r.Expires = r.Timestamp.Add(MinLifetime)
		}, false},
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 1)
			w.release(many(3, policy.Testing)...)
			w.rotate(func(k *keyring) { k.expires = k.expires.Add(time.Hour) })
			w.release(set("x.example", policy.Testing))
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			good := w.fork()
			edits := []policy.Edit{set("y.example", policy.Testing), set("z.example", policy.Testing)}
			w.edit = func(leaf *ReleaseLeaf) {
				c.edit(w, leaf)
				if !c.list {
					w.relist(leaf, edits...) // so that nothing else is wrong
				}
			}
			w.release(edits...)
			r.ask(w.mirror())
			r.refuse(c.name + ", " + string(method))
			if out, _ := r.Update(context.Background()); strings.Contains(strings.Join(out.Problems, ""), "%!") {
				t.Errorf("%s, %s: %v", c.name, method, out.Problems)
			}
			want := good.release(set("y.example", policy.Testing))
			r.ask(good.mirror())
			r.update()
			r.holds(want)
		}
	}
}

// Timestamps just within the limits pass on both paths.
func TestLimitsOfTimes(t *testing.T) {
	for name, edit := range map[string]func(w *world, r *ReleaseLeaf){
		"an hour ahead": func(w *world, r *ReleaseLeaf) {
			r.Timestamp, r.Expires = w.now.Add(maxFuture), w.now.Add(10*24*time.Hour)
		},
		"seven days":  func(w *world, r *ReleaseLeaf) { r.Expires = r.Timestamp.Add(MinLifetime) },
		"thirty days": func(w *world, r *ReleaseLeaf) { r.Expires = r.Timestamp.Add(MaxLifetime) },
		"one second":  func(w *world, r *ReleaseLeaf) { r.Timestamp = w.last.Leaf.Timestamp.Add(time.Second) },
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 1)
			w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			w.edit = func(leaf *ReleaseLeaf) { edit(w, leaf); w.relist(leaf, set("x.example", policy.Testing)) }
			want := w.release(set("x.example", policy.Testing))
			if out := r.update(); out.Freshness != Fresh {
				t.Errorf("%s, %s: %+v", name, method, out)
			}
			r.holds(want)
		}
	}
}

// relist makes count, size and digest fit a leaf whose times were changed.
func (w *world) relist(leaf *ReleaseLeaf, edits ...policy.Edit) {
	w.t.Helper()
	var before policy.List
	if w.last != nil {
		before = w.last.List
	}
	list, err := before.Apply(edits)
	w.must(err)
	size, digest, err := list.Write(discard{}, leaf.Header())
	w.must(err)
	leaf.Count, leaf.ListSize, leaf.ListDigest = int64(list.Len()), size, digest
}

// Historic times are allowed for imports, and for nothing else.
func TestImportKeepsItsTimes(t *testing.T) {
	for source, good := range map[string]bool{"import:" + strings.Repeat("0", 64): true, "renew": false} {
		w := newWorld(t, 0)
		w.edit = func(leaf *ReleaseLeaf) {
			leaf.Source, leaf.Timestamp = source, time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC)
			leaf.Expires = leaf.Timestamp.AddDate(0, 3, 0)
			w.relist(leaf, many(2, policy.Enforce)...)
		}
		want := w.release(many(2, policy.Enforce)...)
		r := w.join(w.mirror())
		if !good {
			if _, err := r.Update(context.Background()); !errors.Is(err, ErrNoMirror) {
				t.Errorf("a life of 92 days: %v", err)
			}
			continue
		}
		out := r.update()
		if out.Freshness != Expired || out.List.Len() != 0 || r.served.List.Len() != 0 {
			t.Errorf("an import of 2018 is %s with %d domains", out.Freshness, out.List.Len())
		}
		if !reflect.DeepEqual(out.Release, want.Leaf) {
			t.Errorf("got %+v", out.Release)
		}
	}
}
