package site

import (
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
)

// Nothing that strangers say runs, loads, or becomes an element, on a page or in what the script makes of the API: it stands
// there as text. The other checks of pages see the same texts.
func testHostileInBrowser(t *testing.T, b *browsertest.Browser, small, shards *published) {
	each, any := b.Open(t, small.address), b.Open(t, shards.address)
	each.Size(320, 640)
	any.Size(320, 640)
	for _, victim := range append(victims, "wait.example") {
		whole := victim == "a.example" || victim == "wait.example" // elsewhere there is less to tell
		each.Go("site/domain/" + victim + "/index.html")
		checkHostile(t, each, whole)
		any.Go("site/index.html") // another fragment alone is no new page
		any.Go("site/domain/index.html#" + victim)
		any.Until(fmt.Sprintf(`document.querySelector("h1").textContent === %q`, victim))
		checkHostile(t, any, whole)
	}
	for _, page := range []string{"statistics", "incidents", "check"} {
		each.Go("site/" + page + "/index.html")
		checkHostile(t, each, false)
	}
	// What readers themselves were talked into pasting is no better.
	for _, text := range hostile {
		each.Go("site/check/index.html")
		each.Type("#record-domain", "a.example")
		each.Type("#record-hosts", text)
		each.Press(browsertest.Enter)
		each.Until(`document.getElementById("record-answer").textContent`)
		each.Type("#record-domain", text)
		each.Press(browsertest.Enter)
		checkHostile(t, each, false)
		each.Go("site/index.html")
		ask(each, text)
		checkHostile(t, each, false)
	}
}

func checkHostile(t *testing.T, tab *browsertest.Page, whole bool) {
	t.Helper()
	tab.Quiet()
	where := tab.Path()
	if browsertest.Eval[bool](tab, "window.pwned !== undefined") {
		t.Errorf("%s: a stranger's text ran", where)
	}
	if got := browsertest.Eval[[]string](tab, fmt.Sprintf(`Array.from(document.querySelectorAll("*")).filter(e =>
		!%q.split(" ").includes(e.localName) || e.localName === "script" && !["site.js", "check.js"].some(n => e.getAttribute("src") === document.body.dataset.root + n && !e.text) ||
		e.getAttributeNames().some(n => n.startsWith("on") || n === "style" || /^\s*javascript:/i.test(e.getAttribute(n)))).map(e => e.outerHTML.slice(0, 200))`, strings.Join(allowed, " "))); len(got) > 0 {
		t.Errorf("%s: a stranger's text made elements: %q", where, got)
	}
	for _, s := range tab.Sticks() {
		t.Errorf("%s: %s", where, s)
	}
	text := browsertest.Eval[string](tab, "document.querySelector('main').textContent")
	for _, h := range hostile {
		if want := cut(h); whole && !strings.Contains(text, want) {
			t.Errorf("%s: the page does not have %q", where, want)
		}
	}
}
