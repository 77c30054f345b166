package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

// synced is what mirror --json prints.
type synced struct {
	mirror.Synced
	Error string `json:"error"`
}

func syncJSON(t *testing.T, code int, args ...string) synced {
	t.Helper()
	var out synced
	text := list(t, code, append([]string{"mirror", "--json"}, args...)...)
	text = text[strings.Index(text, "{"):]
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}

// A mirror operator copies a list, follows it over releases that fill a tile, and each time has the same bytes. When
// nothing is new, next to nothing is read.
func TestMirrorFollowsAList(t *testing.T) {
	op := newOperator(t)
	dst := filepath.Join(t.TempDir(), "copy")
	for i, domains := range []int{0, 100, 0} { // 6, 107 and 108 log entries
		op.release(domains)
		got := syncJSON(t, 0, op.public(), dst)
		if got.Release != int64(i+1) || got.Copied == 0 {
			t.Fatalf("release %d: %+v", i+1, got)
		}
		same(t, op.public(), dst)
		idle := syncJSON(t, 0, op.public(), dst)
		if idle.Copied != 0 || idle.FromRequests > 3 || idle.ToRequests > 6 {
			t.Errorf("nothing was new, but: %+v", idle)
		}
	}
	// The next release fills the first tile: partial tiles of earlier sizes are needed no more, but those that are
	// there stay.
	op.release(300)
	syncJSON(t, 0, op.public(), dst)
	same(t, op.public(), dst)
	fresh := filepath.Join(t.TempDir(), "fresh")
	syncJSON(t, 0, op.public(), fresh)
	if _, err := os.Stat(filepath.Join(fresh, "tile/entries/000.p")); err == nil {
		t.Error("a fresh copy has partial bundles of a bundle that is full")
	}
	list(t, 0, "audit", fresh, "--trust", op.path("trust/1"))
	list(t, 0, "audit", dst, "--trust", op.path("trust/1"))
}

// Nobody knows the list yet: the first version is trusted and named. Who was given a fingerprint gets that list or
// nothing.
func TestMirrorTrust(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	fingerprint := op.p.Trust.Newest().Digest()
	dst := t.TempDir()
	if out := list(t, 0, "mirror", op.public(), dst); !strings.Contains(out, "trusted on first use") || !strings.Contains(out, fmt.Sprintf("%x", fingerprint)) {
		t.Errorf("the fingerprint is not shown: %s", out)
	}
	if out := list(t, 0, "mirror", op.public(), dst); strings.Contains(out, "first use") {
		t.Errorf("trusted again on the second use: %s", out)
	}
	list(t, 0, "mirror", op.public(), t.TempDir(), "--fingerprint", fmt.Sprintf("%x", fingerprint))
	list(t, 0, "mirror", op.public(), t.TempDir(), "--trust", op.path("trust/1"))
	fingerprint[0] ^= 1
	empty := t.TempDir()
	list(t, exitFail, "mirror", op.public(), empty, "--fingerprint", fmt.Sprintf("%x", fingerprint))
	other := newStranger(t)
	other.release(0)
	list(t, exitFail, "mirror", op.public(), empty, "--trust", other.path("trust/1"))
	if got := files(t, empty); len(got) != 0 {
		t.Errorf("%d objects of a list that is not trusted were written", len(got))
	}
	// The destination is a copy of one list: another list does not get into it.
	before := files(t, dst)
	list(t, exitFail, "mirror", other.public(), dst)
	if len(files(t, dst)) != len(before) {
		t.Error("another list's objects were written")
	}
}

// A source that was set back lags; one whose log has another history is refused, and the evidence convinces a stranger.
func TestMirrorNeverGoesBack(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	old, twin := op.copyPublic(), op.fork()
	op.release(3)
	dst := t.TempDir()
	list(t, 0, "mirror", op.public(), dst)
	before := files(t, dst)
	if out := list(t, exitInconclusive, "mirror", old, dst); !strings.Contains(out, "the source lags") {
		t.Errorf("not called a lagging source: %s", out)
	}
	twin.release(4) // a longer history
	list(t, exitFork, "mirror", twin.public(), dst, "--evidence", op.dir)
	checkEvidence(t, op)
	unchanged(t, dst, before)
	op.release(5)
	list(t, 0, "mirror", op.public(), dst)
	shorter := op.fork()
	shorter.release(0)
	op.release(2) // changes the three domains that are gone: another tree
	list(t, 0, "mirror", op.public(), dst)
	before = files(t, dst)
	shorter.release(2)
	list(t, exitFork, "mirror", shorter.public(), dst, "--evidence", op.dir, "--repair")
	unchanged(t, dst, before)
}

