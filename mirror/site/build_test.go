package site

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	policyproof "github.com/starttls-everywhere/policylist/policy/proof"
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
		"site/domain/a.example/index.html", "site/domains/index.html")
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
	if r := build(t, o.read(Extra{Pending: []byte(`{"held":[]}`)}), sink); r.Deleted != 1 || !reflect.DeepEqual(sink.deleted, []string{"site/domain/wait.example/index.html"}) {
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

// walk calls f for each element of a page.
func walk(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// No page has a link that leads nowhere, anything from another server, script or style of its own, or an element that a
// hostile text could have made.
func TestPages(t *testing.T) {
	o := whole(t)
	for _, large := range []bool{false, true} {
		m := o.read(Extra{Pending: []byte(held)})
		if large {
			m.maxPages = 1
		}
		sink := fresh(t, m)
		n := 0
		for p := range sink.paths() {
			if path.Ext(p) == ".html" {
				n++
				checkPage(t, sink, p)
			}
		}
		if n < 7 {
			t.Errorf("%d pages", n)
		}
	}
}

var allowed = strings.Fields("html head meta title link script body a header p nav ul li main h1 h2 h3 footer form label div input button noscript dl dt dd time code pre table thead tbody tr th td section ol del ins span strong")

func checkPage(t *testing.T, sink *memory, p string) {
	t.Helper()
	page := sink.objects[p]
	doc, err := html.Parse(bytes.NewReader(page))
	must(t, err)
	if !bytes.Contains(page, []byte(`content="default-src &#39;none&#39;; `)) && !bytes.Contains(page, []byte(`content="default-src 'none'; style-src 'self'; script-src 'self';`)) {
		t.Errorf("%s has no policy of content", p)
	}
	walk(doc, func(n *html.Node) {
		if !slices.Contains(allowed, n.Data) {
			t.Errorf("%s has an element %s", p, n.Data)
		}
		if n.Data == "script" && (attribute(n, "src") == "" || n.FirstChild != nil) {
			t.Errorf("%s has a script of its own", p)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: %s has %s", p, n.Data, a.Key)
			}
			if a.Key != "href" && a.Key != "src" && a.Key != "action" || strings.HasPrefix(a.Val, "#") {
				continue
			}
			target, _, _ := strings.Cut(a.Val, "#")
			if _, ok := sink.objects[path.Join(path.Dir(p), target)]; !ok || strings.Contains(target, ":") || strings.HasPrefix(target, "/") {
				t.Errorf("%s leads to %s", p, a.Val)
			}
		}
	})
}

// What strangers' servers said is on the page, as text.
func TestHostileTexts(t *testing.T) {
	o := whole(t)
	page := string(fresh(t, o.read(Extra{Pending: []byte(held)})).objects["site/domain/a.example/index.html"])
	for _, want := range []string{"refused &lt;script&gt;alert(1)&lt;/script&gt;?[31m?", "&lt;img src=x onerror=alert(1)&gt; / {{.}}"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	wait := string(fresh(t, o.read(Extra{Pending: []byte(held)})).objects["site/domain/wait.example/index.html"])
	if !strings.Contains(wait, "&lt;b&gt;wait") || !strings.Contains(wait, "&#34; onclick=&#34;") {
		t.Error(wait)
	}
}

// The record by which a domain leaves is one that counts, once it has a day.
func TestLeaveRecord(t *testing.T) {
	page := html.UnescapeString(string(fresh(t, story(t).read(Extra{})).objects["site/domain/a.example/index.html"]))
	_, text, ok := strings.Cut(page, `_starttls-policy.a.example. IN TXT "`)
	text, _, closed := strings.Cut(text, `"`)
	got := policyproof.Parse([]string{strings.Replace(text, "YYYY-MM-DD", "2026-04-01", 1)}, began)
	if !ok || !closed || got.Status != policyproof.OK || got.Kind != policyproof.Remove {
		t.Errorf("%q: %+v", text, got)
	}
	if !strings.Contains(page, fmt.Sprintf("at most %d days ahead", policyproof.MaxDays)) {
		t.Error("the page names another bound")
	}
}

// With many domains the index is split by letters, and a new domain changes the pages on the way to it.
func TestIndexIsSplit(t *testing.T) {
	o := newOperator(t)
	o.publish(append(many(550), set("d000.example", policy.Testing), set("z.example", policy.Enforce))...)
	sink := fresh(t, o.read(Extra{}))
	seen := map[string]int{}
	for p := range sink.paths() {
		if strings.HasPrefix(p, "site/domains/") {
			checkPage(t, sink, p)
			for _, part := range strings.Split(string(sink.objects[p]), `domain/`)[1:] {
				if name, _, ok := strings.Cut(part, "/index.html"); ok {
					seen[name]++
				}
			}
		}
	}
	if len(seen) != 552 || seen["z.example"] != 1 || seen["d000.example"] != 1 {
		t.Errorf("the index leads to %d domains", len(seen))
	}
	o.publish(set("e.example", policy.Testing))
	build(t, o.read(Extra{}), sink)
	for p := range sink.put {
		if strings.HasPrefix(p, "site/domains/p-d") {
			t.Errorf("%s changed", p)
		}
	}
}

// A list without domains has a site, too.
func TestEmptyList(t *testing.T) {
	o := newOperator(t)
	o.publish()
	sink := fresh(t, o.read(Extra{}))
	for p := range sink.paths() {
		if path.Ext(p) == ".html" {
			checkPage(t, sink, p)
		}
	}
}
