package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// withSite is an operator whose releases bring pages along.
func withSite(t testing.TB, mirrors ...string) *operator {
	t.Helper()
	o := newOperator(t, mirrors...)
	o.Site, o.Observer, o.SkipVerify = &pipeline.Site{Extra: address}, passing{}, true
	return o
}

func address(context.Context) (site.Extra, error) {
	return site.Extra{Address: "https://list.example/"}, nil
}

// pagesOf are the files of a folder's site, by path.
func pagesOf(t testing.TB, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	r, err := dir.OpenReader(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for path, err := range r.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if path != "index.html" && !strings.HasPrefix(path, "site/") {
			continue
		}
		data, err := r.Get(t.Context(), path, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(data)
	}
	return files
}

// sitePending is what the newest release of the outbox says that it holds.
func sitePending(t testing.TB, state string, release int64) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "outbox", fmt.Sprint(release), "pending.json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sameSite compares the pages in a mirror's folder with those that anybody builds from that mirror, with nothing else but
// what the operator says.
func sameSite(t testing.TB, folder string, first *transparency.Trust, extra site.Extra) {
	t.Helper()
	r, err := dir.OpenReader(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	chain, err := transparency.NewTrustChain(first)
	if err != nil {
		t.Fatal(err)
	}
	model, err := site.Read(t.Context(), r, chain, extra)
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	sink, err := dir.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	if _, err := site.Build(t.Context(), model, sink, site.Options{}); err != nil {
		t.Fatal(err)
	}
	want, got := pagesOf(t, own), pagesOf(t, folder)
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s: %s is %.100q, and not %.100q", filepath.Base(folder), path, got[path], want[path])
		}
	}
	if len(got) != len(want) || len(want) < 100 {
		t.Errorf("%s has %d pages, want %d", filepath.Base(folder), len(got), len(want))
	}
}

func (o *operator) sameSite(release int64, mirrors ...string) {
	o.t.Helper()
	for _, name := range mirrors {
		sameSite(o.t, o.path(name), o.Trust.Versions()[0], site.Extra{Address: "https://list.example/", Pending: sitePending(o.t, o.State, release)})
	}
}

