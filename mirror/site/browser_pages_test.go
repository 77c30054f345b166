package site

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
)

// TestInBrowser shows the site to one Chromium. What it does not need that for is in the tests beside it.
func TestInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	o, extra := showcase(t)
	small := publish(t, o.read(extra))
	m := o.read(extra)
	m.maxPages = 1
	shards := publish(t, m)
	t.Run("pages", func(t *testing.T) { testPagesInBrowser(t, b, small, true) })
	t.Run("shards", func(t *testing.T) { testPagesInBrowser(t, b, shards, false) })
	t.Run("shards say the same", func(t *testing.T) { testShardsSayTheSame(t, b, small, shards) })
	t.Run("files", func(t *testing.T) { testFeedsInBrowser(t, b, small) })
	t.Run("disk", func(t *testing.T) { testDisk(t, b, small) })
	t.Run("hostile texts", func(t *testing.T) { testHostileInBrowser(t, b, small, shards) })
	t.Run("search", func(t *testing.T) { testSearch(t, b, small) })
	t.Run("search in shards", func(t *testing.T) { testSearchShards(t, b) })
	t.Run("search that fails", func(t *testing.T) { testSearchFails(t, b, small) })
	t.Run("search without script", func(t *testing.T) { testWithoutScript(t, b, small) })
	t.Run("records", func(t *testing.T) { testCheck(t, b, small) })
	t.Run("keyboard", func(t *testing.T) { testKeyboard(t, b, small) })
}

// links are what a page leads to on its own site, from the site's root.
func links(t testing.TB, s *published, page string) []string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(s.objects[page]))
	must(t, err)
	var out []string
	walk(doc, func(n *html.Node) {
		href := attribute(n, "href")
		u, err := url.Parse(href)
		if href == "" || err != nil || u.IsAbs() || u.Host != "" || u.Path == "" {
			return
		}
		out = append(out, path.Join(path.Dir(page), u.Path))
	})
	return out
}

