package pipeline_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/storetest/faulty"
)

// TestFiguresFaultySync copies a mirror from one place of a bucket to another, and lets each request of that, listings too,
// meet each fault. Whatever happens, a client of the copy gets a whole release, never older than before, no error speaks of
// two histories, and the next run, undisturbed, ends with the same bytes. In the short form every second request meets one fault.
func TestFiguresFaultySync(t *testing.T) {
	t.Parallel()
	w := newFaultyWorld(t, 1)
	f := &faultyFigures{kinds: map[faulty.Kind]int{}, ends: map[string]int{}, sorts: map[string]bool{}}
	c := newFaultyCopy(t, w)
	w.proxy.Arm(func(faulty.Request) faulty.Kind { return faulty.None })
	if _, err := c.sync(t); err != nil {
		t.Fatal(err)
	}
	all := os.Getenv("POLICYLIST_FULL") == "1"
	for i, h := range w.proxy.Disarm() {
		f.single++
		f.sorts[h.Method+" "+h.Name] = true
		for _, k := range f.faultsFor(h.Method, all, 2*(i+1)) {
			times := 1 + (i/2+slices.Index(faulty.Kinds, k))%2*2 // once, or as often as it is tried again
			run := faultyRun{name: fmt.Sprintf("%d %s %s %d, %s, %d times", i+1, h.Method, h.Name, h.Nth, k, times),
				schedule: faulty.One(h.Request, k, times), strict: true}
			if k == faulty.Slow || k == faulty.Mute {
				run.patience = faultyPatience
			}
			t.Run(run.name, func(t *testing.T) { c.story(t, f, run) })
		}
	}
	t.Logf("figures: faulty S3 for mirror: %d requests of a copy in %d sorts, %d copies disturbed, faults met %d, by kind %v",
		f.single, len(f.sorts), f.stories, f.faults, f.kinds)
	t.Logf("figures: faulty S3 for mirror: ended in %v; wrong: lost %d, forks %d, client errors %d", f.ends, f.lost, f.forks, f.clients)
	if !f.sorts["LIST copy/"] || !f.sorts["LIST public/"] {
		t.Errorf("no listing among %v", f.sorts)
	}
}

// faultyCopy is a copy of the mirror, at its first release, that is to follow the second.
type faultyCopy struct {
	*faultyWorld
	savedCopy string
	past      faulty.History
}

const faultyCopyName = "copy"

func newFaultyCopy(t *testing.T, w *faultyWorld) *faultyCopy {
	t.Helper()
	c := &faultyCopy{faultyWorld: w, savedCopy: filepath.Join(t.TempDir(), "saved")}
	if _, err := c.sync(t); err != nil {
		t.Fatal(err)
	}
	copyTree(t, c.folder(faultyCopyName), c.savedCopy)
	if _, err := w.publish(t, 0); err != nil {
		t.Fatal(err)
	}
	c.past = w.proxy.Remember()
	return c
}

func (c *faultyCopy) folder(name string) string {
	return filepath.Join(c.bucket.gateway.Folder, name)
}

// sync is one run of mirror.
func (c *faultyCopy) sync(t *testing.T) (mirror.Synced, error) {
	t.Helper()
	c.bucket.t = t
	from, to := c.bucket.store(faultyMirror), c.bucket.store(faultyCopyName)
	chain, err := mirror.FindTrust(t.Context(), from, nil)
	if err != nil {
		return mirror.Synced{}, err
	}
	sync := mirror.Sync{From: from, To: to, Chain: chain}
	return sync.Run(t.Context())
}

// story lets one copy go wrong.
func (c *faultyCopy) story(t *testing.T, f *faultyFigures, run faultyRun) {
	copyTree(t, c.savedCopy, c.folder(faultyCopyName))
	c.proxy.Recall(c.past)
	c.bucket.endpoint, c.bucket.patience = c.proxy.URL, run.patience
	c.proxy.Arm(run.schedule)
	out, err := c.sync(t)
	if f.count(c.proxy.Disarm()) == 0 {
		t.Error("the fault was not met")
	}
	c.bucket.endpoint, c.bucket.patience = c.bucket.gateway.Endpoint, 0
	f.stories++
	f.ends[syncEnd(err)]++
	if fork := (*mirror.ForkError)(nil); errors.As(err, &fork) {
		f.forks++
		t.Errorf("two histories: %v", err)
	}
	// A source that shows an old pointer is one that lags: the run says which release it saw.
	if got := c.clientGets(t, f); err == nil && got != out.Release {
		f.lost++
		t.Errorf("the run succeeded with release %d, and a client of the copy gets release %d", out.Release, got)
	}
	for range 2 { // what was under way may arrive behind the first
		if _, err := c.sync(t); err != nil {
			f.lost++
			t.Errorf("undisturbed, but: %v", err)
		}
		c.proxy.Land()
	}
	if got := c.clientGets(t, f); got != 2 {
		f.lost++
		t.Errorf("in the end a client of the copy gets release %d", got)
	}
	c.same(t, f)
}

func syncEnd(err error) string {
	for _, e := range []struct {
		error
		name string
	}{{nil, "success"}, {mirror.ErrConflict, "conflict"}, {mirror.ErrLagging, "lagging"}, {mirror.ErrSource, "bad source"},
		{mirror.ErrUnreachable, "unreachable"}, {mirror.ErrDestination, "bad destination"}, {mirror.ErrOccupied, "occupied"}} {
		if errors.Is(err, e.error) {
			return e.name
		}
	}
	return "store"
}

// clientGets is the release that a client without state gets from the copy.
func (c *faultyCopy) clientGets(t *testing.T, f *faultyFigures) int64 {
	t.Helper()
	r, err := dir.OpenReader(c.folder(faultyCopyName))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	client := c.client(mirror.Snapshot)
	client.Dir, client.Sources = memoryDir(t), []mirror.Source{{Name: faultyCopyName, Reader: r}}
	if _, err := mirror.Join(t.Context(), client.Dir, r, c.op.Trust.Versions()[0].Digest()); err != nil {
		t.Fatal(err)
	}
	out, err := client.Update(t.Context())
	if err != nil {
		f.clients++
		t.Errorf("a client of the copy: %v %v", err, out.Problems)
		return 0
	}
	return out.Release.Release
}

// same compares the copy with the mirror; listings do not count, files do.
func (c *faultyCopy) same(t *testing.T, f *faultyFigures) {
	t.Helper()
	source := os.DirFS(c.folder(faultyMirror))
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(c.folder(faultyCopyName), name)); err != nil || string(got) != string(want) {
			f.lost++
			t.Errorf("%s of the copy: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
