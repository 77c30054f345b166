package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// inbox is a delivery that remembers, or fails when it is told to.
type inbox struct {
	got  []audit.Alert
	fail error
}

func (b *inbox) Deliver(_ context.Context, m audit.Message) error {
	b.got = append(b.got, m.Alerts...)
	return b.fail
}

// watcher is a monitor in a test, with the operator's clock and a state file.
type watcher struct {
	*audit.Monitor
	t    *testing.T
	box  *inbox
	told map[string]bool // codes, over all rounds
}

func newWatcher(t *testing.T, op *operator, domains ...string) *watcher {
	t.Helper()
	folder := t.TempDir()
	w := &watcher{t: t, box: &inbox{}, told: map[string]bool{}}
	w.Monitor = &audit.Monitor{
		Name: "m", Trust: op.p.Trust.Versions()[0], State: filepath.Join(folder, "state"), Evidence: folder,
		Now: func() time.Time { return op.now }, Delivers: []audit.Delivery{w.box},
	}
	for _, d := range domains {
		p, err := policy.ParseDomain(d)
		if err != nil {
			t.Fatal(err)
		}
		w.Domains = append(w.Domains, p)
	}
	w.at(op.public())
	return w
}

// at makes the monitor look at another folder.
func (w *watcher) at(folder string) {
	w.t.Helper()
	r, err := dir.OpenReader(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { r.Close() })
	w.Mirror = r
}

// look makes a round that must tell exactly the given codes, in any order; "x2" behind a code asks for it twice.
func (w *watcher) look(codes ...string) audit.Round {
	w.t.Helper()
	w.box.got = nil
	out, err := w.Round(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.compare(codes)
	return out
}

func (w *watcher) compare(codes []string) {
	w.t.Helper()
	var got []string
	for _, a := range w.box.got {
		got = append(got, a.Code)
		w.told[a.Code] = true
	}
	slices.Sort(got)
	slices.Sort(codes)
	if !slices.Equal(got, codes) {
		w.t.Errorf("told %v, want %v: %+v", got, codes, w.box.got)
	}
}

// only is the one alert of a code in the last round.
func (w *watcher) only(code string) audit.Alert {
	w.t.Helper()
	i := slices.IndexFunc(w.box.got, func(a audit.Alert) bool { return a.Code == code })
	if i < 0 {
		w.t.Fatalf("no %s among %+v", code, w.box.got)
	}
	return w.box.got[i]
}

// write sets the operator's own domains, d0.example and so on, to have these hosts.
func (o *operator) write(hosts ...string) {
	o.t.Helper()
	var lines []string
	for i, h := range hosts {
		lines = append(lines, fmt.Sprintf("\"d%d.example\": {\"mode\": \"testing\", \"mxs\": [%q]}", i, h))
	}
	put(o.t.(*testing.T), o.path("list/domains/many.json"), []byte("{\"policies\": {\n"+strings.Join(lines, ",\n")+"\n}}\n"))
}

// signRubbishRelease is what a thief of the log's and the release keys can do: the checkpoint covers a signed release whose
// list is not what the entries make.
func signRubbishRelease(t *testing.T, op *operator, dir string) {
	t.Helper()
	twin := op.fork()
	l, err := twin.p.OpenLog(twin.path("state/log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := l.Tree().N
	pointer, err := os.ReadFile(filepath.Join(op.public(), mirror.PointerPath))
	if err != nil {
		t.Fatal(err)
	}
	last, err := mirror.OpenProof(pointer, op.p.Trust)
	if err != nil {
		t.Fatal(err)
	}
	leaf, digest := *last.Leaf, last.Digest()
	leaf.Release, leaf.Previous, leaf.From, leaf.To = leaf.Release+1, &digest, before, before
	leaf.Timestamp, leaf.Count = leaf.Timestamp.Add(time.Hour), leaf.Count+1
	msg, err := leaf.Message()
	if err != nil {
		t.Fatal(err)
	}
	key := op.p.Keys.Release[0]
	sig, err := key.Sign(t.Context(), msg)
	if err != nil {
		t.Fatal(err)
	}
	leaf.Signatures = []transparency.KeySignature{{Key: key.KeyID(), Signature: sig}}
	raw, err := leaf.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := l.Append(t.Context(), before, [][]byte{raw})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range mirror.TilePaths(0, tree.N) {
		data, err := l.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.FromSlash(path)), data)
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: op.p.Trust.Newest().Origin, Tree: tree}, op.p.Keys.Log)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tlog.ProveRecord(tree.N, before, l)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, mirror.PointerPath), transparency.Proof{Extra: raw, Index: before, Path: path, Checkpoint: note}.Format())
}
