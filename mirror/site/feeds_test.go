package site

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// element is an XML element with what is in it.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) named(name string) (out []element) {
	for _, c := range e.Children {
		if c.XMLName.Local == name {
			out = append(out, c)
		}
	}
	return out
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

const atomSpace = "http://www.w3.org/2005/Atom"

// tagURI is RFC 4151 2.1, of an authority that is a domain.
var tagURI = regexp.MustCompile(`^tag:([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?,[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?:([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*$`)

// atomFaults reads a feed as RFC 4287 has it, and stricter where that leaves a choice that we do not make.
func atomFaults(data []byte) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var feed element
	d := xml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&feed); err != nil {
		return []string{err.Error()}
	}
	if _, err := d.Token(); err != io.EOF && !bytes.HasSuffix(data, []byte("</feed>\n")) {
		fault("something follows the feed")
	}
	if feed.XMLName != (xml.Name{Space: atomSpace, Local: "feed"}) {
		fault("it is a %v", feed.XMLName)
	}
	once := func(e element, name string) string { // 4.1.1, 4.1.2: exactly one
		found := e.named(name)
		if len(found) != 1 || strings.TrimSpace(found[0].Text) == "" {
			fault("%s has %d elements %s, or an empty one", e.XMLName.Local, len(found), name)
			return ""
		}
		return found[0].Text
	}
	known := func(e element, names ...string) {
		for _, c := range e.Children {
			if c.XMLName.Space != atomSpace || !slices.Contains(names, c.XMLName.Local) {
				fault("%s has an element %v", e.XMLName.Local, c.XMLName)
			}
		}
	}
	moment := func(e element) time.Time { // 3.3
		text := once(e, "updated")
		at, err := time.Parse(policy.TimeFormat, text)
		if err != nil {
			fault("the time %q", text)
		}
		return at
	}
	links := func(e element, rels ...string) {
		seen := map[string]bool{}
		for _, l := range e.named("link") {
			rel := l.attr("rel")
			if l.attr("href") == "" || !slices.Contains(rels, rel) || seen[rel] { // 4.2.7; 4.1.1: one alternate of a type
				fault("%s has a link %v", e.XMLName.Local, l.Attrs)
			}
			seen[rel] = true
		}
		if !seen["alternate"] { // 4.1.2: without content it needs one
			fault("%s has no link alternate", e.XMLName.Local)
		}
	}
	known(feed, "id", "title", "updated", "author", "link", "subtitle", "entry")
	once(feed, "title")
	updated := moment(feed)
	links(feed, "alternate", "self")
	if authors := feed.named("author"); len(authors) != 1 || once(authors[0], "name") == "" { // 4.1.1: of all entries
		fault("%d authors", len(authors))
	}
	if len(feed.named("subtitle")) > 1 {
		fault("two subtitles")
	}
	ids := map[string]bool{}
	for _, e := range append([]element{feed}, feed.named("entry")...) {
		id := once(e, "id")
		if ids[id] || !tagURI.MatchString(id) { // 4.2.6
			fault("the id %q repeats, or is no tag URI", id)
		}
		ids[id] = true
	}
	last := updated
	for _, e := range feed.named("entry") {
		known(e, "id", "title", "updated", "link", "summary")
		once(e, "title")
		links(e, "alternate")
		if s := e.named("summary"); len(s) != 1 || s[0].attr("type") != "text" || len(s[0].Children) > 0 { // 3.1.1.1
			fault("its summary is not a text")
		}
		at := moment(e)
		if at.After(last) {
			fault("an entry of %s is newer than what stands before it", at)
		}
		last = at
	}
	return faults
}

func jsonFeedFaults(t *testing.T, data []byte) (faults []string) {
	t.Helper()
	set, err := schema.Load()
	must(t, err)
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return []string{err.Error()}
	}
	for _, bad := range set.Validate(schema.JSONFeed, v) {
		faults = append(faults, bad.Pointer+": "+bad.Message)
	}
	var f struct {
		HomePage string `json:"home_page_url"`
		Items    []struct {
			ID, URL string
			Date    string `json:"date_published"`
		}
	}
	must(t, json.Unmarshal(data, &f))
	ids := map[string]bool{}
	for i, item := range f.Items {
		if ids[item.ID] || !tagURI.MatchString(item.ID) {
			faults = append(faults, "the id "+item.ID)
		}
		ids[item.ID] = true
		if i > 0 && item.Date > f.Items[i-1].Date || (item.URL == "") != (f.HomePage == "") {
			faults = append(faults, "the order, or the addresses, of "+item.ID)
		}
	}
	return faults
}

