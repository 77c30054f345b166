package site

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
)

// domainContent is what a page says of a domain before its proof: the names of its elements, their addresses of time, classes and
// scopes, and all text, without the blanks that only a template has.
const domainContent = `(() => {
	const whole = document.getElementById("domain-page"), out = [];
	const all = whole ? Array.from(whole.children) : Array.from(document.querySelector("main").children).slice(1);
	for (const e of all) {
		if (e.tagName === "H2" && /^(Proof|Change the entry)$/.test(e.textContent) || e.querySelector("a[href$='join/index.html']")) break;
		if (e.querySelector("a[href='atom.xml']")) continue; // of which one page for all domains has none
		for (const x of [e, ...e.querySelectorAll("*")]) out.push("\n<" + [x.tagName, x.className.trim(), x.dateTime || "", x.scope || ""].join(" ") + ">");
		out.push(e.textContent.replace(/\s+/g, " ").replace(/ ?([+\u2212(),:;.]) ?/g, "$1").replace(/ /g, ""));
	}
	return out.join("");
})()`

// Where domains have no page of their own, the one page for all says of each the same as that would, in the same elements: of
// one in each state, of one that is held, and of those of which strangers say the worst.
func testShardsSayTheSame(t *testing.T, b *browsertest.Browser, small, shards *published) {
	each, any := b.Open(t, small.address), b.Open(t, shards.address)
	n := 0
	for p := range small.paths() {
		domain, file := path.Split(strings.TrimPrefix(p, "site/domain/"))
		if file != "index.html" || !strings.HasPrefix(p, "site/domain/") {
			continue
		}
		n++
		domain = strings.TrimSuffix(domain, "/")
		each.Go(p)
		any.Go("index.html")
		any.Go("site/domain/index.html#" + domain)
		any.Until(fmt.Sprintf(`document.querySelector("h1").textContent === %q && document.querySelector("#domain-page .lead")`, domain))
		want, got := browsertest.Eval[string](each, domainContent), browsertest.Eval[string](any, domainContent)
		if got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s: …%.300q, want …%.300q", domain, got[max(0, at-60):], want[max(0, at-60):])
		}
		for _, section := range []struct{ id, words string }{{"leave", "Leave the list"}, {"leave", "Change the entry"}, {"join", "How a domain joins"}, {"proof", "Proof"}} {
			shown := browsertest.Eval[bool](any, fmt.Sprintf(`document.getElementById(%q).checkVisibility()`, section.id))
			if shown != strings.Contains(each.Text("main"), section.words) {
				t.Errorf("%s: %q is shown: %t", domain, section.words, shown)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d domains", n)
	}
	each.Quiet()
	any.Quiet()
}
