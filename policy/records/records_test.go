package records

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

var update = flag.Bool("update", false, "write the golden files")

func domain(s string) policy.Domain {
	d, err := policy.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

func route(hosts ...string) discovery.Route {
	r := discovery.Route{Kind: discovery.RouteHosts}
	for i, h := range hosts {
		r.Hosts = append(r.Hosts, discovery.Host{Preference: uint16(10 * (i + 1)), Name: h, Domain: domain(h)})
	}
	return r
}

// served is a policy as it was fetched.
func served(t testing.TB, status discovery.STSStatus, text string) discovery.STS {
	t.Helper()
	s := discovery.STS{ID: "20260101", Status: status, Body: []byte(text), HTTPStatus: 200, Record: discovery.Answer{TXT: []string{"v=STSv1; id=20260101"}}}
	if p, err := mtasts.ParsePolicy(s.Body); err == nil {
		s.Policy = p
	} else if status == discovery.STSOK {
		t.Fatal(err)
	}
	return s
}

const (
	keyA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func tlsaOf(text string) discovery.TLSARecord {
	rr, err := dns.NewRR("a.example. 60 IN TLSA " + text)
	if err != nil {
		panic(err)
	}
	t := rr.(*dns.TLSA)
	return discovery.TLSARecord{Usage: t.Usage, Selector: t.Selector, Matching: t.MatchingType, Data: []byte(t.Certificate)}
}

// scenes are domains as they are found; the golden file of each is what they should publish.
func scenes(t testing.TB) map[string]Seen {
	const text = "version: STSv1\r\nmode: enforce\r\nmx: *.mx.example\r\nmax_age: 604800\r\n"
	long := strings.Replace(text, "604800", "31557600", 1)
	one := Host{Name: domain("a.mx.example"), Keys: []string{keyA}, DANE: discovery.DANE{Kind: discovery.DANENone}}
	all := map[string]Seen{
		"nothing":   {Route: route("a.mx.example"), STS: discovery.STS{Status: discovery.STSNone}, TLSRPT: discovery.ParseTLSRPT(nil), Hosts: []Host{one}},
		"right":     {Route: route("a.mx.example"), STS: served(t, discovery.STSOK, long), TLSRPT: discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=mailto:a@b.example,https://r.example/"})},
		"short":     {Route: route("a.mx.example"), STS: served(t, discovery.STSOK, text), TLSRPT: discovery.TLSRPT{Status: discovery.TLSRPTFailed}},
		"uncovered": {Route: route("a.mx.example", "new.example"), STS: served(t, discovery.STSOK, text), TLSRPT: discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=mailto:a"})},
		"sloppy":    {Route: route("a.mx.example"), STS: served(t, discovery.STSOK, "version: STSv1\n\nmode: testing\nmx: A.mx.example\nmax_age: 86400\n"), TLSRPT: discovery.ParseTLSRPT([]string{"v=TLSRPT1;rua=mailto:a@b.example"})},
		"none":      {Route: route("a.mx.example"), STS: served(t, discovery.STSOK, "version: STSv1\nmode: none\nmax_age: 86400\n"), TLSRPT: discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@b.example"})},
		"broken":    {Route: route("a.mx.example"), STS: served(t, discovery.STSPolicyInvalid, "<html>"), TLSRPT: discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=mailto:a@b.example,ftp:x"})},
	}
	gone := served(t, discovery.STSFetchStatus, "")
	gone.HTTPStatus, gone.Detail = 404, "status 404"
	all["gone"] = Seen{Route: route("a.mx.example"), STS: gone}
	away := served(t, discovery.STSFetchTimeout, "")
	away.Detail, away.Record.Chain = "connecting: i/o timeout", []string{"sts.provider.example"}
	all["away"] = Seen{Route: route("a.mx.example"), STS: away}
	all["many"] = Seen{Route: route("a.mx.example"), STS: discovery.STS{Status: discovery.STSRecordMany, Detail: "more than one",
		Record: discovery.Answer{TXT: []string{"v=STSv1; id=1", "else", "v=STSv1; id=2"}}}}
	all["tlsa"] = Seen{Route: route("a.mx.example", "b.mx.example", "c.mx.example", "d.mx.example", "e.mx.example"), STS: discovery.STS{Status: discovery.STSRecordFailed, Detail: "TXT lookup: timeout"}, Hosts: []Host{
		{Name: domain("a.mx.example"), Keys: []string{keyA}, DANE: discovery.DANE{Kind: discovery.DANEUsable, Base: "a.mx.example"}, Matching: []string{"2 0 1 " + keyB}},
		{Name: domain("b.mx.example"), Keys: []string{keyA, keyB}, Port: 2525, DANE: discovery.DANE{Kind: discovery.DANEUsable, Base: "alias.example", Records: []discovery.TLSARecord{tlsaOf("3 1 1 " + keyB)}}},
		{Name: domain("c.mx.example"), Keys: []string{keyA}, DANE: discovery.DANE{Kind: discovery.DANEInsecure}},
		{Name: domain("d.mx.example"), Keys: []string{keyA}, DANE: discovery.DANE{Kind: discovery.DANEFailed}},
		{Name: domain("e.mx.example")}, // nobody saw its certificate
	}}
	return all
}

func TestGolden(t *testing.T) {
	for name, s := range scenes(t) {
		s.Domain = domain("a.example")
		out, err := json.MarshalIndent(For(s), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range For(s) {
			out = append(out, "\n"+r.Text()...)
		}
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, out, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != string(out) {
			t.Errorf("%s: %v, got\n%s", name, err, out)
		}
	}
}

// Whoever publishes what is said finds it there the next time, and senders can read it.
func TestPublishedIsThere(t *testing.T) {
	for name, s := range scenes(t) {
		s.Domain = domain("a.example")
		after := s
		after.STS = discovery.STS{Status: discovery.STSOK, HTTPStatus: 200}
		for _, r := range For(s) {
			switch r.Kind {
			case STSRecord:
				rec, err := mtasts.ParseRecord([]string{r.Value})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				after.STS.ID, after.STS.Record.TXT = rec.ID, []string{r.Value}
			case STSPolicy:
				p, err := mtasts.ParsePolicy([]byte(r.Value))
				if err != nil || !p.Strict() || p.MaxAge < 24*time.Hour {
					t.Errorf("%s: %v, %v", name, p, err)
				}
				after.STS.Policy, after.STS.Body = p, []byte(r.Value)
			case TLSRPT:
				after.TLSRPT = discovery.ParseTLSRPT([]string{r.Value})
				after.TLSRPT.Answer.TXT = []string{r.Value}
			case TLSA:
				if _, err := dns.NewRR(r.Text()); err != nil {
					t.Errorf("%s: %s: %v", name, r.Text(), err)
				}
			}
		}
		for _, r := range For(after) {
			if r.State != There && r.Kind != TLSA {
				t.Errorf("%s: after all was published, %+v", name, r)
			}
		}
	}
	if got := For(Seen{Domain: domain("a.example"), Route: discovery.Route{Kind: discovery.RouteNull}}); got != nil {
		t.Errorf("a domain without mail should publish %+v", got)
	}
	dead := route("a.mx.example", "b.invalid")
	dead.Hosts = append(dead.Hosts, discovery.Host{Name: "192.0.2.1", Flaw: discovery.FlawLiteral})
	for _, r := range For(Seen{Domain: domain("a.example"), Route: dead, STS: discovery.STS{Status: discovery.STSNone}}) {
		if strings.Contains(r.Value, "invalid") || strings.Contains(r.Value, "192.0.2.1") {
			t.Errorf("%+v", r)
		}
	}
}
