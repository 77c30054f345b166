package site

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
	"github.com/starttls-everywhere/policylist/policy"
)

// ask types a question and sends it, and returns the answer.
func ask(tab *browsertest.Page, question string) string {
	tab.Type("#domain", question)
	tab.Press(browsertest.Enter)
	tab.Until(`document.querySelector("#answer .lead")`)
	return tab.Text("#answer .lead")
}

// asked is what the tab asked the server for since the last call, without the icon, for which a browser asks when it likes.
func asked(tab *browsertest.Page) string {
	return strings.Join(slices.DeleteFunc(tab.Requests(), func(r string) bool { return strings.HasSuffix(r, "/icon.svg") }), " ")
}

// The search answers in words, leads to the domain's page, and tells the server two digits, not the name.
func testSearch(t *testing.T, b *browsertest.Browser, s *published) {
	tab := b.Open(t, s.address)
	for _, c := range []struct{ question, answer, domain string }{
		{"a.example", "a.example is on the list: enforce since 1 March 2026.", "a.example"},
		{"begins.example", "begins.example is on the list: testing since 1 March 2026.", "begins.example"},
		{"gone.example", "gone.example is not on the list: it was removed on 1 March 2026.", "gone.example"},
		{"wait.example", "wait.example is not on the list yet: its entry is held.", "wait.example"},
		{"nobody.example", "nobody.example is not on the list, and never was.", ""},
		{"constructor.example", "constructor.example is not on the list, and never was.", ""},
		{"bücher.example", "xn--bcher-kva.example is on the list: enforce since 1 March 2026.", "xn--bcher-kva.example"},
		{"BÜCHER.Example.", "xn--bcher-kva.example is on the list: enforce since 1 March 2026.", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example is on the list: enforce since 1 March 2026.", "xn--bcher-kva.example"},
		{" A.EXAMPLE ", "a.example is on the list: enforce since 1 March 2026.", "a.example"},
		{"somebody@a.example", "a.example is on the list: enforce since 1 March 2026.", "a.example"},
		{victims[1], victims[1] + " is on the list: testing since 1 March 2026.", victims[1]},
	} {
		tab.Go("site/index.html")
		tab.Requests()
		if got := ask(tab, c.question); got != c.answer {
			t.Errorf("%q: %q, want %q", c.question, got, c.answer)
		}
		domain, _, _ := strings.Cut(c.answer, " ")
		if got, want := asked(tab), s.address+"site/api/v1/domain/"+shardOf(domain, 2)+".json"; got != want {
			t.Errorf("%q: the server was asked for %s, want %s", c.question, got, want)
		}
		tab.ClickTo("#answer a")
		want := c.domain
		if want == "" {
			want = "Join the list"
		}
		if got := tab.Text("h1"); got != want {
			t.Errorf("%q: leads to %q", c.question, got)
		}
	}
	tab.Quiet()
	tab.Go("site/index.html")
	tab.Requests()
	for _, nonsense := range []string{"example", "not a domain", "..", "a..example", "-a.example", "192.0.2.1", "[2001:db8::1]", "https://a.example/", "a.example:25", "a.example?", "a%2eexample",
		"<script>alert(1)</script>", "\u202e", "💩", strings.Repeat("a", 64) + ".example.", "a@", "@"} {
		if got := ask(tab, nonsense); got != "That is no domain. Give a name like example.org." && !strings.HasSuffix(got, " is not on the list, and never was.") {
			t.Errorf("%q: %q", nonsense, got)
		}
	}
	if got := ask(tab, "not a domain"); !strings.HasPrefix(got, "That is no domain.") {
		t.Error(got)
	}
	// Nothing, and nothing happens: the browser asks for something by itself.
	tab.Type("#domain", "")
	tab.Press(browsertest.Enter)
	tab.Quiet()
}

// In a large list three digits name a shard, and one page shows any domain.
func testSearchShards(t *testing.T, b *browsertest.Browser) {
	o := newOperator(t)
	o.publish(append(many(100), set("xn--bcher-kva.example", policy.Testing))...)
	o.publish(del("d000007.example"))
	m := o.read(Extra{})
	m.maxPages, m.maxTwoDigits = 1, 100
	s := publish(t, m)
	tab := b.Open(t, s.address)
	for question, answer := range map[string]string{
		"d000042.example": "d000042.example is on the list: testing since 1 March 2026.",
		"d000007.example": "d000007.example is not on the list: it was removed on 1 March 2026.",
		"bücher.example":  "xn--bcher-kva.example is on the list: testing since 1 March 2026.",
		"nobody.example":  "nobody.example is not on the list, and never was.",
	} {
		tab.Go("site/index.html")
		tab.Requests()
		if got := ask(tab, question); got != answer {
			t.Errorf("%q: %q", question, got)
		}
		domain, _, _ := strings.Cut(answer, " ")
		if got := asked(tab); got != s.address+"site/api/v1/domain/"+shardOf(domain, 3)+".json" {
			t.Errorf("%q: the server was asked for %s", question, got)
		}
		if strings.HasSuffix(answer, "never was.") {
			continue
		}
		tab.ClickTo("#answer a")
		tab.Until(fmt.Sprintf(`document.querySelector("h1").textContent === %q`, domain))
		page := tab.Text("main")
		if !strings.Contains(page, answer) || !strings.Contains(page, "starttls-list site prove "+domain) || strings.Contains(page, "DOMAIN") {
			t.Errorf("%s", page)
		}
		if leaves := browsertest.Eval[bool](tab, `document.getElementById("leave").checkVisibility()`); leaves != (domain != "d000007.example") {
			t.Errorf("%s: how to leave is shown: %t", domain, leaves)
		}
	}
	// From one domain to the next by the address alone.
	tab.Go("site/domain/index.html#d000001.example")
	tab.Until(`document.querySelector("h1").textContent === "d000001.example"`)
	browsertest.Eval[string](tab, `location.hash = "d000002.example"`)
	tab.Until(`document.querySelector("h1").textContent === "d000002.example"`)
	if page := tab.Text("main"); strings.Contains(page, "d000001") {
		t.Error(page)
	}
	tab.Quiet()
}

// Where the API does not answer the search leads to the index, and so does the form where the browser gives no digests; an
// answer that comes after a later question is dropped.
func testSearchFails(t *testing.T, b *browsertest.Browser, s *published) {
	defer func() { s.before = nil }()
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/site/api/") {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	tab := b.Open(t, s.address)
	tab.Go("site/index.html")
	tab.Type("#domain", "a.example")
	tab.Press(browsertest.Enter)
	tab.Until(`document.querySelector("#answer a")`)
	if got := tab.Text("#answer"); got != "The answer cannot be read from here. Find the domain in the index" {
		t.Error(got)
	}
	tab.Quiet("status 503", "status of 503")

	first := make(chan struct{})
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/site/api/v1/domain/"+shardOf("a.example", 2)) {
			<-first
		}
		return false
	}
	tab.Go("site/index.html")
	tab.Type("#domain", "a.example")
	tab.Press(browsertest.Enter)
	if got := ask(tab, "gone.example"); !strings.HasPrefix(got, "gone.example is not on the list") {
		t.Error(got)
	}
	// The late answer is there when a question that is asked after it is answered: it has the same shard.
	browsertest.Eval[int](tab, fmt.Sprintf(`(window.late = fetch("api/v1/domain/%s.json").then(r => r.text()), 0)`, shardOf("a.example", 2)))
	close(first)
	browsertest.Eval[string](tab, `late`)
	tab.Quiet()
	if got := tab.Text("#answer"); !strings.HasPrefix(got, "gone.example is not on the list") {
		t.Errorf("the answer to the question before: %s", got)
	}

	s.before = nil
	tab = b.Open(t, s.address)
	tab.First(`Object.defineProperty(Crypto.prototype, "subtle", { value: undefined })`)
	tab.Go("site/index.html")
	tab.Type("#domain", "a.example")
	tab.PressTo(browsertest.Enter)
	if got := tab.Path(); got != "site/domains/index.html?q=a.example" {
		t.Error(got)
	}
	tab.Quiet()
}

