package pipeline_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// damages are what disks, people and attackers do to a file.
var damages = []struct {
	name string
	do   func(path string, data []byte) error
}{
	{"empty", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o644) }},
	{"half", func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o644) }},
	{"first bit flipped", func(path string, data []byte) error { return os.WriteFile(path, flipped(data, 0), 0o644) }},
	{"middle bit flipped", func(path string, data []byte) error { return os.WriteFile(path, flipped(data, len(data)/2), 0o644) }},
	{"last bit flipped", func(path string, data []byte) error { return os.WriteFile(path, flipped(data, len(data)-1), 0o644) }},
	{"gone", func(path string, _ []byte) error { return os.Remove(path) }},
	{"a folder", func(path string, _ []byte) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
}

func flipped(data []byte, i int) []byte {
	data = bytes.Clone(data)
	if len(data) > 0 {
		data[i] ^= 1
	}
	return data
}

// TestDamagedState damages each file of the publisher's state in each way, once when all releases are done and once
// when the third waits for its mirror. The next release either refuses with the name of the file and writes nothing to
// the mirror, or all that the mirror then shows is one right history.
func TestDamagedState(t *testing.T) {
	for _, pending := range []bool{false, true} {
		o := newOperator(t, "public")
		o.release()
		o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
		o.release()
		name := "done"
		if pending {
			name = "pending"
			o.write("list/domains/new.json", `{"policies":{}}`)
			honest := o.Mirrors[0].Store
			o.Mirrors[0].Store = faultyStore{honest, &fault{n: 7}}
			if _, err := o.Release(t.Context()); err == nil {
				t.Fatal("the release is not interrupted")
			}
			o.Mirrors[0].Store = honest
		}
		for _, path := range walk(t, o.path("state")) {
			for _, d := range damages {
				t.Run(name+"/"+path+"/"+d.name, func(t *testing.T) {
					t.Parallel()
					o.copy(t).afterDamage(t, path, d.do)
				})
			}
		}
	}
}

// TestStateOfOtherTimesAndLists mixes whole folders: an old copy restored in part, or another list's.
func TestStateOfOtherTimesAndLists(t *testing.T) {
	other := newOperator(t, "public")
	other.release()
	other.release()
	o := newOperator(t, "public")
	o.release()
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	first := o.copy(t) // its state and mirror are those after release 1
	o.release()
	remove := func(name string) func(*operator) error {
		return func(o *operator) error { return os.RemoveAll(o.path(name)) }
	}
	replace := func(name string, from *operator) func(*operator) error {
		return func(o *operator) error {
			return errors.Join(os.RemoveAll(o.path(name)), os.CopyFS(o.path(name), os.DirFS(from.path(name))))
		}
	}
	for _, c := range []struct {
		name, says string // what the error has to name
		do         func(*operator) error
	}{
		{"everything is gone", "public", remove("state")},
		{"the outbox is gone", "outbox", remove("state/outbox")},
		{"the newest release is gone", "outbox", remove("state/outbox/2")},
		{"an older release is gone", "", remove("state/outbox/1")},
		{"the log is gone", "public", remove("state/log")},
		{"the root of the log is gone", "root", remove("state/log/root")},
		{"the tiles are gone", "tile", remove("state/log/tile")},
		{"an old copy of everything", "public", replace("state", first)},
		{"an old copy of the log", "public", replace("state/log", first)},
		{"an old copy of the outbox", "outbox", replace("state/outbox", first)},
		{"an old copy of a verifying client", "", replace("state/verify", first)},
		{"another list's state", "public", replace("state", other)},
		{"another list's log", "public", replace("state/log", other)},
		{"another list's outbox", "outbox", replace("state/outbox", other)},
		{"no verifying client", "", remove("state/verify")},
		{"a release that was never made", "meta.json", func(o *operator) error { return os.Mkdir(o.path("state/outbox/9"), 0o755) }},
		{"a file where a release should be", "3", func(o *operator) error { return os.WriteFile(o.path("state/outbox/3"), nil, 0o644) }},
		{"half a release of a dead process", "", func(o *operator) error { return os.Mkdir(o.path("state/outbox/.tmp-1"), 0o755) }},
		{"notes of the operator", "", func(o *operator) error { return os.WriteFile(o.path("state/outbox/README"), nil, 0o644) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			twin := o.copy(t)
			before := objects(t, twin.path("public"))
			if err := c.do(twin); err != nil {
				t.Fatal(err)
			}
			twin.afterwards(t, c.says, before)
			_, err := twin.Release(t.Context())
			if (err == nil) != (c.says == "") {
				t.Errorf("the release after it: %v", err)
			}
		})
	}
}

