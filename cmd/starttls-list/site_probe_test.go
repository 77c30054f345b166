package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site/live"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// probeSite is "site serve --probe" before a lab, and a visitor.
type probeSite struct {
	*probeLab
	testing.TB
	address string
	stop    func() int
	log     *strings.Builder
}

// startProbeSite begins to serve. With flags that say so it is as on the Internet, where the lab's addresses are none that may
// be visited.
func startProbeSite(t *testing.T, more ...string) *probeSite {
	t.Helper()
	p := &probeSite{probeLab: startProbeLab(t), TB: t, log: &strings.Builder{}}
	p.write(t, "www/index.html", "home")
	p.write(t, "www/site/api/v1/list.json", `{"format":"status-list/1","origin":"list.example/a","shard-digits":2,"domains":5}`)
	args := []string{"site", "serve", p.path("www"), "--listen", "127.0.0.1:0", "--probe", "--resolver", p.Resolver().String(), "--roots", p.path("roots.pem"),
		"--smtp-port", fmt.Sprint(p.SMTPPort()), "--https-port", fmt.Sprint(p.HTTPSPort()), "--trust-ad", "--per-hour", "100"}
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(lines, 4), make(chan int, 1)
	go func() { ended <- run(ctx, append(args, more...), nil, out, p.log) }()
	select {
	case line := <-out:
		p.address = strings.TrimSpace(line[strings.LastIndex(line, "http://"):])
	case code := <-ended:
		t.Fatalf("exit code %d: %s", code, p.log)
	}
	p.stop = func() int {
		cancel()
		code := <-ended
		ended <- code
		return code
	}
	t.Cleanup(func() { p.stop() })
	return p
}

// fetch does a request and returns what came.
func (p *probeSite) fetch(r *http.Request) (*http.Response, string) {
	p.Helper()
	client := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatal(err)
	}
	return answer, string(data)
}

