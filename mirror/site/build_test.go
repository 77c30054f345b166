package site

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

const held = `{"held":[{"domain":"wait.example","class":"added","codes":["gate.waiting"],"since":"2026-03-01T12:00:00Z","until":"2026-03-15T12:00:00Z",` +
	`"findings":[{"code":"gate.waiting","summary":"<b>wait</b>","fix":"\" onclick=\"alert(1)"}]}]}`

// whole is a list with everything that pages can show.
func whole(t testing.TB) *operator {
	t.Helper()
	o := story(t)
	o.evidence = evidence
	o.rotate()
	o.add([]byte("rubbish"))
	o.publish(set("xn--bcher-kva.example", policy.Enforce, ".mail.example", "mx.example"))
	return o
}

func build(t testing.TB, m *Model, sink *memory) Report {
	t.Helper()
	sink.put, sink.deleted = map[string]int{}, nil
	report, err := Build(t.Context(), m, sink, Options{})
	must(t, err)
	return report
}

func fresh(t testing.TB, m *Model) *memory {
	t.Helper()
	sink := newMemory()
	build(t, m, sink)
	return sink
}

// The same mirror gives the same bytes, and what is there already is not written again.
func TestBuildTwice(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{}))
	again := fresh(t, o.read(Extra{}))
	if !maps.EqualFunc(sink.objects, again.objects, bytes.Equal) {
		t.Error("two builds differ")
	}
	if r := build(t, o.read(Extra{}), sink); r.Written != 0 || r.Deleted != 0 || len(sink.put) != 0 || r.Objects != len(sink.objects)-1 {
		t.Errorf("%+v, %v", r, sink.put)
	}
}

// A renewal changes the pages that name the newest release, and a change those of its domain and what tells of changes.
func TestBuildWritesWhatChanged(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{}))
	o.publish()
	build(t, o.read(Extra{}), sink)
	renewal := []string{"site/api/v1/list.json", "site/index.html", "site/log/index.html", ManifestPath}
	if got := slices.Sorted(maps.Keys(sink.put)); !reflect.DeepEqual(got, renewal) {
		t.Errorf("a renewal wrote %q", got)
	}
	o.publish(set("a.example", policy.Testing))
	m := o.read(Extra{})
	build(t, m, sink)
	change := append(renewal, "site/api/v1/domain/"+shardOf("a.example", 2)+".json", "site/changes/2026-03.html", "site/changes/atom.xml", "site/changes/changes.jsonl",
		"site/changes/feed.json", "site/changes/index.html", "site/domain/a.example/a.example.tlog-proof", "site/domain/a.example/atom.xml",
		"site/domain/a.example/badge.svg", "site/domain/a.example/index.html", "site/domains/index.html", "site/statistics/failing.csv", "site/statistics/index.html", "site/statistics/joined.csv",
		"site/statistics/providers.csv", "site/statistics/size.csv", "site/statistics/suffixes.csv", "site/statistics/tlds.csv")
	slices.Sort(change)
	if got := slices.Sorted(maps.Keys(sink.put)); !reflect.DeepEqual(got, change) {
		t.Errorf("a change wrote %q", got)
	}
	if !maps.EqualFunc(sink.objects, fresh(t, m).objects, bytes.Equal) {
		t.Error("the site that grew is another than the one that was made at once")
	}
}

// What is no part of the site any more goes, and nothing else does.
func TestBuildDeletes(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{Pending: []byte(held)}))
	sink.objects["site/mine.html"], sink.objects["policy.json"] = []byte("x"), []byte("x")
	if r := build(t, o.read(Extra{Pending: []byte(`{"held":[]}`)}), sink); r.Deleted != 2 || !slices.Contains(sink.deleted, "site/domain/wait.example/index.html") || !slices.Contains(sink.deleted, "site/domain/wait.example/badge.svg") {
		t.Errorf("%+v, deleted %q", r, sink.deleted)
	}
	// A manifest that names other objects is not believed.
	for _, bad := range []string{`{"format":"site-manifest/1","state":"done","objects":{"policy.json":""}}`, `{"format":"site-manifest/1","state":"done","objects":{"site/../policy.json":""}}`,
		`{"format":"site-manifest/2","state":"done","objects":{"site/mine.html":""}}`, "{", ""} {
		sink.objects[ManifestPath] = []byte(bad)
		if r := build(t, o.read(Extra{}), sink); r.Deleted != 0 || r.Written != r.Objects || len(sink.objects["policy.json"]) == 0 {
			t.Errorf("%s: %+v", bad, r)
		}
	}
}