const weakening = `{"held":[` +
	`{"domain":"a.example","class":"weakened","codes":["gate.waiting"],"since":"2026-03-02T12:00:00Z","until":"2026-03-04T12:00:00Z","findings":[{"code":"gate.waiting","summary":"<b>it waits</b>","fix":"look & mend"}]},` +
	`{"domain":"b.example","class":"added","codes":[],"since":"2026-03-02T12:00:00Z","findings":[]},` +
	`{"domain":"stays.example","class":"mxs-narrowed","codes":[],"findings":[]},` +
	`{"domain":"stays.example","class":"strengthened+mxs-widened","codes":[],"findings":[]},` +
	`{"domain":"xn--bcher-kva.example","class":"removed","codes":[],"since":"2026-03-03T12:00:00Z","findings":[]}]}`

// Every feed of every kind of site is one that strict readers take, wherever the mirror is.
func TestFeedsAreValid(t *testing.T) {
	empty := newOperator(t)
	empty.publish()
	large := newOperator(t)
	large.publish(many(150)...)
	feeds := 0
	for name, tt := range map[string]struct {
		o     *operator
		extra Extra
	}{
		"whole":                  {whole(t), Extra{Pending: []byte(weakening)}},
		"with an address":        {whole(t), Extra{Pending: []byte(weakening), Address: "https://list.example/"}},
		"nothing held":           {whole(t), Extra{Pending: []byte(`{"held":[]}`)}},
		"nobody told what is":    {whole(t), Extra{}},
		"an empty list":          {empty, Extra{Address: "https://list.example/below"}},
		"more than a feed holds": {large, Extra{}},
	} {
		sink := fresh(t, tt.o.read(tt.extra))
		for p := range sink.paths() {
			var faults []string
			switch {
			case path.Ext(p) == ".xml":
				faults = atomFaults(sink.objects[p])
				if self := strings.Contains(string(sink.objects[p]), `rel="self"`); self != (tt.extra.Address != "") {
					t.Errorf("%s: %s: a link to itself: %t", name, p, self)
				}
			case path.Dir(p) == "site/changes" && path.Ext(p) == ".json":
				faults = jsonFeedFaults(t, sink.objects[p])
			default:
				continue
			}
			feeds++
			for _, f := range faults {
				t.Errorf("%s: %s: %s", name, p, f)
			}
		}
	}
	if feeds < 170 {
		t.Errorf("%d feeds", feeds)
	}
}