// reached is all that links lead to from the first page: pages, and other files.
func reached(t testing.TB, s *published) (pages, files []string) {
	t.Helper()
	todo, seen := []string{"index.html"}, map[string]bool{"index.html": true}
	for len(todo) > 0 {
		page := todo[0]
		todo = todo[1:]
		if path.Ext(page) != ".html" {
			files = append(files, page)
			continue
		}
		pages = append(pages, page)
		for _, to := range links(t, s, page) {
			if !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return pages, files
}

// Each page that links lead to, and there is no other, is valid HTML, and is shown without complaint, asks nobody else for
// anything, fits into 320 pixels, leads a keyboard through all that it offers, and has nothing that hinders readers who cannot
// see, or see little, by day and by night. Of a site whose domains have no pages of their own only what differs is shown.
func testPagesInBrowser(t *testing.T, b *browsertest.Browser, s *published, own bool) {
	pages, _ := reached(t, s)
	if len(pages) < 12 {
		t.Errorf("only %d pages: %q", len(pages), pages)
	}
	for _, p := range slices.Sorted(maps.Keys(s.objects)) {
		if path.Ext(p) == ".html" && !slices.Contains(pages, p) {
			t.Errorf("no link leads to %s", p)
		}
	}
	content := map[string][]byte{}
	for _, page := range pages {
		content[page] = s.objects[page]
	}
	for _, line := range browsertest.Invalid(t, content) {
		t.Error(line)
	}
	tab := b.Open(t, s.address)
	tab.Judge()
	for _, page := range pages {
		if own || strings.HasPrefix(page, "site/domain") {
			showPage(t, tab, page)
		}
	}
	if !own {
		for _, domain := range []string{"a.example", "gone.example", "nobody.example"} {
			tab.Go("index.html") // another fragment alone is no new page
			showPage(t, tab, "site/domain/index.html#"+domain)
		}
	}
	tab.Go("site/index.html")
	for _, r := range tab.Rejected("style.css") {
		t.Errorf("style.css: the browser does not understand %s", r)
	}
}

func showPage(t *testing.T, tab *browsertest.Page, page string) {
	report := func(what string, found []string) {
		for _, f := range found {
			t.Errorf("%s: %s: %s", page, what, f)
		}
	}
	tab.Dark(false)
	tab.Size(320, 640)
	tab.Go(page)
	if _, domain, ok := strings.Cut(page, "#"); ok {
		tab.Until(fmt.Sprintf(`document.querySelector("h1").textContent === %q`, domain))
	}
	tab.Quiet()
	name := strings.TrimPrefix(t.Name(), "TestInBrowser/") + "_" + page
	tab.Shot(name + "_320")
	report("by keyboard", tab.Walk())
	browsertest.Eval[int](tab, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
	report("at 320 pixels", tab.Sticks())
	// What is folded has one markup: two of them show whether it can be read.
	browsertest.Eval[int](tab, `document.querySelectorAll("details").forEach((d, i) => d.open = i < 2), 0`)
	tab.Size(1280, 800)
	report("at 1280 pixels", tab.Sticks())
	report("accessibility", tab.Violations())
	tab.Shot(name)
	tab.Dark(true)
	report("accessibility in the dark", tab.Violations("color-contrast", "link-in-text-block"))
	tab.Shot(name + "_dark")
	report("the browser said", tab.Faults())
}

// What pages lead to besides pages is there, and is what its name says; so is the API.
func testFeedsInBrowser(t *testing.T, b *browsertest.Browser, s *published) {
	_, files := reached(t, s)
	for p := range s.paths() {
		if strings.HasPrefix(p, "site/api/") || strings.HasSuffix(p, ".svg") {
			files = append(files, p)
		}
	}
	if !slices.Contains(files, "site/changes/feed.json") || !slices.Contains(files, "site/api/v1/list.json") {
		t.Fatalf("only %q", files)
	}
	tab := b.Open(t, s.address)
	tab.Go("site/index.html")
	for _, file := range slices.Compact(slices.Sorted(slices.Values(files))) {
		got := browsertest.Eval[struct{ Type, Text, Fault string }](tab, fmt.Sprintf(`fetch(%q).then(async r => {
			const type = r.headers.get("Content-Type"), text = await r.text(), answer = { type, text, fault: r.ok ? "" : "status " + r.status };
			try {
				if (/\.json$/.test(r.url)) JSON.parse(text);
				if (/\.jsonl$/.test(r.url)) text.trim().split("\n").forEach(line => JSON.parse(line));
				if (/\.(xml|svg)$/.test(r.url) && new DOMParser().parseFromString(text, "application/xml").querySelector("parsererror")) answer.fault = "no XML";
			} catch (e) { answer.fault = String(e); }
			return answer;
		})`, "../"+file))
		want := map[string]string{".json": "application/json", ".xml": "application/atom+xml", ".svg": "image/svg+xml", ".csv": "text/csv", ".jsonl": "application/jsonl",
			".css": "text/css", ".js": "text/javascript", ".tlog-proof": "text/plain"}[path.Ext(file)]
		if got.Fault != "" || want == "" || !strings.HasPrefix(got.Type, want) || got.Text != string(s.objects[file]) {
			t.Errorf("%s: %q, type %q, %d bytes; want %d of %q", file, got.Fault, got.Type, len(got.Text), len(s.objects[file]), want)
		}
		if path.Ext(file) == ".svg" {
			wellFormed(t, file, s.objects[file])
		}
	}
	tab.Quiet()
}

func wellFormed(t *testing.T, name string, data []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// A copy of the site answers from a disk: pages have their style, links lead on, and the search says where to look, for browsers
// let no script read files.
func testDisk(t *testing.T, b *browsertest.Browser, s *published) {
	tab := b.Open(t, "file://"+s.folder+"/")
	tab.Go("index.html")
	tab.ClickTo(`main a`)
	if got := browsertest.Eval[string](tab, `getComputedStyle(document.querySelector(".row")).display`); got != "flex" {
		t.Errorf("without its style: %s", got)
	}
	tab.ClickTo(`a[href="domains/index.html"]`)
	tab.ClickTo(`main a[href="../domain/stays.example/index.html"]`)
	if got := tab.Text("main"); !strings.Contains(got, "stays.example is on the list: enforce since 1 March 2026.") {
		t.Error(got)
	}
	tab.Quiet()
	tab.Go("site/index.html")
	tab.Type("#domain", "stays.example")
	tab.Press(browsertest.Enter)
	tab.Until(`document.querySelector("#answer a")`)
	if got := tab.Text("#answer"); got != "The answer cannot be read from here. Find the domain in the index" {
		t.Error(got)
	}
	tab.ClickTo("#answer a")
	tab.Quiet(`URL scheme "file" is not supported`, "Not allowed to load local resource", "Access to fetch", "net::ERR_FAILED")
}