// No manifest makes a build delete what is not the site's.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":"site-manifest/1","state":"done","objects":{"site/a.html":"00","index.html":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sink := newMemory()
		sink.objects[ManifestPath] = data
		m, err := readManifest(t.Context(), sink)
		must(t, err)
		for p := range m.Objects {
			if p != path.Clean(p) || p != homePath && !strings.HasPrefix(p, "site/") {
				t.Errorf("%q", p)
			}
		}
	})
}

// faulty fails at the nth change of the folder.
type faulty struct {
	*memory
	left int
}

var errFull = errors.New("disk full")

func (f *faulty) change() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	if f.left < 0 {
		return errFull
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, o mirror.Object) error {
	if err := f.change(); err != nil {
		return err
	}
	return f.memory.Put(ctx, o)
}

func (f *faulty) Delete(ctx context.Context, p string) error {
	if err := f.change(); err != nil {
		return err
	}
	return f.memory.Delete(ctx, p)
}

// A build that ends at any change leaves what the next one puts right, even where the list went back meanwhile.
func TestBuildEndsMidway(t *testing.T) {
	o := whole(t)
	before := o.read(Extra{Pending: []byte(held)})
	o.publish(set("new.example", policy.Testing), del("a.example"))
	after := o.read(Extra{})
	want, was := fresh(t, after), fresh(t, before)
	for n := 0; ; n += 1 + n/3 { // closer at the beginning, where the manifest is marked
		if n > 400 {
			t.Fatal("no build comes to its end")
		}
		sink := &faulty{memory: newMemory(), left: n}
		sink.objects = maps.Clone(was.objects)
		_, err := Build(t.Context(), after, sink, Options{})
		if err == nil {
			break
		}
		if !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		sink.left = 1 << 20
		back := &faulty{memory: newMemory(), left: 1 << 20}
		back.objects = maps.Clone(sink.objects)
		for _, again := range []struct {
			m    *Model
			sink *faulty
			want *memory
		}{{after, sink, want}, {before, back, was}} {
			_, err := Build(t.Context(), again.m, again.sink, Options{})
			must(t, err)
			if !maps.EqualFunc(again.sink.objects, again.want.objects, bytes.Equal) {
				t.Fatalf("after %d changes the next build leaves another site", n)
			}
		}
	}
}

// Somebody's home page is not replaced unasked.
func TestOccupied(t *testing.T) {
	m := story(t).read(Extra{})
	sink := newMemory()
	sink.objects[homePath] = []byte("mine")
	if _, err := Build(t.Context(), m, sink, Options{}); !errors.Is(err, ErrOccupied) || len(sink.objects) != 1 {
		t.Errorf("%v, %d objects", err, len(sink.objects))
	}
	_, err := Build(t.Context(), m, sink, Options{Full: true})
	must(t, err)
	build(t, m, sink)
	sink.fail = ManifestPath
	if _, err := Build(t.Context(), m, sink, Options{}); err == nil {
		t.Error("a folder that cannot be read was taken for an empty one")
	}
}