// A folder or a bucket's prefix that holds something else is left as it is; what was put beside a mirror does not matter,
// nor what a run left that was killed before its first object.
func TestMirrorLeavesOthersAlone(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	for _, name := range []string{"notes.txt", "with space.txt", ".bashrc", "sub/file", "policy.json"} {
		dst := t.TempDir()
		put(t, filepath.Join(dst, name), []byte("mine"))
		out := list(t, exitUsage, "mirror", op.public(), dst)
		if !strings.Contains(out, "not empty, and no mirror") || !strings.Contains(out, "hint:") {
			t.Errorf("%s: %s", name, out)
		}
		entries, err := os.ReadDir(dst)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: the folder holds %v, %v", name, entries, err)
		}
	}
	dst := t.TempDir()
	put(t, filepath.Join(dst, ".tmp/half"), []byte(""))
	put(t, filepath.Join(dst, "lost+found/x"), []byte(""))
	if err := os.Remove(filepath.Join(dst, "lost+found/x")); err != nil {
		t.Fatal(err)
	}
	list(t, 0, "mirror", op.public(), dst)
	put(t, filepath.Join(dst, "robots.txt"), []byte("mine"))
	op.release(1)
	list(t, 0, "mirror", op.public(), dst)

	gw := bucketOf(t)
	put(t, filepath.Join(gw.Folder, "other/notes.txt"), []byte("mine"))
	if out := list(t, exitUsage, "mirror", op.public(), gw.URL("other")); !strings.Contains(out, "not empty, and no mirror") {
		t.Error(out)
	}
	if got := files(t, filepath.Join(gw.Folder, "other")); len(got) != 1 {
		t.Errorf("the prefix holds %d objects", len(got))
	}
}

// bucketOf starts a gateway whose credentials every command has.
func bucketOf(t *testing.T) *storetest.VersityGW {
	t.Helper()
	gw := storetest.StartVersityGW(t)
	for _, v := range gw.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return gw
}

func unchanged(t *testing.T, dst string, before map[string]string) {
	t.Helper()
	after := files(t, dst)
	for name, data := range before {
		if after[name] != data {
			t.Errorf("%s changed", name)
		}
	}
}

