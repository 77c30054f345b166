package live

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// shownReport has everything that a result can show, and texts of a hostile server.
func shownReport(d policy.Domain) (Report, error) {
	const evil = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
	r := Report{Verdict: "fail", Findings: []policy.Finding{{Code: "cert.expired", Severity: policy.Error, Summary: evil, Fix: "renew it"}, {Code: "cert.name", Severity: policy.Error, Summary: "b", Fix: "c"}},
		Way: "The owner’s word: proof.", Proof: []string{"_starttls-policy." + d.String() + `. TXT "v=STP1; change=` + strings.Repeat("a", 64) + `"`},
		Entry: &Entry{Path: "list/domains/" + d.String() + ".json", File: "{}\n", New: true}}
	for _, state := range []records.State{records.There, records.Missing, records.Differs, records.Unknown} {
		r.Records = append(r.Records,
			records.Record{Kind: records.STSPolicy, Type: "file", Name: "https://mta-sts." + d.String() + "/.well-known/mta-sts.txt", Value: "version: STSv1\r\nmode: testing\r\n", State: state, Now: []string{evil}, Note: "a note"},
			records.Record{Kind: records.TLSA, Type: "TLSA", Name: "_25._tcp.mx." + d.String(), Value: "3 1 1 " + strings.Repeat("a", 64), State: state})
	}
	return r, nil
}

// A reader with a browser loads the form, sends it and reads, with and without JavaScript, at 320 pixels, by day and by night; a
// judge of HTML and one of accessibility have nothing to say.
func TestInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	w := newWorld(t, func(o *Options) { o.Repository, o.PerHour, o.Now = "https://github.com/operator/list", 100, nil })
	w.report = shownReport
	for _, name := range []string{"style.css", "site.js", "icon.svg"} {
		data, err := os.ReadFile(filepath.Join("../pages", name))
		must(t, err)
		must(t, w.root.WriteFile("site/"+name, data, 0o644))
	}
	web := httptest.NewServer(w.handler)
	defer web.Close()
	pages := map[string][]byte{"form.html": w.get(Path, home).Body.Bytes(), "message.html": w.get(resultPath+"none", home).Body.Bytes(),
		"again.html": w.do(post("no domain", w.token(home)), home).Body.Bytes()}
	sent := w.ask("b.example", home)
	pages["result.html"] = []byte(w.read(sent))
	for _, line := range browsertest.Invalid(t, pages) {
		t.Error(line)
	}

	tab := b.Open(t, web.URL+"/")
	tab.Judge()
	show := func(what string, except ...string) {
		t.Helper()
		tab.Size(320, 640)
		for _, dark := range []bool{false, true} {
			tab.Dark(dark)
			for _, v := range slices.Concat(tab.Violations(), tab.Sticks()) {
				t.Errorf("%s, dark %t: %s", what, dark, v)
			}
		}
		for _, f := range tab.Walk() {
			t.Errorf("%s: %s", what, f)
		}
		tab.Quiet(except...)
	}
	tab.Go("site/probe/")
	show("form")
	tab.Type("#probe-domain", "a.example")
	tab.ClickTo("form.probe button")
	if !strings.HasPrefix(tab.Path(), "site/probe/result/") {
		t.Fatal(tab.Path())
	}
	w.wait()
	tab.Go(tab.Path())
	if text := tab.Text("h1"); text != "a.example" {
		t.Errorf("%s", text)
	}
	show("result")
	tab.Go("site/probe/other")
	show("message", "status 404", "status of 404")

	held := make(chan struct{})
	w.held, w.entered = held, make(chan struct{}, 1)
	bare := b.Open(t, web.URL+"/")
	bare.NoScript()
	bare.Go("site/probe/")
	bare.Type("#probe-domain", "c.example")
	bare.ClickTo("form.probe button")
	waiting := bare.Path()
	if !strings.HasPrefix(waiting, "site/probe/result/") {
		t.Fatal(waiting)
	}
	<-w.entered
	for _, line := range browsertest.Invalid(t, map[string][]byte{"waiting.html": w.get("/"+waiting, home).Body.Bytes()}) {
		t.Error(line)
	}
	close(held)
	w.wait()
	bare.Go(waiting)
	if rec := w.get("/"+waiting, home); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "<h1>c.example</h1>") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	bare.Quiet()
}