func TestFullBuild(t *testing.T) {
	o := story(t)
	m := o.read(Extra{})
	sink := fresh(t, m)
	delete(sink.objects, "site/site.js")
	if r, err := Build(t.Context(), m, sink, Options{Full: true}); err != nil || r.Written != r.Objects || sink.objects["site/site.js"] == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// Every document of the API is as its schema says, and says what the log does.
func TestAPI(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{Pending: []byte(held)}))
	set, err := schema.Load()
	must(t, err)
	check := func(kind schema.Kind, name string, data []byte) {
		var v any
		must(t, json.Unmarshal(data, &v))
		for _, bad := range set.Validate(kind, v) {
			t.Errorf("%s: %s: %s", name, bad.Pointer, bad.Message)
		}
	}
	shards, all := 0, map[string]*Status{}
	for p := range sink.paths() {
		if strings.HasPrefix(p, "site/api/v1/domain/") {
			shards++
			check(schema.Status, p, sink.objects[p])
			var f statusFile
			must(t, json.Unmarshal(sink.objects[p], &f))
			for name, s := range f.Domains {
				if p != "site/api/v1/domain/"+shardOf(name, 2)+".json" {
					t.Errorf("%s is in %s", name, p)
				}
				all[name] = s
			}
		}
	}
	check(schema.StatusList, "list.json", sink.objects["site/api/v1/list.json"])
	check(schema.StatusCodes, "codes.json", sink.objects["site/api/v1/codes.json"])
	lines := bytes.Split(bytes.TrimSpace(sink.objects["site/changes/changes.jsonl"]), []byte("\n"))
	for _, line := range lines {
		check(schema.StatusChange, "changes.jsonl", line)
	}
	if shards != 256 || len(all) != 5 || len(lines) != 6 || !bytes.Contains(lines[0], []byte("xn--bcher-kva")) {
		t.Errorf("%d shards, %d domains, %d changes, first %s", shards, len(all), len(lines), lines[0])
	}
	for name, want := range map[string]string{
		"a.example":    "a.example is on the list: enforce since 1 March 2026.",
		"gone.example": "gone.example is not on the list: it was removed on 1 March 2026.",
		"wait.example": "wait.example is not on the list yet: its entry is held.",
	} {
		if all[name].Sentence != want {
			t.Errorf("%q", all[name].Sentence)
		}
	}
	if a := all["a.example"]; a.Preloadable != "no" || a.Removable != "yes" || a.Feedback.State != "reported" || len(a.History) != 2 || a.History[0].Op != "set" || a.Listed != "2026-03-01T13:00:00Z" {
		t.Errorf("%+v", a)
	}
	if gone := all["gone.example"]; gone.Removable != "no" || gone.Preloadable != "unknown" || gone.Feedback.State != "insufficient data" {
		t.Errorf("%+v", gone)
	}
}

func TestFeeds(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{Address: "https://list.example/"}))
	var atom struct {
		ID      string `xml:"id"`
		Updated string `xml:"updated"`
		Author  string `xml:"author>name"`
		Entries []struct {
			ID      string `xml:"id"`
			Summary string `xml:"summary"`
			Link    struct {
				Href string `xml:"href,attr"`
			} `xml:"link"`
		} `xml:"entry"`
	}
	must(t, xml.Unmarshal(sink.objects["site/changes/atom.xml"], &atom))
	if atom.ID != "tag:list.operator.example,2026:2026/changes" || atom.Updated != "2026-03-01T16:00:00Z" || atom.Author != origin || len(atom.Entries) != 6 ||
		atom.Entries[0].Link.Href != "https://list.example/site/domain/xn--bcher-kva.example/index.html" || !strings.Contains(atom.Entries[0].Summary, "Now: enforce, .mail.example mx.example") {
		t.Errorf("%+v", atom)
	}
	ids := map[string]bool{}
	for _, e := range atom.Entries {
		ids[e.ID] = true
	}
	if len(ids) != 6 {
		t.Errorf("ids repeat: %v", ids)
	}
	must(t, xml.Unmarshal(sink.objects["site/domain/gone.example/atom.xml"], &atom))
	if n := len(atom.Entries) - 6; n != 2 { // Unmarshal appends
		t.Errorf("%d entries of gone.example", n)
	}
	var feed struct {
		Version string
		Items   []struct {
			ID          string
			ContentText string `json:"content_text"`
		}
	}
	must(t, json.Unmarshal(sink.objects["site/changes/feed.json"], &feed))
	if !strings.HasPrefix(feed.Version, "https://jsonfeed.org/version/1") || len(feed.Items) != 6 || feed.Items[0].ContentText == "" || feed.Items[0].ID == "" {
		t.Errorf("%+v", feed)
	}
}
