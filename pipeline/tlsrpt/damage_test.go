package tlsrpt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// A store that was full has room again when what filled it is old, though its file is as long as before.
func TestPrunedStoreHasRoom(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	empty, _, err := w.store.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		body := reportText("Org", fmt.Sprint(i), 1, 0, "a.example")
		if _, err := w.store.Add(t.Context(), document(t, body, fmt.Sprintf("s%d.example", i))); err != nil {
			t.Fatal(err)
		}
	}
	full, _, err := w.store.Size(t.Context())
	if err != nil || full < empty+20<<10 {
		t.Fatalf("%d bytes, then %d, %v", empty, full, err)
	}
	w.clock.pass(100 * 24 * time.Hour)
	if _, err := w.store.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, _, err := w.store.Size(t.Context())
	if err != nil || after > empty+16<<10 {
		t.Errorf("%d bytes, %d when full, %d when there was nothing, %v", after, full, empty, err)
	}
}

// A month whose secret is lost takes no more: with another one each contributor would be two.
func TestLostMonth(t *testing.T) {
	w := newWorld(t, intake.Options{})
	c := tlsrpt.Contribution{ID: strings.Repeat("0", 32), Day: day(t, "2026-01-10")}
	if err := w.store.Contribute(t.Context(), domain(t, "c.example"), c); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.dir + "/months/2026-01"); err != nil {
		t.Fatal(err)
	}
	if err := w.open(intake.Options{}).Contribute(t.Context(), domain(t, "c.example"), c); !errors.Is(err, intake.ErrClosed) {
		t.Errorf("again: %v", err)
	}
	if names, err := os.ReadDir(w.dir + "/months"); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// Files of a store that are gone or cut are a damage that is told, and never a store that begins anew.
func TestStoreWithoutFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
	}{
		{"no secret", func(dir string) error { return os.Remove(dir + "/secret") }},
		{"an empty secret", func(dir string) error { return os.Truncate(dir+"/secret", 0) }},
		{"empty data", func(dir string) error { return os.Truncate(dir+"/tlsrpt.db", 0) }},
		{"a page of data", func(dir string) error { return os.Truncate(dir+"/tlsrpt.db", 4096) }},
	} {
		w := newWorld(t, intake.Options{})
		if _, err := w.store.Enrol(t.Context(), domain(t, "a.example")); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(w.dir); err != nil {
			t.Fatal(err)
		}
		for _, open := range []func(string, intake.Options) (*intake.Store, error){intake.Open, intake.OpenExisting} {
			s, err := open(w.dir, intake.Options{Now: w.clock.now})
			if err == nil {
				_, err = s.Enrol(t.Context(), domain(t, "b.example"))
			}
			if err == nil {
				_, err = s.Enrolments(t.Context())
			}
			if !errors.Is(err, intake.ErrDamaged) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	// While a server runs, its data are not made anew either.
	w := newWorld(t, intake.Options{})
	if err := os.Remove(w.dir + "/tlsrpt.db"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Enrol(t.Context(), domain(t, "a.example")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data that are gone: %v", err)
	}
}

// A store that is no store is an error that says so, never a panic, and never an empty store in its place.
func TestDamaged(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"garbage": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("garbage ", 9000)), 0o600) },
		"empty":   func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"cut":     func(p string) error { return os.Truncate(p, 8192) },
		"another format": func(p string) error {
			db, err := bbolt.Open(p, 0o600, nil)
			if err != nil {
				return err
			}
			defer db.Close()
			return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("1")) })
		},
		"pages": func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte(strings.Repeat("\xff", 4*4096)), 2*4096)
			return err
		},
	} {
		w := newWorld(t, intake.Options{})
		w.enrolled("a.example")
		if _, err := w.store.Add(t.Context(), document(t, reportText("Sender", "1", 1, 0, "a.example"), "")); err != nil {
			t.Fatal(err)
		}
		if err := spoil(filepath.Join(w.dir, "tlsrpt.db")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Add(t.Context(), document(t, reportText("Sender", "2", 1, 0, "a.example"), "")); !errors.Is(err, intake.ErrDamaged) {
			t.Errorf("%s: writing: %v", name, err)
		}
		if err := w.store.Rows(t.Context(), 0, 30000, func(intake.Row) error { return nil }); !errors.Is(err, intake.ErrDamaged) {
			t.Errorf("%s: reading: %v", name, err)
		}
	}
	w := newWorld(t, intake.Options{})
	if err := os.WriteFile(filepath.Join(w.dir, "secret"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := intake.Open(w.dir, intake.Options{}); !errors.Is(err, intake.ErrDamaged) {
		t.Errorf("a spoiled secret: %v", err)
	}
}
