package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestOccupiedReleaseNumber: somebody has written to the mirror where the next release's proof belongs. The run stops, says
// what is there and that it may be removed, and overwrites nothing; clients keep what they have. Without the object, the
// next run completes the release. Rubbish, and a release that stolen keys signed, are told apart.
func TestOccupiedReleaseNumber(t *testing.T) {
	for name, c := range map[string]struct {
		put      func(r *rotating) []byte
		stranger bool
		says     string
	}{
		"rubbish":                  {func(*rotating) []byte { return []byte("mine\n") }, true, "it is no release of this list"},
		"nothing":                  {func(*rotating) []byte { return nil }, true, "it is no release of this list"},
		"too long":                 {func(*rotating) []byte { return make([]byte, 1<<20) }, true, "it is no release of this list"},
		"an older release's proof": {func(r *rotating) []byte { return object(r, "public/release/1.tlog-proof") }, false, "it is about another release, number 1 of "},
		"another list's release":   {func(r *rotating) []byte { return second(newRotating(r.t, "public")) }, true, "it is no release of this list"},
		"a release by stolen keys": {func(r *rotating) []byte { return second(&rotating{operator: r.copy(r.t.(*testing.T))}) }, false, "it is about another release, number 2 of "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t, "public")
			r.release()
			client := r.client("public", mirror.Auto)
			updated(t, client)
			thing := c.put(r)
			path := r.path("public/" + mirror.ReleasePath(2))
			if err := os.WriteFile(path, thing, 0o644); err != nil {
				t.Fatal(err)
			}
			r.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
			for range 2 {
				r.now = r.now.Add(1)
				_, err := r.Release(t.Context())
				if !errors.Is(err, mirror.ErrConflict) || errors.Is(err, pipeline.ErrStranger) != c.stranger {
					t.Fatalf("got %v", err)
				}
				for _, want := range []string{"mirror public", mirror.ReleasePath(2), c.says} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v: it does not say %q", err, want)
					}
				}
			}
			if got := updated(t, client); got.Release.Release != 1 {
				t.Errorf("a client went on: %+v", got)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != string(thing) {
				t.Errorf("the object was changed: %v", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			out := r.release()
			if got := updated(t, client); out.Leaf().Release != 2 || got.Release.Release != 2 || len(got.Alarms) > 0 {
				t.Errorf("after it was removed: %+v", got)
			}
			r.audited("public")
		})
	}
}

func object(r *rotating, name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(name)))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// second makes releases up to number 2, other than the victim's, and returns the proof.
func second(thief *rotating) []byte {
	thief.t.Helper()
	thief.write("list/domains/new.json", `{"policies":{"evil.example":{"mode":"testing","mxs":["mx.evil.example"]}}}`)
	for thief.release().Leaf().Release < 2 {
	}
	return object(thief, "public/release/2.tlog-proof")
}
