package site

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	policyproof "github.com/starttls-everywhere/policylist/policy/proof"
)

// Without JavaScript the page has every record for a sample, and none is empty; where somebody probes, it leads there.
func TestCheckPage(t *testing.T) {
	o := story(t)
	page := html.UnescapeString(rendered(t, o.read(Extra{}), "site/check/index.html"))
	for _, want := range []string{"starttls-list propose " + sample, "starttls-list probe --ehlo mail." + sample, "no server that does it for visitors yet",
		"_mta-sts." + sample + `. IN TXT "v=STSv1; id=`, "https://mta-sts." + sample + "/.well-known/mta-sts.txt", "version: STSv1\nmode: testing\nmx: mx1." + sample + "\nmx: mx2." + sample + "\nmax_age: 10886400",
		"_smtp._tls." + sample + `. IN TXT "v=TLSRPTv1; rua=mailto:`, "_25._tcp.mx1." + sample + ". IN TLSA 3 1 1 " + keyDigest, "_25._tcp.mx2." + sample + ". IN TLSA ", `<form id="records" hidden>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	checkProofOnPage(t, page, sample, sampleHosts)
	probe := rendered(t, o.read(Extra{ProbeURL: "https://probe.operator.example/site/probe/"}), "site/check/index.html")
	if !strings.Contains(probe, `href="https://probe.operator.example/site/probe/">`) || strings.Contains(probe, "yet.") {
		t.Error(probe)
	}
	for _, bad := range []string{"javascript:alert(1)", "//probe.example", "https://", "https://a:b@probe.example/", "probe"} {
		if err := (Extra{ProbeURL: bad}).Check(); !errors.Is(err, ErrExtra) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// checkProofOnPage finds the proof in a text, with a day in the place of that which is the reader's to choose.
func checkProofOnPage(t *testing.T, text, domain string, mxs []string) {
	t.Helper()
	var patterns []policy.MXPattern
	for _, name := range mxs {
		m, err := policy.ParseMXPattern(name)
		must(t, err)
		patterns = append(patterns, m)
	}
	entry, err := policy.NewPolicy(policy.Testing, patterns)
	must(t, err)
	_, record, _ := strings.Cut(text, policyproof.Name+"."+domain+`. IN TXT "`)
	record, _, _ = strings.Cut(record, `"`)
	now := time.Now()
	record = strings.ReplaceAll(record, "YYYY-MM-DD", now.UTC().Format(time.DateOnly))
	if r := policyproof.Parse([]string{record}, now); r.Status != policyproof.OK || r.Change != policyproof.Digest(entry) {
		t.Errorf("%q is %+v, and should prove %s", record, r, entry.AppendJSON(nil))
	}
}

// In Chromium the script writes for any domain what Go writes, and nothing for what is none; it asks nobody.
func testCheck(t *testing.T, b *browsertest.Browser, s *published) {
	tab := b.Open(t, s.address)
	record := func(kind string) string {
		t.Helper()
		return browsertest.Eval[string](tab, fmt.Sprintf(`document.querySelector("[data-record=%s]").textContent`, kind))
	}
	write := func(domain, hosts string) string {
		t.Helper()
		browsertest.Eval[bool](tab, `(document.getElementById("record-answer").textContent = "", true)`)
		tab.Type("#record-domain", domain)
		tab.Type("#record-hosts", hosts)
		tab.Press(browsertest.Enter)
		tab.Until(`document.getElementById("record-answer").textContent`)
		return tab.Text("#record-answer")
	}
	tab.Go("site/check/index.html")
	if got := record("tlsa"); !strings.Contains(got, "mx1."+sample) {
		t.Errorf("before anything is typed: %q", got)
	}
	for _, c := range []struct{ domain, hosts, name, mxs string }{
		{"other.example", "mx.other.example", "other.example", "mx.other.example"},
		{"Bücher.example", "MX2.bücher.example, mx1.mail.example.", "xn--bcher-kva.example", "mx1.mail.example mx2.xn--bcher-kva.example"},
		{"somebody@a.example", "b.a.example a.a.example b.a.example", "a.example", "a.a.example b.a.example"},
	} {
		if got := write(c.domain, c.hosts); got != "Written for "+c.name+"." {
			t.Errorf("%s: %q", c.domain, got)
			continue
		}
		want, err := recordsOf(c.name, strings.Fields(c.mxs))
		must(t, err)
		for _, r := range want {
			switch got := record(r.Kind); {
			case r.Kind == "proof":
				checkProofOnPage(t, got, c.name, strings.Fields(c.mxs))
			case got != r.Text:
				t.Errorf("%s, %s:\n%s\nwant\n%s", c.name, r.Kind, got, r.Text)
			}
		}
		if got := browsertest.Eval[bool](tab, fmt.Sprintf(`Array.from(document.querySelectorAll("pre.command code")).some((c) => c.textContent === "starttls-list propose %s")`, c.name)); !got {
			t.Errorf("%s: the command is for another domain", c.name)
		}
	}
	// A pattern, as the list and as MTA-STS write it.
	for _, hosts := range []string{".mail.a.example mx.b.example", "*.mail.a.example mx.b.example"} {
		write("a.example", hosts)
		p, err := mtasts.ParsePolicy([]byte(strings.ReplaceAll(record("mta-sts-policy"), "\n", "\r\n")))
		must(t, err)
		if id := mtasts.NewRecord(p.Text()).String(); len(p.MXs) != 2 || !strings.Contains(record("mta-sts"), id) || !strings.Contains(record("mta-sts-policy"), "mx: *.mail.a.example\n") {
			t.Errorf("%s: %s\n%s", hosts, record("mta-sts-policy"), record("mta-sts"))
		}
		checkProofOnPage(t, record("proof"), "a.example", []string{".mail.a.example", "mx.b.example"})
	}
	before := record("proof")
	for _, bad := range [][2]string{{"<img src=x onerror=alert(1)>", "mx.a.example"}, {"example", "mx.a.example"}, {"a.example", "mx"}, {"a.example", "192.0.2.1"}, {"a.example", "<script>"},
		{"a.example", "*mail.example"}, {"a.example", ".example"}, {"a.example", "a@b.example"}, {"a.example", strings.Repeat("m.a.example ", 1) + manyHosts(17)}} {
		if got := write(bad[0], bad[1]); !strings.HasPrefix(got, "That is no domain.") && !strings.HasPrefix(got, "Give 1 to 16 names") {
			t.Errorf("%q: %q", bad, got)
		}
	}
	if record("proof") != before {
		t.Error("something was written for what is no domain")
	}
	if got := asked(tab); strings.Contains(strings.TrimPrefix(got, s.address), "a.example") {
		t.Errorf("the server was asked for %s", got)
	}
	tab.Quiet()
}

func manyHosts(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("mx%d.a.example", i))
	}
	return strings.Join(names, " ")
}