// TestAbandonedEntries: what an attempt left in the log behind the last release has no effect, and the next release goes
// on behind it.
func TestAbandonedEntries(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	log, err := o.OpenLog(o.path("state/log"))
	if err != nil {
		t.Fatal(err)
	}
	stray := mirror.ChangeLeaf{Domain: o.domain("stray.example"), Reason: "change.source", Release: 2}
	if _, err := log.Append(t.Context(), log.Tree().N, [][]byte{stray.Append(nil), []byte("rubbish")}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	client := o.client("public", mirror.Auto)
	if _, err := client.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := o.release()
	if out.Leaf().Release != 2 || out.Leaf().From != 8 || out.Mirrors[0].Err != nil {
		t.Fatalf("%+v %+v", out.Leaf(), out.Mirrors)
	}
	got, err := client.Update(t.Context())
	if err != nil || got.Release.Release != 2 || got.List.Len() != 5 {
		t.Errorf("a client holds %+v: %v %v", got.Release, err, got.Problems)
	}
}

// TestClientOfAnotherHistory: the client that verifies a mirror has followed another history, so nobody can tell which is
// right. The release does not count as published until somebody has looked.
func TestClientOfAnotherHistory(t *testing.T) {
	o, other := newOperator(t, "public"), newOperator(t, "public")
	for range 2 {
		o.release()
		other.release()
	}
	if err := errors.Join(os.RemoveAll(o.path("state/verify")), os.CopyFS(o.path("state/verify"), os.DirFS(other.path("state/verify")))); err != nil {
		t.Fatal(err)
	}
	o.now = o.now.Add(time.Hour)
	out, err := o.Release(t.Context())
	if !errors.Is(err, pipeline.ErrMirrors) || !errors.Is(out.Mirrors[0].Err, mirror.ErrSecurity) || !strings.Contains(out.Mirrors[0].Err.Error(), "verify") {
		t.Fatalf("%v, %+v", err, out)
	}
	if err := os.RemoveAll(o.path("state/verify")); err != nil {
		t.Fatal(err)
	}
	if out := o.release(); out.Leaf().Release != 3 || !out.Resumed || out.Mirrors[0].Err != nil {
		t.Errorf("after it was removed: %+v", out.Mirrors[0])
	}
}

// copy is the same operator in another folder.
func (o *operator) copy(t *testing.T) *operator {
	t.Helper()
	twin := &operator{t: t, dir: memoryDir(t), now: o.now}
	if err := os.CopyFS(twin.dir, os.DirFS(o.dir)); err != nil {
		t.Fatal(err)
	}
	twin.Publisher = twin.publisher("public")
	return twin
}

func (o *operator) afterDamage(t *testing.T, path string, damage func(string, []byte) error) {
	full := filepath.Join(o.path("state"), path)
	data, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	before := objects(t, o.path("public"))
	if err := damage(full, data); err != nil {
		t.Fatal(err)
	}
	o.afterwards(t, filepath.Base(path), before)
}

// afterwards makes the next release and judges what became of the mirror.
func (o *operator) afterwards(t *testing.T, name string, before map[string]string) {
	t.Helper()
	o.now = o.now.Add(time.Hour)
	out, err := o.Release(t.Context())
	if err != nil {
		if out != nil {
			for _, m := range out.Mirrors {
				err = errors.Join(err, m.Err)
			}
		}
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
		if !maps.Equal(before, objects(t, o.path("public"))) {
			t.Errorf("refused (%v), but the mirror was written to", err)
		}
		return
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, out.Leaf().Release)
	got, err := o.client("public", mirror.Snapshot).Update(t.Context())
	if err != nil || got.Release.ListDigest != out.Leaf().ListDigest {
		t.Errorf("a client after the release: %v %v", err, got.Problems)
	}
}

func (o *operator) domain(name string) policy.Domain {
	o.t.Helper()
	d, err := policy.ParseDomain(name)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

func walk(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func objects(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range walk(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(data)
	}
	return out
}