// The reader finds each flaw.
func TestFeedsThatAreNot(t *testing.T) {
	sink := fresh(t, whole(t).read(Extra{Address: "https://list.example/"}))
	atom, jsonFeed := string(sink.objects["site/changes/atom.xml"]), string(sink.objects["site/changes/feed.json"])
	for name, edit := range map[string][2]string{
		"not closed":         {"</feed>", ""},
		"another namespace":  {atomSpace, "http://purl.org/atom/ns#"},
		"no title":           {" <title>Changes of list.operator.example/2026</title>\n", ""},
		"an empty title":     {"<title>Changes of list.operator.example/2026</title>", "<title></title>"},
		"no author":          {"<name>list.operator.example/2026</name>", ""},
		"no id":              {"<id>tag:list.operator.example,2026:2026/changes</id>", ""},
		"two ids":            {"<id>tag:list.operator.example,2026:2026/changes</id>", "<id>tag:list.operator.example,2026:2026/changes</id><id>tag:x.example,2026:x</id>"},
		"an id that repeats": {"2026/entry/6<", "2026/entry/4<"},
		"an id that is none": {"tag:list.operator.example,2026:2026/entry/6", "entry 6"},
		"a time of HTTP":     {"<updated>2026-03-01T16:00:00Z", "<updated>Sun, 01 Mar 2026 16:00:00 GMT"},
		"a time in between":  {"<updated>2026-03-01T14:00:00Z", "<updated>2026-03-01T18:00:00Z"},
		"no link":            {`<link href="https://list.example/site/domain/gone.example/index.html" rel="alternate"></link>`, ""},
		"a link to nowhere":  {`href="https://list.example/site/domain/gone.example/index.html"`, `href=""`},
		"a summary of HTML":  {`<summary type="text">`, `<summary type="html">`},
		"an unknown element": {"<summary", "<description>x</description><summary"},
	} {
		bad := strings.Replace(atom, edit[0], edit[1], 1)
		if bad == atom {
			t.Errorf("%s: there is no %s", name, edit[0])
		} else if len(atomFaults([]byte(bad))) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
	for name, edit := range map[string][2]string{
		"version 1":          {"version/1.1", "version/1"},
		"no items":           {`"items"`, `"things"`},
		"an id that repeats": {"entry/6", "entry/4"},
		"no text":            {`"content_text"`, `"summary"`},
		"a relative address": {"https://list.example/site/domain/gone.example", "../domain/gone.example"},
		"another order":      {"2026-03-01T14:00:00Z\"\n", "2026-03-01T18:00:00Z\"\n"},
	} {
		bad := strings.Replace(jsonFeed, edit[0], edit[1], 1)
		if bad == jsonFeed {
			t.Errorf("%s: there is no %s", name, edit[0])
		} else if len(jsonFeedFaults(t, []byte(bad))) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

// What an item is called stays, whatever comes after it and wherever the mirror is.
func TestFeedNamesStay(t *testing.T) {
	ids := func(o *operator, extra Extra, file string) (out []string) {
		for _, m := range regexp.MustCompile(`<id>([^<]*)</id>`).FindAllStringSubmatch(string(fresh(t, o.read(extra)).objects[file]), -1) {
			out = append(out, m[1])
		}
		return out
	}
	o := whole(t)
	for i, file := range []string{"site/changes/atom.xml", "site/changes/pending.xml"} {
		before := ids(o, Extra{Pending: []byte(weakening)}, file)
		moved := ids(o, Extra{Pending: []byte(weakening), Address: "https://other.example/"}, file)
		o.now = o.now.AddDate(1, 0, 0)
		o.publish(set(fmt.Sprintf("new%d.example", i), policy.Testing))
		after := ids(o, Extra{Pending: []byte(weakening)}, file)
		if !reflect.DeepEqual(before, moved) || len(before) < 3 {
			t.Errorf("%s: %q, elsewhere %q", file, before, moved)
		}
		for _, id := range before {
			if !slices.Contains(after, id) {
				t.Errorf("%s: %s is gone: %q", file, id, after)
			}
		}
	}
}

// Whoever follows the feed of weakenings hears of what asks less of senders, and when it can be made, and of nothing else.
func TestPendingFeed(t *testing.T) {
	o := whole(t)
	m := o.read(Extra{Pending: []byte(weakening), Address: "https://list.example/"})
	sink := fresh(t, m)
	var f struct {
		Description string
		Items       []struct {
			ID, Title, URL string
			Text           string `json:"content_text"`
			Date           string `json:"date_published"`
		}
	}
	mustJSON(t, sink.objects["site/changes/pending.json"], &f)
	var got []string
	for _, i := range f.Items {
		got = append(got, i.ID+" | "+i.Title+" | "+i.URL+" | "+i.Text+" | "+i.Date)
	}
	const at, page = "tag:list.operator.example,2026:2026/held/", "https://list.example/site/domain/"
	want := []string{
		at + "xn--bcher-kva.example/removed/2026-03-03T12:00:00Z | xn--bcher-kva.example: may be removed | " + page + "xn--bcher-kva.example/index.html | Each release looks at it again. | 2026-03-03T12:00:00Z",
		at + "a.example/weakened/2026-03-02T12:00:00Z | a.example: may be weakened | " + page + "a.example/index.html | Not before 2026-03-04T12:00:00Z. gate.waiting: <b>it waits</b>. What to do: look & mend. | 2026-03-02T12:00:00Z",
		at + "stays.example/strengthened/mxs-widened/ | stays.example: may be strengthened+mxs-widened | " + page + "stays.example/index.html | Each release looks at it again. | 2026-03-01T13:00:00Z",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if strings.Contains(f.Description, "not told") {
		t.Error(f.Description)
	}
	mustJSON(t, fresh(t, o.read(Extra{})).objects["site/changes/pending.json"], &f)
	if !strings.Contains(f.Description, "What is held is not told here yet") {
		t.Error(f.Description)
	}
}

// The page of what is held has all of it, and what weakens first; where nobody told, it says so.
func TestPendingPage(t *testing.T) {
	sink := fresh(t, whole(t).read(Extra{Pending: []byte(weakening)}))
	page := string(sink.objects["site/changes/pending.html"])
	weak, others, ok := strings.Cut(page, "<h2>Others</h2>")
	if !ok || strings.Count(weak, `<li><a href="../domain/`) != 3 || strings.Count(others, `<li><a href="../domain/`) != 2 || !strings.Contains(weak, "&lt;b&gt;it waits&lt;/b&gt;. What to do: look &amp; mend") || !strings.Contains(others, "mxs-narrowed") {
		t.Error(page)
	}
	checkPage(t, sink, "site/changes/pending.html")
	for text, extra := range map[string]Extra{"What is held is not told here yet": {}, "<p>Nothing.</p>": {Pending: []byte(`{"held":[]}`)}} {
		if page := rendered(t, story(t).read(extra), "site/changes/pending.html"); !strings.Contains(page, text) {
			t.Errorf("no %q in %s", text, page)
		}
	}
	many := &Pending{}
	for range maxHeld + 7 {
		many.Held = append(many.Held, Held{Domain: "a.example", Class: "removed"})
	}
	b := newBuilder(story(t).read(Extra{}))
	b.Pending = many
	if g := b.pendingPage().Groups[0]; len(g.Held) != maxHeld || g.More != 7 {
		t.Errorf("%d, and %d more", len(g.Held), g.More)
	}
}