// A release writes the pages that anybody would build from the mirror afterwards, on each mirror what that one lacks.
func TestSiteWithRelease(t *testing.T) {
	o := withSite(t, "public", "second")
	o.release()
	o.sameSite(1, "public", "second")
	renewed := o.release()
	for _, m := range renewed.Mirrors {
		if m.Site.Err != nil || m.Site.Written == 0 || m.Site.Written > 8 || m.Site.Release != 2 {
			t.Errorf("a renewal: %+v", m.Site)
		}
	}
	o.sameSite(2, "public", "second")

	// The second mirror misses a release, and somebody removes its manifest.
	both := o.Mirrors
	o.Mirrors = both[:1]
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	o.release()
	o.Mirrors = both
	if err := os.Remove(o.path("second/" + site.ManifestPath)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(o.path("second/index.html")); err != nil { // whose a home page is that no manifest names, nobody can tell
		t.Fatal(err)
	}
	out := o.release()
	if first, second := out.Mirrors[0].Site, out.Mirrors[1].Site; first.Written > 8 || second.Written != second.Objects {
		t.Errorf("first %+v, second %+v", first, second)
	}
	o.sameSite(4, "public", "second")
	if len(out.Findings) != 0 {
		t.Errorf("%v", out.Findings)
	}
	o.now = o.now.Add(time.Hour)
	if _, err := o.Final(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.sameSite(5, "public", "second")
}

// troubled is a mirror on which pages cannot be written as they should.
type troubled struct {
	mirror.Store
	put func(ctx context.Context, path string) error
}

func (s troubled) Put(ctx context.Context, o mirror.Object) error {
	if strings.HasPrefix(o.Path, "site/") && s.put != nil {
		if err := s.put(ctx, o.Path); err != nil {
			return err
		}
	}
	return s.Store.Put(ctx, o)
}

// Pages that cannot be made or written keep no mirror from its release. They are told of, and put right by the next one.
func TestSiteThatFails(t *testing.T) {
	o := withSite(t, "public")
	store := troubled{Store: o.Mirrors[0].Store}
	whole := o.Mirrors
	release := int64(0)
	for name, c := range map[string]struct {
		put   func(ctx context.Context, path string) error
		extra func(context.Context) (site.Extra, error)
	}{
		"no room":       {put: func(context.Context, string) error { return errors.New("disk full") }},
		"one page":      {put: func(_ context.Context, path string) error { return onlyFor(path, "site/changes/index.html") }},
		"slow":          {put: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }},
		"panic":         {extra: func(context.Context) (site.Extra, error) { panic("index out of range") }},
		"extra":         {extra: func(context.Context) (site.Extra, error) { return site.Extra{}, errors.New("no such file") }},
		"reading fails": {extra: func(context.Context) (site.Extra, error) { return site.Extra{Survey: []byte("{")}, nil }},
	} {
		o.Mirrors = []pipeline.Target{{Name: "public", Store: troubled{store.Store, c.put}}}
		o.Site = &pipeline.Site{Extra: address}
		if c.extra != nil {
			o.Site.Extra = c.extra
		}
		if name == "slow" {
			o.Site.Limit = 20 * time.Millisecond
		}
		o.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new%d.example":{"mode":"testing","mxs":["mx.new.example"]}}}`, release))
		out := o.release()
		shown := out.Mirrors[0]
		if shown.Err != nil || shown.Site == nil || shown.Site.Err == nil {
			t.Errorf("%s: %+v", name, shown)
		}
		if !slices.ContainsFunc(out.Findings, func(f policy.Finding) bool {
			return f.Code == "release.site" && f.Severity == policy.Warning && f.Fix != "" && strings.Contains(f.Summary, "mirror public")
		}) {
			t.Errorf("%s: nobody is told: %v", name, out.Findings)
		}
		c := o.client("public", mirror.Snapshot)
		if got := updated(t, c); got.Release.Release != out.Leaf().Release {
			t.Errorf("%s: clients get release %d", name, got.Release.Release)
		}
		o.Mirrors, o.Site = whole, &pipeline.Site{Extra: address}
		next := o.release()
		if len(next.Findings) != 0 {
			t.Errorf("%s: then %v", name, next.Findings)
		}
		release = next.Leaf().Release
		o.sameSite(release, "public")
	}
}

func onlyFor(path, bad string) error {
	if path != bad {
		return nil
	}
	return errors.New("permission denied")
}

// Whoever stops the release stops it, also while pages are written; the next run completes it with them.
func TestSiteIsStopped(t *testing.T) {
	o := withSite(t, "public")
	whole := o.Mirrors
	ctx, stop := context.WithCancel(t.Context())
	o.Mirrors = []pipeline.Target{{Name: "public", Store: troubled{whole[0].Store, func(_ context.Context, path string) error {
		if path == "site/style.css" {
			stop()
		}
		return nil
	}}}}
	if _, err := o.Release(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, pipeline.ErrMirrors) {
		t.Fatal(err)
	}
	if !absent(o.path("public/" + mirror.PointerPath)) {
		t.Error("it went on")
	}
	o.Mirrors = whole
	if out := o.release(); !out.Resumed || out.Leaf().Release != 1 {
		t.Errorf("%+v", out)
	}
	o.sameSite(1, "public")
}

// A new log begins its pages anew, on its own mirror; those of the old one stay as they were.
func TestSiteOfNewLog(t *testing.T) {
	r := newRotating(t, "public")
	r.Site = &pipeline.Site{Extra: address}
	r.release()
	before := pagesOf(t, r.path("public"))
	chain := r.Publisher.Trust.Versions()[0]
	r.rotate(func(r *rotating) { r.origin = "list.operator.example/second" })
	r.Site = &pipeline.Site{Extra: address}
	r.Mirrors = append(r.Mirrors, r.target("second"))
	out := r.release()
	if out.Mirrors[0].Site != nil || out.Mirrors[1].Site == nil || out.Mirrors[1].Site.Err != nil {
		t.Errorf("%+v", out.Mirrors)
	}
	if !maps.Equal(pagesOf(t, r.path("public")), before) {
		t.Error("the old log's pages have changed")
	}
	sameSite(t, r.path("second"), chain, site.Extra{Address: "https://list.example/", Pending: sitePending(t, r.State, 2)})
	list := pagesOf(t, r.path("second"))["site/api/v1/list.json"]
	if !strings.Contains(list, `"list.operator.example/second"`) || !strings.Contains(list, `"release": 2`) {
		t.Error(list)
	}
	changes := pagesOf(t, r.path("second"))["site/changes/changes.jsonl"]
	if n := strings.Count(changes, "\n"); n != out.List().Len() || strings.Count(changes, `"reason":"log.restart"`) != n {
		t.Errorf("%s", changes)
	}
}

// TestSiteKilled kills the publisher between pages, before and after a write; the next run leaves the release and the pages
// that an undisturbed one does.
func TestSiteKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	o := newOperator(t)
	base := &crashWorld{t: t, program: buildPublisher(t), home: o.dir, names: []string{"a"}, now: o.now, args: []string{"-site"}}
	base.finish()
	base.join()
	base.change("third", 9)
	undisturbed := base.copy(t)
	end := undisturbed.run(crashRun{})
	if end.err != nil {
		t.Fatal(end.err)
	}
	written := 0
	for _, moment := range end.moments {
		if strings.HasPrefix(moment, "a.put.site#") {
			written++
		}
	}
	if written < 20 {
		t.Fatalf("%d pages in %q", written, end.moments)
	}
	for n, modes := range map[int][]string{1: {"before", "after"}, 2: {"lied"}, written / 2: {"before", "lied"}, written: {"before", "after"}} {
		for _, mode := range modes {
			point := fmt.Sprintf("a.put.site#%d", n)
			t.Run(mode+" "+point, func(t *testing.T) {
				t.Parallel()
				w := base.copy(t)
				if end := w.run(crashRun{point: point, mode: mode}); end.killed != (mode != "lied") || end.lied != (mode == "lied") || mode == "lied" && end.err != nil {
					t.Errorf("killed %v, lied %v, %v", end.killed, end.lied, end.err)
				}
				w.poll()
				w.change("fourth", 1)
				w.finish()
				w.poll()
				w.check(5 + 9 + 1)
				release := w.number[w.clients[0].Dir]
				sameSite(t, filepath.Join(w.home, "a"), w.chain().Versions()[0],
					site.Extra{Pending: sitePending(t, filepath.Join(w.home, pipeline.StateDir), release)})
			})
		}
	}
}