func (p *probeSite) request(method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(p.Context(), method, p.address+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	return r
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

// check is a visit, from the form to the result, as page and as data.
func (p *probeSite) check(name string) (string, live.Report) {
	p.Helper()
	_, form := p.fetch(p.request("GET", "site/probe/", ""))
	m := formToken.FindStringSubmatch(form)
	if m == nil {
		p.Fatal(form)
	}
	r := p.request("POST", "site/probe/", url.Values{"domain": {name}, "token": {html.UnescapeString(m[1])}}.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", strings.TrimSuffix(p.address, "/"))
	accepted, text := p.fetch(r)
	to := accepted.Header.Get("Location")
	if accepted.StatusCode != http.StatusSeeOther {
		p.Fatalf("%s: %s %s", name, accepted.Status, text)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		answer, page := p.fetch(p.request("GET", "site/probe/"+to, ""))
		if answer.StatusCode != 200 {
			p.Fatalf("%s: %s %s", name, answer.Status, page)
		}
		if answer.Header.Get("Refresh") == "" {
			var report live.Report
			_, doc := p.fetch(p.request("GET", "site/probe/"+to+"/json", ""))
			if err := json.Unmarshal([]byte(doc), &report); err != nil {
				p.Fatal(err)
			}
			return page, report
		}
		if time.Now().After(deadline) {
			p.Fatalf("%s: still %s", name, page)
		}
	}
}

func has(r live.Report, code string) bool {
	for _, f := range r.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

func (p *probeSite) sessions(host string) int {
	p.Helper()
	s, err := p.Stats(host)
	if err != nil {
		p.Fatal(err)
	}
	return s.Sessions
}

// A visitor gets the plain answer, the findings with what to do, the records, the entry and the way to the list; servers are
// visited as in a scan, and who asks again sees the same.
func TestSiteProbe(t *testing.T) {
	optOut := t.TempDir() + "/optout"
	put(t, optOut, []byte("quiet.example\n"))
	p := startProbeSite(t, "--allow-loopback", "--opt-out", optOut, "--repository", "https://github.com/operator/list")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	page, r := p.check("good.example")
	if r.Verdict != "pass" || !strings.Contains(page, "Senders that verify TLS deliver to good.example.") {
		t.Errorf("%+v\n%s", r, page)
	}
	if r.Entry == nil || r.Entry.Path != "list/domains/good.example.json" || !strings.Contains(r.Entry.File, `"mx.good.example"`) ||
		!strings.HasPrefix(r.Entry.Link, "https://github.com/operator/list/new/main?filename=list%2Fdomains%2Fgood.example.json") {
		t.Errorf("%+v", r.Entry)
	}
	kinds := ""
	for _, rec := range r.Records {
		kinds += fmt.Sprintf("%s %s, ", rec.Kind, rec.State)
	}
	if kinds != "mta-sts-policy unknown, mta-sts missing, tlsrpt there, tlsa unknown, " || len(r.Proof) != 1 || !strings.Contains(page, "_mta-sts.good.example. IN TXT") {
		t.Errorf("%s %v", kinds, r.Proof)
	}
	visits := p.sessions("mx.good.example")
	if again, _ := p.check("GOOD.example"); again != page || p.sessions("mx.good.example") != visits || visits == 0 || visits > 2 {
		t.Errorf("another visitor brings %d more visits after %d", p.sessions("mx.good.example")-visits, visits)
	}
	// Many domains of one server bring it no more visits than one.
	for i := range 3 {
		name := fmt.Sprintf("shared%d.example", i)
		ok(p.AddDomain(lab.Domain{Name: name, MX: []string{"mx.good.example"}}))
		if _, r := p.check(name); r.Entry == nil {
			t.Errorf("%+v", r)
		}
	}
	if n := p.sessions("mx.good.example"); n != visits {
		t.Errorf("%d visits to a server that four domains share, %d for one", n, visits)
	}

	page, r = p.check("expired.example")
	if r.Verdict != "fail" || !has(r, "cert.expired") || r.Entry != nil || !strings.Contains(page, "do not deliver to expired.example") || !strings.Contains(page, "What to do: renew it") {
		t.Errorf("%+v", r)
	}

	ok(p.AddHost(lab.Host{Name: "mx.quiet.example"}))
	ok(p.AddDomain(lab.Domain{Name: "quiet.example", MX: []string{"mx.quiet.example"}, STS: lab.STSPolicy("enforce", 86400, "mx.quiet.example")}))
	ok(p.AddDomain(lab.Domain{Name: "loud.example", MX: []string{"mx.quiet.example"}}))
	web := p.WebStats().Sessions
	if page, r = p.check("quiet.example"); !r.Alone || r.Entry != nil || !strings.Contains(page, "asked not to be probed") || p.Asked("quiet.example", "MX") != 0 || p.WebStats().Sessions != web {
		t.Errorf("%+v", r)
	}
	if _, r = p.check("loud.example"); !has(r, "probe.opted-out") || p.sessions("mx.quiet.example") != 0 {
		t.Errorf("%+v", r)
	}

	ok(p.AddHost(lab.Host{Name: "mx.xn--bcher-kva.example"}))
	ok(p.AddDomain(lab.Domain{Name: "xn--bcher-kva.example", MX: []string{"mx.xn--bcher-kva.example"}, STS: lab.STSPolicy("testing", 10886400, "mx.xn--bcher-kva.example")}))
	if _, r = p.check("bücher.example"); r.Domain != "xn--bcher-kva.example" || len(r.Proof) != 0 || !strings.Contains(r.Way, "18 weeks") {
		t.Errorf("%+v", r)
	}

	if page, r = p.check("mailless.example"); r.Entry != nil || !strings.Contains(r.NoEntry, "no MX host") || len(r.Records) != 0 {
		t.Errorf("%+v\n%s", r, page)
	}
	if code := p.stop(); code != 0 || strings.Contains(p.log.String(), "example") || strings.Contains(p.log.String(), "127.0.0.1") {
		t.Errorf("exit code %d, log %s", code, p.log)
	}
}

// With the list's source at hand a domain that is listed changes its own file, or nothing.
func TestSiteProbeWithSource(t *testing.T) {
	source := t.TempDir() + "/src"
	put(t, source+"/list.json", []byte("{\n  \"author\": \"A list\",\n  \"origin\": \"list.example/a\"\n}\n"))
	put(t, source+"/domains/members.json", []byte(`{
  "policies": {
    "good.example": {"mode": "testing", "mxs": ["mx.good.example"]},
    "moved.example": {"mode": "testing", "mxs": ["mx.old.example"]}
  }
}
`))
	put(t, source+"/domains/taken.example.json", []byte("{\n  \"policies\": {}\n}\n"))
	p := startProbeSite(t, "--allow-loopback", "--source", source, "--repository", "https://github.com/operator/list", "--folder", "entries")
	for _, name := range []string{"moved.example", "taken.example", "new.example"} {
		if err := p.AddDomain(lab.Domain{Name: name, MX: []string{"mx.good.example"}}); err != nil {
			t.Fatal(err)
		}
	}
	if page, r := p.check("good.example"); r.Entry != nil || len(r.Proof) != 1 || !strings.Contains(page, "has this entry already") {
		t.Errorf("%+v", r)
	}
	if page, r := p.check("moved.example"); r.Entry == nil || r.Entry.New || r.Entry.Path != "entries/domains/members.json" || r.Entry.Link != "" ||
		strings.Contains(r.Entry.File, "mx.old.example") || !strings.Contains(page, "with its entry changed") {
		t.Errorf("%+v", r)
	}
	if _, r := p.check("taken.example"); r.Entry != nil || !strings.Contains(r.NoEntry, "file of this name") {
		t.Errorf("%+v", r)
	}
	if _, r := p.check("new.example"); r.Entry == nil || !strings.Contains(r.Entry.Link, "filename=entries%2Fdomains%2Fnew.example.json") {
		t.Errorf("%+v", r)
	}
	p.stop()
	if strings.Contains(p.log.String(), "example") {
		t.Errorf("the log tells of %s", p.log)
	}
}

// What hostile servers say is text on the page and nothing else.
func TestSiteProbeHostile(t *testing.T) {
	p := startProbeSite(t, "--allow-loopback", "--timeout", "1s")
	for _, b := range []lab.Behaviour{lab.Garbage, lab.Escapes, lab.EscapeName} {
		name := string(b) + ".example"
		if err := p.AddHost(lab.Host{Name: "mx." + name, Behaviour: b}); err != nil {
			t.Fatal(err)
		}
		if err := p.AddDomain(lab.Domain{Name: name, MX: []string{"mx." + name}, STS: "version: STSv1\r\nmode: enforce\r\nmx: <script>alert(1)</script>\r\nmax_age: 1\r\n"}); err != nil {
			t.Fatal(err)
		}
		for _, record := range []string{
			name + `. 60 IN MX 50 \027[2J\007<script>.evil.`,
			"_smtp._tls." + name + `. 60 IN TXT "v=TLSRPTv1; rua=mailto:<script>alert(2)</script>@a.example,\226\128\174\027[2J"`,
			"_starttls-policy." + name + `. 60 IN TXT "v=STP1; <script>alert(3)</script>"`,
		} {
			if err := p.AddRecord(record); err != nil {
				t.Fatal(err)
			}
		}
		page, r := p.check(name)
		if strings.Contains(page, "<script>") || strings.Count(page, "<script") != 1 || strings.ContainsAny(page, "\u202e\x1b\x07\x00") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s: %+v\n%s", b, r, page)
		}
	}
}

// No address of this machine or its neighbours is visited, however a domain's records lead there; and what is visited is the
// address that was looked at, not what its name means by then.
func TestSiteProbeVisitsPublicAddressesOnly(t *testing.T) {
	p := startProbeSite(t, "--ehlo", "probe.operator.example")
	good, err := p.Addresses("mx.good.example")
	if err != nil {
		t.Fatal(err)
	}
	four := good[0].Addr().As4()
	inside := fmt.Sprintf("%02x%02x:%02x%02x", four[0], four[1], four[2], four[3])
	trap, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("::1", fmt.Sprint(p.SMTPPort())))
	if err == nil {
		defer trap.Close()
		go func() {
			for {
				c, err := trap.Accept()
				if err != nil {
					return
				}
				c.Close()
				t.Error("somebody came to ::1")
			}
		}()
	}
	names := map[string]string{
		"lab": "A " + good[0].Addr().String(), "mapped": "AAAA ::ffff:" + good[0].Addr().String(), "nat64": "AAAA 64:ff9b::" + inside, "sixtofour": "AAAA 2002:" + inside + "::1",
		"compatible": "AAAA ::" + inside, "loopback": "AAAA ::1", "private": "A 10.0.0.1", "link": "A 169.254.169.254", "unique": "AAAA fd00::1", "local": "AAAA fe80::1",
		"shared": "A 100.64.0.1", "unspecified": "A 0.0.0.0", "multicast": "A 224.0.0.1", "broadcast": "A 255.255.255.255",
	}
	web := p.WebStats().Sessions
	for name, address := range names {
		d := name + ".example"
		for _, record := range []string{
			d + ". 60 IN MX 10 mx." + d + ".", "mx." + d + ". 60 IN " + address,
			"_mta-sts." + d + `. 60 IN TXT "v=STSv1; id=1"`, "mta-sts." + d + ". 60 IN " + address, "mta-sts." + d + ". 60 IN A " + p.WebAddress().String(),
		} {
			if err := p.AddRecord(record); err != nil {
				t.Fatal(err)
			}
		}
		_, r := p.check(d)
		if !has(r, "mx.private-address") || r.Verdict == "pass" || r.Verdict == "warn" {
			t.Errorf("%s: %+v", name, r)
		}
		if n := p.Asked("mx."+d, "A"); n != 1 {
			t.Errorf("%s: the address was looked up %d times: the second answer could be another", name, n)
		}
	}
	for _, host := range []string{"mx.good.example", "mx.expired.example"} {
		if n := p.sessions(host); n != 0 {
			t.Errorf("%s was visited %d times", host, n)
		}
	}
	if p.WebStats().Sessions != web {
		t.Error("the policy host was visited")
	}
}

// A name that leads to one place when it is looked at and to another when it is visited leads nowhere else: the look itself is
// what is visited.
func TestSiteProbeRebinding(t *testing.T) {
	p := startProbeSite(t, "--allow-loopback")
	for _, record := range []string{"rebind.example. 60 IN MX 10 mx.rebind.example.", "mx.rebind.example. 60 IN A 10.0.0.1", "mx.rebind.example. 60 IN A 127.0.0.2"} {
		if err := p.AddRecord(record); err != nil {
			t.Fatal(err)
		}
	}
	_, r := p.check("rebind.example")
	if !has(r, "mx.private-address") || p.Asked("mx.rebind.example", "A") != 1 {
		t.Errorf("%+v, asked %d times", r, p.Asked("mx.rebind.example", "A"))
	}
}

// Strangers' looks have tighter bounds than scans: what leads to anybody's web server, too.
func TestSiteProbeManners(t *testing.T) {
	f := siteProbeFlags{previewFlags: previewFlags{resolver: "127.0.0.1:53"}, ehlo: "probe.operator.example", cooldown: 5 * time.Minute, parallel: 3, timeout: time.Second}
	o, err := f.probeOptions()
	if err != nil || o.PoliciesPerMinute != 6 || o.Connections != 12 || o.MaxAge != 5*time.Minute || o.PerMinute > 2 || o.AllowLoopback {
		t.Errorf("%+v, %v", o, err)
	}
}

// A visitor who sends half a form and waits is let go.
func TestSiteServerLosesPatience(t *testing.T) {
	body := make(chan error, 1)
	server := newSiteServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		body <- err
	}), slog.New(slog.DiscardHandler))
	for what, d := range map[string]time.Duration{"header": server.ReadHeaderTimeout, "body": server.ReadTimeout, "answer": server.WriteTimeout, "idling": server.IdleTimeout} {
		if d <= 0 || d > 10*time.Minute {
			t.Errorf("%s: %v", what, d)
		}
	}
	server.ReadTimeout = 100 * time.Millisecond
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\ndomain=")
	if err := <-body; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
