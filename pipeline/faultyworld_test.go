package pipeline_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/storetest/faulty"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// faultyWorld is an operator who keeps the state and the mirror in one bucket behind a network that can go wrong, and
// clients of the mirror that nothing disturbs. It can be set back to how it was.
type faultyWorld struct {
	*crashWorld
	op     *operator
	bucket *bucket
	proxy  *faulty.Proxy
	saved  string // folder
	past   faulty.History
	known  map[string]int64 // release numbers of clients in the saved world
	base   int              // releases in the saved world
}

const (
	faultyState  = "state"
	faultyMirror = "public"
)

// kindOfObject is the sort of object at a path of the bucket.
func kindOfObject(p string) string {
	p = strings.TrimPrefix(strings.TrimPrefix(p, "/"), "mirror/")
	top, rest, _ := strings.Cut(p, "/")
	first, more, nested := strings.Cut(rest, "/")
	switch {
	case !nested:
		return p
	case first == "tile" && strings.HasPrefix(more, "entries/"):
		return top + "/tile/entries"
	case first == "list":
		return top + "/list/*" + path.Ext(more)
	}
	return top + "/" + first
}

// newFaultyWorld makes the list's first releases, if any.
func newFaultyWorld(t *testing.T, releases int) *faultyWorld {
	t.Helper()
	w := &faultyWorld{op: newOperator(t), bucket: newBucket(t), known: map[string]int64{}, base: releases}
	w.op.dir = moved(t, w.op.dir)
	w.proxy = faulty.Start(t, w.bucket.gateway.Endpoint, kindOfObject)
	w.bucket.endpoint, w.bucket.pause = w.proxy.URL, time.Millisecond
	w.crashWorld = &crashWorld{t: t, home: w.op.dir, names: []string{faultyMirror}, now: w.op.now}
	for n := 1; n <= releases; n++ {
		if _, err := w.publish(t, pipeline.DefaultTerm); err != nil {
			t.Fatal(err)
		}
		w.change(fmt.Sprintf("base%d", n), 1)
	}
	for _, folder := range []string{faultyState, faultyMirror} {
		if err := os.MkdirAll(filepath.Join(w.bucket.gateway.Folder, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.opened(t)
	if releases > 0 {
		w.join()
		w.poll()
	}
	w.known = w.number
	w.saved, w.past = t.TempDir(), w.proxy.Remember()
	copyTree(t, w.bucket.gateway.Folder, filepath.Join(w.saved, "bucket"))
	copyTree(t, w.home, filepath.Join(w.saved, "home"))
	return w
}

// join lets two clients begin that update in different ways.
func (w *faultyWorld) join() {
	w.t.Helper()
	for _, method := range []mirror.Method{mirror.Auto, mirror.Snapshot} {
		c := w.client(method)
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
		if _, err := mirror.Join(w.t.Context(), c.Dir, w.stores[0], w.op.Trust.Versions()[0].Digest()); err != nil {
			w.t.Fatal(err)
		}
		w.clients = append(w.clients, c)
	}
}

func (w *faultyWorld) client(method mirror.Method) *mirror.Client {
	return &mirror.Client{
		Dir: filepath.Join(w.home, "client", string(method)), Sources: []mirror.Source{{Name: faultyMirror, Reader: w.stores[0]}},
		Method: method, Now: func() time.Time { return w.now }, Log: quiet(),
	}
}

// moved puts a folder where syncing costs nothing.
func moved(t testing.TB, folder string) string {
	t.Helper()
	to := filepath.Join(memoryDir(t), "home")
	copyTree(t, folder, to)
	return to
}

// copyTree copies a folder with its extended attributes, in which the gateway keeps headers and tags.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// opened opens the mirror where the gateway keeps it, past the network.
func (w *faultyWorld) opened(t testing.TB) {
	t.Helper()
	w.t, w.clients = t, nil
	w.held, w.trees, w.number = map[int64][32]byte{}, map[tlog.Tree]bool{}, map[string]int64{}
	r, err := dir.OpenReader(filepath.Join(w.bucket.gateway.Folder, faultyMirror))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	w.stores = []*dir.Reader{r}
}

// reset is the world as it was saved, for the next story.
func (w *faultyWorld) reset(t testing.TB) {
	t.Helper()
	for _, folder := range []string{faultyState, faultyMirror} {
		copyTree(t, filepath.Join(w.saved, "bucket", folder), filepath.Join(w.bucket.gateway.Folder, folder))
	}
	copyTree(t, filepath.Join(w.saved, "home"), w.home)
	w.proxy.Recall(w.past)
	w.opened(t)
	if w.base > 0 {
		w.clients = []*mirror.Client{w.client(mirror.Auto), w.client(mirror.Snapshot)}
		maps.Copy(w.number, w.known)
		w.poll()
	}
	w.wrong = verdict{}
}

// publish is one run of a publisher that begins with an empty folder, an hour later.
func (w *faultyWorld) publish(t testing.TB, term time.Duration) (*pipeline.Published, error) {
	t.Helper()
	w.op.t, w.bucket.t = t, t
	w.now = w.now.Add(time.Hour)
	p := w.op.publisher()
	p.Now, p.Observer = func() time.Time { return w.now }, passing{}
	p.Vault, p.State = &pipeline.Vault{Store: w.bucket.store(faultyState), Term: term}, memoryDir(t)
	p.Mirrors = []pipeline.Target{{Name: faultyMirror, Store: w.bucket.store(faultyMirror)}}
	return p.Release(t.Context())
}

// watched lets the clients update whenever a mutable object of the mirror has changed.
func (w *faultyWorld) watched(do func()) {
	var mu sync.Mutex
	w.proxy.Watch(func(path string) {
		name, ours := strings.CutPrefix(path, "/mirror/"+faultyMirror+"/")
		if !ours || !mirror.IsMutable(name) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		w.poll()
	})
	do()
	w.proxy.Watch(nil)
}

// expire lets the lease's term pass.
func (w *faultyWorld) expire(t testing.TB) {
	t.Helper()
	store := w.bucket.store(faultyState)
	data, err := store.Get(t.Context(), "lease.json", 1<<12)
	if mirror.IsAbsent(err) {
		return
	}
	before, _, ok := strings.Cut(string(data), `"until":"`)
	if !ok {
		err = errors.Join(err, fmt.Errorf("the lease: %.100q", data))
	}
	if err == nil {
		err = store.Put(t.Context(), mirror.Object{Path: "lease.json", Data: []byte(before + "\"until\":\"1970-01-01T00:00:00Z\"}\n")})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lagging lets clients look at a mirror that a late write may have set back: they may find that it lags, and keep what
// they hold.
func (w *faultyWorld) lagging() {
	w.t.Helper()
	for _, c := range w.clients {
		out, err := c.Update(w.t.Context())
		if err != nil && !errors.Is(err, mirror.ErrNoMirror) || errors.Is(err, mirror.ErrSecurity) || out.Release != nil && out.Release.Release < w.number[c.Dir] {
			w.fail(&w.wrong.clients, "a client after a late write: %v %v", err, out.Problems)
		}
	}
	w.look()
}

// undisturbed says what it means when a release fails in which nothing went wrong.
func (w *faultyWorld) undisturbed(err error) {
	w.t.Helper()
	if err != nil {
		w.fail(&w.wrong.lost, "undisturbed, but: %v", err)
	}
}
