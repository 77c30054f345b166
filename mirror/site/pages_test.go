package site

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/policy"
	policyproof "github.com/starttls-everywhere/policylist/policy/proof"
)

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

var allowed = strings.Fields("html head meta title link script body a header p nav ul li main h1 h2 h3 footer form label div input button noscript dl dt dd time code pre table thead tbody tr th td section ol del ins span strong details summary img svg desc path circle text")

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
	m := o.read(Extra{Pending: []byte(held)})
	page := rendered(t, m, "site/domain/a.example/index.html")
	for _, want := range []string{"refused &lt;script&gt;alert(1)&lt;/script&gt;?[31m?", "&lt;img src=x onerror=alert(1)&gt; / {{.}}"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	wait := rendered(t, m, "site/domain/wait.example/index.html")
	if !strings.Contains(wait, "&lt;b&gt;wait") || !strings.Contains(wait, "&#34; onclick=&#34;") {
		t.Error(wait)
	}
}

// The record by which a domain leaves is one that counts, once it has a day.
func TestLeaveRecord(t *testing.T) {
	page := html.UnescapeString(rendered(t, story(t).read(Extra{}), "site/domain/a.example/index.html"))
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

// A page tells from which state of the source its entry comes, where the release does.
func TestSourceText(t *testing.T) {
	digest := strings.Repeat("c", 40)
	for source, want := range map[string]string{"git:" + digest: "commit " + digest + " of the list’s source", "git:" + strings.Repeat("0", 40): "", "renew": "", "": "", "other:1": "",
		"import:" + digest: "the import of a file with the SHA-256 " + digest} {
		if got := sourceText(source); got != want {
			t.Errorf("%s: %q", source, got)
		}
	}
	page := rendered(t, story(t).read(Extra{}), "site/domain/a.example/index.html")
	if !strings.Contains(page, "add.owner, by commit "+digest+" of the list’s source</dd>") {
		t.Error(page)
	}
}

// index has the pages of the index, and of everything else the place alone: to make all of it takes its time.
func index(t testing.TB, m *Model) *memory {
	t.Helper()
	b := newBuilder(m)
	must(t, b.addPages())
	sink := newMemory()
	for _, o := range b.objects {
		sink.objects[o.path] = nil
		if strings.HasPrefix(o.path, "site/domains/") {
			data, err := o.render()
			must(t, err)
			sink.objects[o.path] = data
		}
	}
	return sink
}

// With many domains the index is split by letters, and a new domain changes the pages on the way to it.
func TestIndexIsSplit(t *testing.T) {
	o := newOperator(t)
	o.publish(append(many(550), set("d000.example", policy.Testing), set("z.example", policy.Enforce))...)
	sink := index(t, o.read(Extra{}))
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
	after := index(t, o.read(Extra{}))
	for p := range after.paths() {
		if strings.HasPrefix(p, "site/domains/p-d") && !bytes.Equal(after.objects[p], sink.objects[p]) {
			t.Errorf("%s changed", p)
		}
	}
	if bytes.Equal(after.objects["site/domains/index.html"], sink.objects["site/domains/index.html"]) {
		t.Error("the index did not change")
	}
}

// A list without domains has a site, too.
func TestEmptyList(t *testing.T) {
	o := newOperator(t)
	o.publish()
	for _, pending := range [][]byte{nil, []byte(held)} { // the first domain to join is held
		sink := fresh(t, o.read(Extra{Pending: pending}))
		for p := range sink.paths() {
			if path.Ext(p) == ".html" {
				checkPage(t, sink, p)
			}
		}
	}
}
