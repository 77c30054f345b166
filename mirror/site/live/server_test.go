package live

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
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
	if rec := w.get(Path+"a%2fb", home); rec.Code != 404 || !strings.Contains(rec.Body.String(), `href="../style.css"`) {
		t.Errorf("a slash that browsers do not count: %d %s", rec.Code, rec.Body)
	}
	if rec := w.get(Path+strings.Repeat("a/", 7000), home); rec.Code != 404 || rec.Body.Len() > 100 {
		t.Errorf("a long name: %d, %d bytes", rec.Code, rec.Body.Len())
	}
	for _, method := range []string{"PUT", "DELETE", "OPTIONS"} {
		if rec := w.do(httptest.NewRequest(method, Path, nil), home); rec.Code == 200 || rec.Code == 303 {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
}

// The site's own Check page has the form, made for who asks; where there is none, or one that leads elsewhere, it stays.
func TestCheckPage(t *testing.T) {
	w := newWorld(t, nil)
	shell, err := site.NewShell(w.root, os.DirFS("../pages"))
	must(t, err)
	if rec := w.get("/site/check/", home); rec.Code != http.StatusNotFound {
		t.Errorf("no page: %d", rec.Code)
	}
	part, err := shell.Part("check", "probing", "")
	must(t, err)
	must(t, w.root.Mkdir("site/check", 0o755))
	must(t, w.root.WriteFile("site/check/index.html", slices.Concat([]byte("<p>before</p>"), part, []byte("<p>after</p>")), 0o644))
	for _, path := range []string{"/site/check/", "/site/check/index.html"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Range", "bytes=0-3")
		r.Header.Set("If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		rec := w.do(r, home)
		m := tokenField.FindStringSubmatch(rec.Body.String())
		if rec.Code != 200 || m == nil || !strings.Contains(rec.Body.String(), `<form class="probe" action="../probe/" method="post">`) || rec.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", rec.Code, rec.Header(), rec.Body)
		}
		if sent := w.do(post("a.example", html.UnescapeString(m[1])), home); sent.Code != 303 {
			t.Errorf("sent from the page: %d", sent.Code)
		}
	}
	must(t, w.root.WriteFile("site/check/index.html", []byte("another"), 0o644))
	if rec := w.get("/site/check/", home); rec.Body.String() != "another" || rec.Header().Get("Cache-Control") == "no-store" {
		t.Errorf("another page: %d %v %s", rec.Code, rec.Header(), rec.Body)
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
