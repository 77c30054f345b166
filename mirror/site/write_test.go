package site

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/policy"
)

// interfering is a folder to which somebody else writes when a path is written for the nth time.
type interfering struct {
	*memory
	path string
	nth  int
	do   func()
}

func (s *interfering) Put(ctx context.Context, o mirror.Object) error {
	if o.Path == s.path {
		if s.nth--; s.nth == 0 {
			s.do()
		}
	}
	return s.memory.Put(ctx, o)
}

// Where nothing locks, two builds at once leave a manifest that vouches for nothing, whichever of them ends last; then the
// next one puts it right.
func TestBuildsAtOnce(t *testing.T) {
	o := whole(t)
	older := o.read(Extra{})
	o.publish(set("new.example", policy.Testing))
	newer := o.read(Extra{})
	want := fresh(t, newer)
	for name, first := range map[string]*Model{"older": older, "newer": newer} {
		sink := newMemory()
		var inner error
		a := &interfering{memory: sink, path: "site/style.css", nth: 1, do: func() { _, inner = Build(t.Context(), newer, sink, Options{}) }}
		if _, err := Build(t.Context(), first, a, Options{}); !errors.Is(err, ErrBusy) || inner != nil {
			t.Errorf("%s: %v, the other one: %v", name, err, inner)
		}
		if r := build(t, newer, sink); r.Written != r.Objects || !maps.EqualFunc(sink.objects, want.objects, bytes.Equal) {
			t.Errorf("%s: the next build did not put it right: %+v", name, r)
		}
	}
	// One that begins while the other is comparing finds that what it compares with is gone.
	sink := fresh(t, older)
	site, err := New(newer)
	must(t, err)
	other := sync.OnceValue(func() error {
		_, err := Build(t.Context(), newer, sink, Options{})
		return err
	})
	for i, obj := range site.objects {
		site.objects[i].render = func() ([]byte, error) {
			must(t, other())
			return obj.render()
		}
	}
	if _, err := site.Write(t.Context(), sink, Options{}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if r := build(t, newer, sink); r.Written != 0 || !maps.EqualFunc(sink.objects, want.objects, bytes.Equal) {
		t.Errorf("it wrote all the same: %+v", r)
	}
}

// A folder is locked: the second build says so at once.
func TestFolderIsLocked(t *testing.T) {
	m := story(t).read(Extra{})
	store, err := dir.Open(t.TempDir())
	must(t, err)
	defer store.Close()
	site, err := New(m)
	must(t, err)
	site.objects[0].render = func() ([]byte, error) {
		_, err := Build(t.Context(), m, store, Options{})
		return nil, err
	}
	if _, err := site.Write(t.Context(), store, Options{}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	_, err = Build(t.Context(), m, store, Options{})
	must(t, err)
}

// A build that fails at one object, or whose time is up, is gone on with: the next one writes what it did not.
func TestBuildGoesOn(t *testing.T) {
	m := whole(t).read(Extra{})
	want := fresh(t, m)
	sink := newMemory()
	sink.fail = "site/site.js"
	first, err := Build(t.Context(), m, sink, Options{})
	if err == nil || first.Written == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	sink.fail = ""
	if r := build(t, m, sink); r.Written != r.Objects-first.Written || sink.put["site/site.js"] != 1 {
		t.Errorf("%d objects, first %d, then %d", r.Objects, first.Written, r.Written)
	}
	if !maps.EqualFunc(sink.objects, want.objects, bytes.Equal) {
		t.Error("another site")
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &interfering{memory: newMemory(), path: "site/site.js", nth: 1, do: cancel}
	if first, err = Build(ctx, m, a, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if r := build(t, m, a.memory); first.Written == 0 || r.Written > r.Objects-first.Written {
		t.Errorf("%d objects, first %d, then %d", r.Objects, first.Written, r.Written)
	}
}

// A page that cannot be made, for whatever reason, is an error, and not the end of the program.
func TestPanic(t *testing.T) {
	site, err := New(story(t).read(Extra{}))
	must(t, err)
	site.objects[3].render = func() ([]byte, error) { panic("index out of range") }
	if _, err := site.Write(t.Context(), newMemory(), Options{}); err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Error(err)
	}
}

// What one sink needed is not made again for the next that needs nothing.
func TestWriteTwoSinks(t *testing.T) {
	o := whole(t)
	a, b := fresh(t, o.read(Extra{})), fresh(t, o.read(Extra{}))
	empty := newMemory()
	o.publish()
	m := o.read(Extra{})
	site, err := New(m)
	must(t, err)
	made := map[string]int{}
	for i, obj := range site.objects {
		site.objects[i].render = func() ([]byte, error) {
			site.mu.Lock()
			made[obj.path]++
			site.mu.Unlock()
			return obj.render()
		}
	}
	for i, sink := range []*memory{a, b, empty} {
		r, err := site.Write(t.Context(), sink, Options{})
		must(t, err)
		if i < 2 && r.Written > 10 || i == 2 && r.Written != r.Objects || !maps.EqualFunc(sink.objects, fresh(t, m).objects, bytes.Equal) {
			t.Errorf("sink %d: %+v", i, r)
		}
	}
	if made["site/index.html"] != 3 || made["site/style.css"] != 2 {
		t.Errorf("made %d times and %d times", made["site/index.html"], made["site/style.css"])
	}
}
