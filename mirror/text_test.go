package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// TestLoadTextFollowsTheList: the bytes answer what the list answers, after every update; an expired list says
// that it is, and damaged ones are an error rather than an empty list.
func TestLoadTextFollowsTheList(t *testing.T) {
	w := newWorld(t, 0)
	w.release(set("a.example", policy.Enforce), set("b.example", policy.Testing))
	r := w.join(w.mirror())
	r.update()
	says := func(name string, want bool) {
		t.Helper()
		d, err := policy.ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		out, text, err := r.Client.LoadText()
		if err != nil {
			t.Fatal(err)
		}
		held, err := r.Client.Load()
		if err != nil || out.Release.Release != held.Release.Release || out.Freshness != held.Freshness || out.List.Len() != 0 {
			t.Fatalf("%+v, %+v, %v", out, held, err)
		}
		p, got, err := text.Lookup(d)
		q, listed := held.List.Lookup(d)
		if err != nil || got != want || listed != want || !p.Equal(q) {
			t.Errorf("%s: %v %v %v, the list %v %v", name, p, got, err, q, listed)
		}
	}
	says("a.example", true)
	says("c.example", false)
	w.release(set("c.example", policy.Enforce), del("a.example"))
	r.update()
	says("a.example", false)
	says("c.example", true)

	path := filepath.Join(r.Client.Dir, ListPath)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ListPath, listOldFile} {
		if err := os.WriteFile(filepath.Join(r.Client.Dir, name), good[1:], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, _, _ := r.Client.LoadText(); !errors.Is(out.Damaged, ErrDamaged) || out.Release != nil {
		t.Errorf("a damaged list: %+v", out)
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(40 * 24 * time.Hour)
	out, text, err := r.Client.LoadText()
	d, _ := policy.ParseDomain("c.example")
	if _, listed, _ := text.Lookup(d); err != nil || out.Freshness != Expired || !listed {
		t.Errorf("an expired list: %+v, %v", out, err)
	}
}
