package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

// copyPlace is a source and a destination of mirror: what it is called with, and where their objects lie as files.
type copyPlace struct {
	src, dst             string
	srcFolder, dstFolder string
	requests             *atomic.Int64 // at the source's server; nil: counted by the command alone
}

// places are the ways that a list takes, by name: from a web server, from and to a bucket.
func places(t *testing.T, op *operator) map[string]copyPlace {
	t.Helper()
	gw := bucketOf(t)
	served, n := filepath.Join(t.TempDir(), "served"), &atomic.Int64{}
	files := http.FileServer(http.Dir(served))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	folder := filepath.Join(t.TempDir(), "folder")
	bucket := func(prefix string) (string, string) { return gw.URL(prefix), filepath.Join(gw.Folder, prefix) }
	var p, q copyPlace
	p.src, p.srcFolder = bucket("source")
	p.dst, p.dstFolder = bucket("copy")
	q.src, q.srcFolder = op.path("public2"), op.path("public2")
	q.dst, q.dstFolder = bucket("second")
	return map[string]copyPlace{
		"web to folder":    {web.URL, folder, served, folder, n},
		"bucket to bucket": p,
		"folder to bucket": q,
	}
}

// fill makes a place's source what a folder is, as its operator would.
func (p copyPlace) fill(t *testing.T, folder string) {
	t.Helper()
	if err := os.RemoveAll(p.srcFolder); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(p.src, "s3://") {
		list(t, 0, "mirror", folder, p.src)
		return
	}
	if err := os.CopyFS(p.srcFolder, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
}

// Every way of copying does all that one does: it copies what is new and no more, asks for next to nothing when nothing is,
// brings back what was deleted, and takes nothing from a source that is stale, tampered with, or of another history.
func TestMirrorPlaces(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	old, twin := op.copyPublic(), op.fork()
	op.release(3)
	second := op.copyPublic()
	op.release(2)
	twin.release(6)
	for name, p := range places(t, op) {
		t.Run(name, func(t *testing.T) {
			p.fill(t, second)
			first := syncJSON(t, 0, p.src, p.dst)
			p.fill(t, op.public())
			next := syncJSON(t, 0, p.src, p.dst)
			if next.Before != first.Size || next.Copied == 0 || next.Copied >= first.Copied {
				t.Errorf("first copied %d objects, then %d", first.Copied, next.Copied)
			}
			p.idle(t)
			p.deleted(t)
			p.refuses(t, op, old, twin.public())
			p.fill(t, op.public())
			syncJSON(t, 0, p.src, p.dst)
			list(t, 0, "audit", p.dst, "--trust", op.path("trust/1"))
		})
	}
}

// idle counts the requests of a run that finds nothing new.
func (p copyPlace) idle(t *testing.T) {
	t.Helper()
	before := int64(0)
	if p.requests != nil {
		before = p.requests.Load()
	}
	got := syncJSON(t, 0, p.src, p.dst)
	if got.Copied != 0 || got.FromRequests > 3 || got.ToRequests > 6 {
		t.Errorf("nothing was new, but: %+v", got.Synced)
	}
	if p.requests != nil {
		if n := p.requests.Load() - before; n != got.FromRequests {
			t.Errorf("the source was asked %d times, the command says %d", n, got.FromRequests)
		}
	}
	t.Logf("figures: an idle mirror run makes %d requests at the source and %d at the destination", got.FromRequests, got.ToRequests)
}

// deleted takes away an object of each sort from the destination, and expects them all back.
func (p copyPlace) deleted(t *testing.T) {
	t.Helper()
	want := files(t, p.dstFolder)
	gone := map[string]string{} // by sort
	for name := range want {
		if name != mirror.PointerPath && !strings.Contains(name, ".p/") && !strings.HasPrefix(name, "list/") && !strings.HasPrefix(name, "evidence/") {
			top, _, _ := strings.Cut(name, "/")
			gone[top] = name
		}
	}
	for _, name := range gone {
		remove(t, filepath.Join(p.dstFolder, filepath.FromSlash(name)))
	}
	got := syncJSON(t, 0, p.src, p.dst)
	if names := slices.Sorted(maps.Values(gone)); !slices.Equal(got.Restored, names) {
		t.Errorf("lost %v, restored %v", names, got.Restored)
	}
	for name, data := range files(t, p.dstFolder) {
		if want[name] != data {
			t.Errorf("%s is not what it was", name)
		}
	}
}

// refuses offers sources from which nothing may come.
func (p copyPlace) refuses(t *testing.T, op *operator, old, fork string) {
	t.Helper()
	before := files(t, p.dstFolder)
	p.fill(t, old)
	if out := list(t, exitInconclusive, "mirror", p.src, p.dst); !strings.Contains(out, "the source lags") {
		t.Errorf("a stale source: %s", out)
	}
	p.fill(t, fork)
	evidence := t.TempDir()
	list(t, exitFork, "mirror", p.src, p.dst, "--evidence", evidence)
	if names, _ := filepath.Glob(filepath.Join(evidence, "fork-*.json")); len(names) != 1 {
		t.Errorf("a forked source: evidence %v", names)
	}
	p.fill(t, op.public())
	remove(t, filepath.Join(p.dstFolder, mirror.ReleasePath(1)))
	flip(t, filepath.Join(p.srcFolder, mirror.ReleasePath(1)))
	list(t, exitFail, "mirror", p.src, p.dst)
	after := files(t, p.dstFolder)
	if data, there := after[mirror.ReleasePath(1)]; there {
		t.Errorf("a tampered proof was written: %q", data)
	}
	delete(before, mirror.ReleasePath(1))
	if !maps.Equal(before, after) {
		t.Error(fmt.Sprint("the destination changed: ", len(before), " objects before, now ", len(after)))
	}
}

// A copy over https believes certificates like any web client: the program, as a process of its own, copies from a server
// whose certificate leads to a root that it knows, and takes nothing from one that it does not know.
func TestMirrorOverHTTPS(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	web := httptest.NewTLSServer(http.FileServer(http.Dir(op.public())))
	defer web.Close()
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that turns away
	roots := filepath.Join(t.TempDir(), "roots.pem")
	put(t, roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
	dst := filepath.Join(t.TempDir(), "copy")
	mirrored := func(roots string) (string, error) {
		c := exec.Command("starttls-list", "mirror", web.URL, dst) // TestMain puts it into the path
		c.Env = append(os.Environ(), "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+t.TempDir())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	var exit *exec.ExitError
	if out, err := mirrored(os.DevNull); !errors.As(err, &exit) || exit.ExitCode() != exitInconclusive || !strings.Contains(out, "certificate") {
		t.Errorf("an unknown root: %v: %s", err, out)
	}
	if names := files(t, dst); len(names) > 0 {
		t.Errorf("it copied %d objects", len(names))
	}
	if out, err := mirrored(roots); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, op.public(), dst)
}