// Without JavaScript the form leads to the index, the index to the domain's page, and that has everything.
func testWithoutScript(t *testing.T, b *browsertest.Browser, s *published) {
	tab := b.Open(t, s.address)
	tab.NoScript()
	tab.Go("site/index.html")
	if got := tab.Text("noscript"); got != "Without JavaScript, find the domain in the index." {
		t.Error(got)
	}
	tab.Type("#domain", "stays.example")
	tab.PressTo(browsertest.Enter)
	if got := tab.Path(); got != "site/domains/index.html?q=stays.example" {
		t.Error(got)
	}
	tab.ClickTo(`main a[href="../domain/stays.example/index.html"]`)
	page := tab.Text("main")
	for _, want := range []string{"stays.example is on the list: enforce since 1 March 2026.", "mx.stays.example", "Vantage", "History", "starttls-list site verify ", "_starttls-policy.stays.example. IN TXT"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if browsertest.Eval[int](tab, `document.querySelectorAll("main button").length`) != 0 {
		t.Error("a button that does nothing")
	}
	tab.Go("site/changes/index.html")
	tab.Go("site/log/index.html")
	tab.Quiet()
}

// A keyboard is enough: past the navigation to the search, to its answer, and on to the domain's page.
func testKeyboard(t *testing.T, b *browsertest.Browser, s *published) {
	tab := b.Open(t, s.address)
	focus := func() string {
		return browsertest.Eval[string](tab, `document.activeElement.id || document.activeElement.textContent`)
	}
	tab.Go("site/index.html")
	tab.Press(browsertest.Tab)
	if got := focus(); got != "Skip to the content" || len(tab.Text("a.skip")) == 0 || !browsertest.Eval[bool](tab, `document.activeElement.getBoundingClientRect().left >= 0`) {
		t.Errorf("the first stop is %q", got)
	}
	tab.Press(browsertest.Enter)
	if got := tab.Path(); got != "site/index.html#content" {
		t.Error(got)
	}
	for _, want := range []string{"domain", "Look up"} {
		tab.Press(browsertest.Tab)
		if got := focus(); got != want {
			t.Errorf("focus is on %q, want %q", got, want)
		}
		if want == "domain" {
			tab.Press("a.example")
			tab.Press(browsertest.Enter)
			tab.Until(`document.querySelector("#answer a")`)
		}
	}
	tab.Press(browsertest.Tab)
	if got := focus(); got != "Everything about a.example" {
		t.Errorf("focus is on %q", got)
	}
	tab.PressTo(browsertest.Enter)
	if got := tab.Path(); got != "site/domain/a.example/index.html" || tab.Text("h1") != "a.example" {
		t.Error(got)
	}
	tab.Quiet()
}