// counting counts what is written below site/.
type counting struct {
	mirror.Store
	mu   *sync.Mutex
	puts map[string]int
}

func (s counting) Put(ctx context.Context, o mirror.Object) error {
	s.mu.Lock()
	s.puts[o.Path]++
	s.mu.Unlock()
	return s.Store.Put(ctx, o)
}

// Where the state is on S3, what the pages were made from stays on the machine, and pages wait no longer than the lease
// lasts; on S3, too, a renewal writes a few objects, and what anybody would build from it.
func TestSiteOnS3(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t)
	puts := map[string]int{}
	store := counting{b.store("public"), &sync.Mutex{}, puts}
	term := time.Hour
	var target mirror.Store = store
	run := func() *pipeline.Published {
		t.Helper()
		o.now = o.now.Add(time.Hour)
		p := o.publisher()
		p.Now, p.Observer, p.SkipVerify = func() time.Time { return o.now }, passing{}, true
		p.Vault, p.State = &pipeline.Vault{Store: b.store("state"), Term: term}, memoryDir(t)
		p.Mirrors, p.Site = []pipeline.Target{{Name: "public", Store: target}}, &pipeline.Site{Extra: address, Limit: time.Hour}
		out, err := p.Release(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := run(); out.Mirrors[0].Site.Err != nil || out.Mirrors[0].Site.Written != out.Mirrors[0].Site.Objects {
		t.Fatalf("%+v", out.Mirrors[0].Site)
	}
	clear(puts)
	if out := run(); out.Mirrors[0].Site.Err != nil || out.Mirrors[0].Site.Written > 8 {
		t.Errorf("%+v", out.Mirrors[0].Site)
	}
	if puts["site/index.html"] != 1 || puts[site.ManifestPath] != 2 || len(puts) > 16 {
		t.Errorf("%v", puts)
	}
	for path, err := range b.store("state").List(t.Context(), "") {
		if err != nil || strings.Contains(path, "site") {
			t.Errorf("the state has %s, %v", path, err)
		}
	}
	chain, err := transparency.NewTrustChain(o.Trust.Versions()[0])
	if err != nil {
		t.Fatal(err)
	}
	m, err := site.Read(t.Context(), b.store("public"), chain, site.Extra{Address: "https://list.example/", Pending: []byte(`{"held":[]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := site.Build(t.Context(), m, store, site.Options{}); err != nil || report.Written != 0 || report.Deleted != 0 {
		t.Errorf("whoever builds it from the mirror has others: %+v, %v", report, err)
	}
	term = time.Second
	target = troubled{store, func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }}
	if out := run(); out.Mirrors[0].Err != nil || !errors.Is(out.Mirrors[0].Site.Err, context.DeadlineExceeded) || !strings.Contains(out.Mirrors[0].Site.Err.Error(), "after 500ms") {
		t.Errorf("pages outlast the lease: %+v", out.Mirrors[0].Site)
	}
}
