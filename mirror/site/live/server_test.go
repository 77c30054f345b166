package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// A visitor without JavaScript loads the form, sends it, waits and reads.
func TestVisit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Repository = "https://github.com/operator/list" })
	w.held = make(chan struct{})
	w.report = func(d policy.Domain) (Report, error) {
		return Report{Verdict: "warn", Findings: []policy.Finding{{Code: "cert.expiring", Severity: policy.Warning, Summary: "mx: soon", Fix: "renew it"}},
			Records: []records.Record{{Kind: records.TLSRPT, Name: "_smtp._tls." + d.String(), Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:a@b.example", State: records.Missing, Note: "a note"}},
			Way:     "The owner’s word: proof.", Proof: []string{"_starttls-policy." + d.String() + ` TXT "v=STP1"`},
			Entry: &Entry{Path: "list/domains/" + d.String() + ".json", File: "{\n  \"policies\": {}\n}\n", New: true}}, nil
	}
	sent := w.ask("  Bücher.Example ", home) // as people type
	if sent.Code == 303 {
		t.Fatal("blanks in a name pass, but the parser of names takes none")
	}
	sent = w.ask("Bücher.Example", home)
	path := w.result(sent)
	waiting := w.get(path, home)
	if waiting.Code != 200 || waiting.Header().Get("Refresh") == "" || !strings.Contains(waiting.Body.String(), "being looked at") {
		t.Errorf("%d %s", waiting.Code, waiting.Body)
	}
	if not := w.get(path+"/json", home); not.Code != http.StatusAccepted {
		t.Errorf("JSON before the end: %d", not.Code)
	}
	close(w.held)
	page := w.read(sent)
	for _, want := range []string{
		"<h1>xn--bcher-kva.example</h1>", "deliver to xn--bcher-kva.example, but not all", "<strong>cert.expiring</strong>", "What to do: renew it", "tlsrpt: missing",
		"_smtp._tls.xn--bcher-kva.example. IN TXT &#34;v=TLSRPTv1; rua=mailto:a@b.example&#34;", "Mind: a note.", "_starttls-policy.xn--bcher-kva.example",
		`href="https://github.com/operator/list/new/main?filename=list%2Fdomains%2Fxn--bcher-kva.example.json&amp;message=Add&#43;xn--bcher-kva.example&amp;value=%7B%0A`,
		`href="../../style.css"`, "list.example/a",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
	var report Report
	if doc := w.get(path+"/json", home); json.Unmarshal(doc.Body.Bytes(), &report) != nil || report.Domain != "xn--bcher-kva.example" || report.Verdict != "warn" || report.Entry == nil {
		t.Errorf("%+v", report)
	}
	if rec := w.get("/site/index.html", home); rec.Body.String() != "home" {
		t.Errorf("the site itself: %d %s", rec.Code, rec.Body)
	}
	if strings.Contains(w.log.String(), "example") || strings.Contains(w.log.String(), "192.0.2") {
		t.Errorf("the log tells: %s", w.log.String())
	}
}

// All answers keep out of caches and frames, with the policy of the site's own pages.
func TestHeaders(t *testing.T) {
	w := newWorld(t, nil)
	done := w.ask("a.example", home)
	w.wait()
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"form": w.get(Path, home), "accepted": done, "result": w.get(w.result(done), home), "json": w.get(w.result(done)+"/json", home),
		"no result": w.get(Path+"result/abc", home), "no page": w.get(Path+"other/x", home), "refused": w.do(post("a.example", "x"), home),
	} {
		h := rec.Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != security ||
			h.Get("Access-Control-Allow-Origin") != "" || h.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", name, h)
		}
		if strings.HasPrefix(h.Get("Content-Type"), "text/html") && !strings.Contains(rec.Body.String(), `content="`+strings.TrimSuffix(security, "; frame-ancestors 'none'")+`"`) {
			t.Errorf("%s: header and page have different policies", name)
		}
	}
	// With no referrer at all browsers would send the form as from nowhere, and it would be refused.
	if form := w.get(Path, home).Body.String(); !strings.Contains(form, `<meta name="referrer" content="same-origin">`) {
		t.Error(form)
	}
	if rec := w.get(Path+"other/x", home); rec.Code != 404 || !strings.Contains(rec.Body.String(), `href="../../style.css"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, method := range []string{"PUT", "DELETE", "OPTIONS"} {
		if rec := w.do(httptest.NewRequest(method, Path, nil), home); rec.Code == 200 || rec.Code == 303 {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
}

// A token is good once, for the network that asked for it, for a quarter of an hour, and only as it was given.
func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	tokenOf := func(from string) string { return w.token(from) }
	fresh := tokenOf(home)
	forged := newTokens().give("192.0.2.7", w.Now()).String()
	late, err := parseToken(fresh)
	must(t, err)
	late.end += 3600
	for name, try := range map[string]func() *httptest.ResponseRecorder{
		"none":       func() *httptest.ResponseRecorder { return w.do(post("a.example", ""), home) },
		"of another": func() *httptest.ResponseRecorder { return w.do(post("a.example", tokenOf("198.51.100.1:1")), home) },
		"of another /64": func() *httptest.ResponseRecorder {
			return w.do(post("a.example", tokenOf("[2001:db8:0:1::1]:1")), "[2001:db8:0:2::1]:1")
		},
		"forged":          func() *httptest.ResponseRecorder { return w.do(post("a.example", forged), home) },
		"with more time":  func() *httptest.ResponseRecorder { return w.do(post("a.example", late.String()), home) },
		"in another form": func() *httptest.ResponseRecorder { return w.do(post("a.example", fresh+"\n"), home) },
		"too old": func() *httptest.ResponseRecorder {
			old := tokenOf(home)
			w.pass(tokenLife)
			return w.do(post("a.example", old), home)
		},
		"from a clock that was set back": func() *httptest.ResponseRecorder {
			early := tokenOf(home)
			w.pass(-time.Hour)
			defer w.pass(time.Hour)
			return w.do(post("a.example", early), home)
		},
	} {
		if rec := try(); rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), `name="token"`) {
			t.Errorf("token %s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if w.seen("a.example") != 0 {
		t.Fatal("a domain was looked at without a token")
	}
	good := tokenOf("[2001:db8:0:1::1]:1")
	if rec := w.do(post("a.example", good), "[2001:db8:0:1:ffff::2]:9"); rec.Code != 303 {
		t.Errorf("another address of the same /64: %d %s", rec.Code, rec.Body)
	}
	if rec := w.do(post("b.example", good), "[2001:db8:0:1::1]:1"); rec.Code != http.StatusForbidden {
		t.Errorf("a token twice: %d", rec.Code)
	}
	// A name that is none does not cost the token.
	kept := tokenOf(home)
	for _, name := range []string{"", "localhost", "192.0.2.1", "a..example", "<script>alert(1)</script>", "a.example/x", strings.Repeat("a", 300)} {
		rec := w.do(post(name, kept), home)
		if rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "<script>alert") {
			t.Errorf("%q: %d %s", name, rec.Code, rec.Body)
		}
	}
	if rec := w.do(post("c.example", kept), home); rec.Code != 303 {
		t.Errorf("after names that are none: %d", rec.Code)
	}
}

// Used tokens are forgotten only when they are void; until there is room again nobody gets in.
func TestSpentTokensAreKept(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ts := newTokens()
	first := ts.give("a", now)
	must(t, ts.take(first, now))
	for len(ts.spent) < maxSpent {
		must(t, ts.take(ts.give("a", now), now))
	}
	if err := ts.take(ts.give("a", now), now); !errors.Is(err, errFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := ts.take(first, now); !errors.Is(err, errToken) {
		t.Errorf("the first, again: %v", err)
	}
	later := now.Add(tokenLife)
	if err := ts.take(ts.give("a", later), later); err != nil || len(ts.spent) != 1 {
		t.Errorf("%d are remembered, %v", len(ts.spent), err)
	}
}

// Another site's page cannot send the form in a visitor's name.
func TestOtherSites(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(http.Header){
		"another origin":  func(h http.Header) { h.Set("Origin", "https://evil.example") },
		"nobody's origin": func(h http.Header) { h.Set("Origin", "null") },
		"cross-site":      func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"a sister's page": func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
	} {
		r := post("a.example", w.token(home))
		change(r.Header)
		if rec := w.do(r, home); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	for name, change := range map[string]func(http.Header){
		"own page": func(h http.Header) { h.Set("Sec-Fetch-Site", "same-origin") }, "no browser": func(h http.Header) { h.Del("Origin") },
	} {
		r := post("a.example", w.token(home))
		change(r.Header)
		if rec := w.do(r, home); rec.Code != 303 {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

// zeros never end.
type zeros struct{ read int64 }

func (z *zeros) Read(b []byte) (int, error) {
	z.read += int64(len(b))
	return len(b), nil
}

// What the form does not send is refused, and not read to its end.
func TestBodies(t *testing.T) {
	w := newWorld(t, nil)
	endless := &zeros{}
	r := httptest.NewRequest("POST", Path, endless)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if rec := w.do(r, home); rec.Code != http.StatusRequestEntityTooLarge || endless.read > 4*maxForm {
		t.Errorf("an endless body: %d after %d bytes", rec.Code, endless.read)
	}
	for name, change := range map[string]func(*http.Request){
		"another type":  func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"no type":       func(r *http.Request) { r.Header.Del("Content-Type") },
		"two domains":   func(r *http.Request) { r.Body = body("domain=a.example&domain=b.example&token=x") },
		"another field": func(r *http.Request) { r.Body = body("domain=a.example&token=x&y=z") },
		"no field":      func(r *http.Request) { r.Body = body("") },
		"in the address": func(r *http.Request) {
			r.URL.RawQuery = "domain=a.example&token=" + w.token(home)
			r.Body = body("")
		},
	} {
		r := post("a.example", w.token(home))
		change(r)
		if rec := w.do(r, home); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

func body(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

// A domain is looked at once in a cooldown, whoever asks; who asks gets the same answer.
func TestCooldown(t *testing.T) {
	w := newWorld(t, nil)
	first := w.result(w.ask("a.example", home))
	w.wait()
	w.pass(10*time.Minute - time.Second)
	if again := w.result(w.ask("A.example", "198.51.100.1:1")); again != first || w.seen("a.example") != 1 {
		t.Errorf("%s, %s, %d looks", first, again, w.seen("a.example"))
	}
	w.pass(time.Second)
	second := w.result(w.ask("a.example", home))
	w.wait()
	if second == first || w.seen("a.example") != 2 {
		t.Errorf("after the cooldown %s, %d looks", second, w.seen("a.example"))
	}
	if rec := w.get(first, home); rec.Code != http.StatusNotFound {
		t.Errorf("the older result: %d", rec.Code)
	}
	w.pass(resultLife)
	if rec := w.get(second, home); rec.Code != http.StatusNotFound {
		t.Errorf("an hour later: %d", rec.Code)
	}
}

// A network asks a few times an hour, and then has to wait; others do not.
func TestPerHour(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PerHour = 3 })
	for i := range 3 {
		w.result(w.ask(fmt.Sprintf("a%d.example", i), home))
		w.wait()
	}
	rec := w.ask("b.example", home)
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") != "1201" {
		t.Errorf("a fourth: %d %v", rec.Code, rec.Header())
	}
	if rec := w.ask("c.example", "198.51.100.1:1"); rec.Code != 303 {
		t.Errorf("another: %d", rec.Code)
	}
	w.pass(21 * time.Minute)
	if rec := w.ask("b.example", home); rec.Code != 303 {
		t.Errorf("later: %d", rec.Code)
	}
}

// A few looks go on at a time, a few wait in order, and one network has two of them; then it is not now.
func TestQueue(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Parallel, o.Queue, o.PerHour = 2, 2, 100 })
	w.held, w.entered = make(chan struct{}), make(chan struct{}, 100)
	from := func(i int) string { return fmt.Sprintf("198.51.100.%d:1", i) }
	var sent []string
	for i := range 4 {
		sent = append(sent, w.result(w.ask(fmt.Sprintf("a%d.example", i), from(i/2))))
	}
	if rec := w.ask("b.example", from(9)); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", rec.Code)
	}
	if rec := w.ask("a3.example", from(9)); rec.Code != 303 {
		t.Errorf("what is waited for already: %d", rec.Code)
	}
	for i, want := range map[int]string{0: "being looked at", 2: "is the next", 3: "1 looks come first"} {
		if page := w.get(sent[i], home).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%d: %s", i, page)
		}
	}
	<-w.entered
	<-w.entered
	close(w.held)
	w.wait()
	if w.most != 2 || w.seen("a3.example") != 1 || w.seen("b.example") != 0 {
		t.Errorf("%d at a time, %v", w.most, w.looks)
	}
	w.held = make(chan struct{})
	for i := range 3 {
		if rec := w.ask(fmt.Sprintf("c%d.example", i), home); (rec.Code == http.StatusTooManyRequests) != (i == 2) {
			t.Errorf("look %d of one network: %d", i, rec.Code)
		}
		w.pass(time.Second)
	}
	close(w.held)
	w.wait()
	if len(w.server.jobs.shares) != 0 {
		t.Errorf("shares are left: %v", w.server.jobs.shares)
	}
}

// Only a trusted proxy is believed about whose request it is.
func TestProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, c := range []struct{ from, forwarded, want string }{
		{"192.0.2.7:1", "", "192.0.2.7"},
		{"192.0.2.7:1", "198.51.100.1", "192.0.2.7"}, // a visitor's own invention
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.1", "198.51.100.1"}, // the first is the visitor's invention
		{"10.0.0.1:1", "198.51.100.1, 10.2.3.4", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1:5555", "198.51.100.1"},
		{"[2001:db8:ffff::1]:1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1, nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "10.2.3.4", "10.0.0.1"},
	} {
		r := httptest.NewRequest("GET", Path, nil)
		r.RemoteAddr = c.from
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := sourceOf(r, trusted); got != c.want {
			t.Errorf("%s for %q: %s, want %s", c.from, c.forwarded, got, c.want)
		}
	}
	r := httptest.NewRequest("GET", Path, nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header["X-Forwarded-For"] = []string{"203.0.113.9", "198.51.100.1"}
	if got := sourceOf(r, trusted); got != "198.51.100.1" {
		t.Errorf("two headers: %s", got)
	}
}

// Whatever a domain's servers say, the page stays a page, and small.
func TestHostileReport(t *testing.T) {
	const evil = "<script>alert(1)</script>\" onload=x ' \u202e\x1b[2J javascript:alert(1)"
	w := newWorld(t, func(o *Options) { o.Repository = "https://github.com/operator/list" })
	w.report = func(d policy.Domain) (Report, error) {
		long, longest := strings.Repeat(evil, 100), []string{strings.Repeat(evil, 10000)}
		r := Report{Verdict: evil, NoEntry: evil, Way: evil, Proof: []string{evil}, Entry: &Entry{Path: evil, File: evil, New: true}}
		for range 5000 {
			r.Findings = append(r.Findings, policy.Finding{Code: evil, Severity: evil, Summary: long, Fix: evil})
			r.Records = append(r.Records, records.Record{Kind: evil, Name: evil, Type: evil, Value: evil, State: evil, Note: evil, Now: longest})
		}
		return r, nil
	}
	page := w.read(w.ask("evil.example", home))
	for _, bad := range []string{"<script>alert", "onload=x '", `href="javascript`, "class=\"lead verdict <"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(page, "<script"); n != 1 || len(page) > 1<<20 || !strings.Contains(page, "And 4900 more.") {
		t.Errorf("%d scripts, %d bytes", n, len(page))
	}
}

// A link carries the entry where it is short enough, and the repository is on GitHub; else the text has to do.
func TestLink(t *testing.T) {
	short := Entry{Path: "list/domains/a.example.json", File: "{\"a\": \"b&c=d#e\"}\n", New: true}
	for _, c := range []struct {
		name, repository string
		change           func(*Entry)
		link             string
		long             bool
	}{
		{"short", "https://github.com/operator/list/", func(*Entry) {}, "https://github.com/operator/list/new/main?filename=list%2Fdomains%2Fa.example.json&message=Add+a.example&value=%7B%22a%22%3A+%22b%26c%3Dd%23e%22%7D%0A", false},
		{"long", "https://github.com/operator/list", func(e *Entry) { e.File = strings.Repeat("x", maxLink) }, "", true},
		{"listed", "https://github.com/operator/list", func(e *Entry) { e.New = false }, "", false},
		{"elsewhere", "https://forge.example/operator/list", func(*Entry) {}, "", false},
		{"nowhere", "", func(*Entry) {}, "", false},
		{"clear", "http://github.com/operator/list", func(*Entry) {}, "", false},
	} {
		e := short
		c.change(&e)
		if e.fillLink(c.repository, "main", "a.example"); e.Link != c.link || e.TooLong != c.long {
			t.Errorf("%s: %q, %t", c.name, e.Link, e.TooLong)
		}
	}
}

// Results make room for newer ones, by their number and by their size; looks that go on are not touched.
func TestResultsMakeRoom(t *testing.T) {
	o := Options{Now: time.Now, Parallel: 1, Queue: 1, Cooldown: time.Hour, Deadline: time.Hour}
	page := make([]byte, maxResultBytes/4)
	held := make(chan struct{})
	js := newJobs(&o, func(_ context.Context, d policy.Domain) ([]byte, []byte) {
		if d.String() == "held.example" {
			<-held
		}
		return page, nil
	})
	var jobs []*job
	for i := range 8 {
		d, err := policy.ParseDomain(fmt.Sprintf("a%d.example", i))
		must(t, err)
		j, err := js.ask(d, "x")
		must(t, err)
		js.working.Wait()
		jobs = append(jobs, j)
	}
	if _, ok := js.find(jobs[3].id); ok || js.bytes > maxResultBytes || js.done.Len() != 4 {
		t.Errorf("%d results of %d bytes", js.done.Len(), js.bytes)
	}
	if _, ok := js.find(jobs[7].id); !ok {
		t.Error("the newest is gone")
	}
	page = nil
	d, err := policy.ParseDomain("held.example")
	must(t, err)
	j, err := js.ask(d, "x")
	must(t, err)
	if s, ok := js.find(j.id); !ok || !s.Running {
		t.Error("a look that goes on is gone")
	}
	close(held)
	js.working.Wait()
	if len(js.byID) != js.done.Len() || len(js.byName) != js.done.Len() {
		t.Errorf("%d, %d, %d", len(js.byID), len(js.byName), js.done.Len())
	}
}

// What goes wrong here is told without names, and a look that takes too long is said to be unfinished.
func TestUnfinished(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Deadline = time.Millisecond })
	w.held = make(chan struct{})
	if page := w.read(w.ask("slow.example", home)); !strings.Contains(page, "was not finished") {
		t.Error(page)
	}
	w.held = nil
	w.report = func(d policy.Domain) (Report, error) { return Report{}, fmt.Errorf("cannot read about %s", d) }
	if page := w.read(w.ask("broken.example", home)); !strings.Contains(page, "was not finished") || strings.Contains(page, "cannot read") {
		t.Error(page)
	}
	if log := w.log.String(); !strings.Contains(log, "cannot read about (domain)") || strings.Contains(log, "broken.example") || strings.Contains(log, "slow.example") {
		t.Error(log)
	}
}