func checkEvidence(t *testing.T, op *operator) {
	t.Helper()
	data, err := os.ReadFile(firstMatch(t, op.dir, "fork-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := mirror.ParseEvidence(data)
	if err == nil {
		err = e.Check(op.p.Trust)
	}
	if err != nil {
		t.Errorf("the evidence convinces nobody: %v", err)
	}
}

// Whatever the destination has lost comes back with the next run.
func TestMirrorRestores(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	op.release(280)
	op.release(0)
	dst := t.TempDir()
	list(t, 0, "mirror", op.public(), dst)
	want := files(t, dst)
	for name := range want {
		if name == mirror.PointerPath || name == "trust/1" {
			continue // without its pointer it is a new copy; without its trust, one that trusts on first use again
		}
		remove(t, filepath.Join(dst, filepath.FromSlash(name)))
		args := []string{op.public(), dst}
		if strings.HasPrefix(name, "list/") || strings.HasPrefix(name, "evidence/") || strings.HasPrefix(name, "tile/") && strings.Contains(name, ".p/") {
			args = append(args, "--repair") // which old ones there were is known after reading everything
		}
		got := syncJSON(t, 0, args...)
		if len(got.Restored) != 1 || got.Restored[0] != name {
			t.Errorf("%s was lost, restored: %v", name, got.Restored)
		}
	}
	for name, data := range files(t, dst) {
		if want[name] != data {
			t.Errorf("%s is not what it was", name)
		}
	}
}

// One bit is wrong on the source: nothing that hangs on it gets through, and the pointer stays.
func TestMirrorRefusesDamagedSources(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	dst := t.TempDir()
	list(t, 0, "mirror", op.public(), dst)
	before := files(t, dst)
	op.release(300) // 6 + 301 entries
	for _, pattern := range []string{
		"tile/0/000", "tile/0/001.p/*", "tile/1/000.p/*", "tile/entries/000", "tile/entries/001.p/*", "list/*.zst", "evidence/*",
		"release/2.tlog-proof", mirror.PointerPath, mirror.ListBundlePath,
	} {
		src, work := op.copyPublic(), filepath.Join(t.TempDir(), "work")
		if err := os.CopyFS(work, os.DirFS(dst)); err != nil {
			t.Fatal(err)
		}
		paths, _ := filepath.Glob(filepath.Join(src, pattern))
		if len(paths) == 0 {
			t.Fatalf("nothing matches %s", pattern)
		}
		for _, path := range paths {
			flip(t, path)
		}
		list(t, exitFail, "mirror", src, work)
		after := files(t, work)
		if after[mirror.PointerPath] != before[mirror.PointerPath] {
			t.Errorf("%s damaged: the pointer moved", pattern)
		}
		good := files(t, op.public())
		for name, data := range after {
			if !mirror.IsMutable(name) && good[name] != data {
				t.Errorf("%s damaged: %s was written with other bytes", pattern, name)
			}
		}
	}
}

// One bit is wrong on the destination: the audit finds it, so does --check, and --repair puts verified bytes there.
func TestMirrorRepairs(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	op.release(280)
	dst := t.TempDir()
	list(t, 0, "mirror", op.public(), dst)
	want := files(t, dst)
	for name := range want {
		if strings.HasSuffix(name, ".asc") {
			continue // verified by whoever has the OpenPGP key
		}
		path := filepath.Join(dst, filepath.FromSlash(name))
		flip(t, path)
		args := []string{op.public(), dst, "--trust", op.path("trust/1")}
		list(t, exitFail, "audit", dst, "--trust", op.path("trust/1"))
		list(t, exitFail, append([]string{"mirror", "--check"}, args...)...)
		got := syncJSON(t, 0, append([]string{"--repair"}, args...)...)
		if len(got.Damaged) != 1 || got.Damaged[0] != name {
			t.Errorf("%s was damaged, found %v", name, got.Damaged)
		}
		if len(got.Repaired) != 1 || files(t, dst)[name] != want[name] {
			t.Errorf("%s was damaged, repaired %v", name, got.Repaired)
		}
	}
}

// From a web server to a bucket and on to a folder: the bytes stay what they are, and full bundles travel compressed.
func TestMirrorOverTheWebAndS3(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	op.release(280)
	web := httptest.NewServer(http.FileServer(http.Dir(op.public())))
	defer web.Close()
	dst := t.TempDir()
	list(t, 0, "mirror", web.URL, dst)
	list(t, 0, "audit", web.URL, "--trust", op.path("trust/1"))
	if idle := syncJSON(t, 0, web.URL, dst); idle.FromRequests > 2 {
		t.Errorf("an idle run made %d requests at the source", idle.FromRequests)
	}
	web.Close()
	list(t, exitInconclusive, "mirror", web.URL, dst)
	list(t, exitInconclusive, "audit", web.URL, "--trust", op.path("trust/1"))

	gw := bucketOf(t)
	list(t, 0, "mirror", dst, gw.URL("one"))
	list(t, 0, "audit", gw.URL("one"), "--trust", op.path("trust/1"))
	list(t, 0, "mirror", gw.URL("one"), gw.URL("two"))
	back := t.TempDir()
	list(t, 0, "mirror", gw.URL("two"), back)
	same(t, dst, back)
	stored, err := os.ReadFile(filepath.Join(gw.Folder, "one/tile/entries/000"))
	if err != nil || len(stored) < 2 || stored[0] != 0x1f || stored[1] != 0x8b {
		t.Errorf("a full bundle is not stored as gzip: %v", err)
	}
}

func TestMirrorUsage(t *testing.T) {
	for _, args := range [][]string{
		{"mirror"}, {"mirror", "a"}, {"mirror", "ftp://list.example", "b"}, {"mirror", "file://a/b", "c"}, {"mirror", t.TempDir(), "https://list.example"},
		{"mirror", "/nonexistent", t.TempDir()}, {"mirror", t.TempDir(), "s3://bucket?no=such"}, {"mirror", t.TempDir(), t.TempDir(), "--fingerprint", "12"},
		{"audit"}, {"audit", t.TempDir()}, {"audit", t.TempDir(), "--trust", "/nonexistent"},
	} {
		list(t, exitUsage, args...)
	}
	list(t, exitFail, "mirror", t.TempDir(), t.TempDir()) // no list there
}

func TestMirrorTranscripts(t *testing.T) {
	op := newOperator(t)
	op.p.Observer = nil
	op.release(0)
	t.Chdir(op.dir)
	transcript(t, newMirrorCommand().Example)
	transcript(t, newAuditCommand().Example)
}