// A server that stops takes in no more, and breaks off what does not end in time.
func TestStop(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Parallel = 1 })
	w.held = make(chan struct{})
	going, next := w.ask("a.example", home), w.ask("b.example", home)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.server.Stop(ctx)
	if rec := w.ask("c.example", home); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("after the stop: %d", rec.Code)
	}
	if page := w.get(w.result(going), home).Body.String(); !strings.Contains(page, "was not finished") {
		t.Error(page)
	}
	if w.result(next); w.seen("b.example") != 0 {
		t.Error("a look began after the stop")
	}
	calm := newWorld(t, nil)
	calm.ask("a.example", home)
	calm.server.Stop(t.Context())
	if calm.seen("a.example") != 1 {
		t.Error("the stop did not wait")
	}
}

func TestNewNeedsSite(t *testing.T) {
	for _, text := range []string{"", "{}", `{"format":"status/1"}`} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		if text != "" {
			must(t, os.MkdirAll(dir+"/site/api/v1", 0o755))
			must(t, os.WriteFile(dir+"/site/api/v1/list.json", []byte(text), 0o644))
		}
		if _, err := New(root, nil, Options{}); err == nil {
			t.Errorf("%q passes for a site", text)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add(newTokens().give("192.0.2.1", time.Unix(1_800_000_000, 0)).String())
	ts := newTokens()
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := parseToken(text)
		if err == nil && tok.String() != text {
			t.Errorf("%q is also %q", text, tok)
		}
		if _, err := ts.check(text, "192.0.2.1", time.Unix(1_800_000_000, 0)); err == nil {
			t.Errorf("%q passes", text)
		}
	})
}

func FuzzForm(f *testing.F) {
	f.Add("domain=a.example&token=x")
	f.Add("domain=b%C3%BCcher.example&token=")
	f.Add("token=x&domain=%00;&a=b")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseForm(text)
		if err != nil {
			return
		}
		d, err := form.domain()
		if err != nil {
			return
		}
		if again, err := policy.ParseDomain(d.String()); err != nil || again != d {
			t.Errorf("%q gave %q", text, d)
		}
		if bytes.ContainsAny([]byte(d.String()), "<>\"'& ") {
			t.Errorf("%q", d)
		}
	})
}
