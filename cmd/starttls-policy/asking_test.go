package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// asking is a mail server with a table, whose updates ask the domains of a lab.
type asking struct {
	t   *testing.T
	lab *lab.Lab
	dir string
	at  time.Time
}

// askedDomains are listed, all for the same MX host.
var askedDomains = []string{"different.example", "dropped.example", "failing.example", "forged.example", "later.example",
	"override.example", "plain.example", "redirected.example", "same.example", "secured.example", "tried.example"}

const leaveOutBoth = "\n[leave-out]\nsources = [\"dane\", \"mta-sts\"]\nresolver = \"127.0.0.1:53\"\ntrust-ad = true\n"

// followsBoth is a postconf of a Postfix that looks at both sources itself.
const followsBoth = `#!/bin/sh
case "$*" in
"-h mail_version") echo 3.7.11 ;;
"-h smtp_tls_security_level") echo dane ;;
"-h smtp_dns_support_level") echo dnssec ;;
"-h smtp_tls_policy_maps") echo socketmap:inet:127.0.0.1:8461:postfix ;;
"-m") echo texthash ;;
*) echo ;;
esac
`

// newAsking joins the list with a Postfix that follows both sources; more is added to the configuration.
func newAsking(t *testing.T, more string) *asking {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	s := &asking{t: t, lab: l, dir: t.TempDir(), at: time.Now()}
	if err := os.WriteFile(s.dir+"/postconf", []byte(followsBoth), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
	var entries strings.Builder
	for _, name := range askedDomains {
		entries.WriteString("\"" + name + "\": {\"mode\": \"enforce\", \"mxs\": [\"mx.list.example\"]},\n")
	}
	entries.WriteString(`"testing.example": {"mode": "testing", "mxs": ["mx.list.example"]}`)
	made := s.at.Add(-time.Minute).UTC().Format(policy.TimeFormat)
	fingerprint, err := publish(t.Context(), s.dir+"/operator", s.dir+"/public", made, []byte(`{"policies": {`+entries.String()+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	s.run(0, "join", s.dir+"/public", "--fingerprint", fingerprint, "--name", "example", "--state", s.dir+"/var")
	s.edit(func(text string) string { return text + more })
	return s
}

func (s *asking) edit(change func(string) string) {
	s.t.Helper()
	text, err := os.ReadFile(s.dir + "/c.toml")
	if err == nil {
		err = os.WriteFile(s.dir+"/c.toml", []byte(change(string(text))), 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command that asks nobody.
func (s *asking) run(want int, args ...string) string {
	s.t.Helper()
	var out bytes.Buffer
	if code := run(s.t.Context(), append(args, "--config", s.dir+"/c.toml"), world{&out, &out, s.now}); code != want {
		s.t.Errorf("%s: exit %d, want %d\n%s", args[0], code, want, out.String())
	}
	return out.String()
}

func (s *asking) now() time.Time { return s.at }

// update is the command, with the lab for the Internet.
func (s *asking) update(equip func(*socketmap.Live, leaveOutConfig) error) (updateReport, string) {
	s.t.Helper()
	var out bytes.Buffer
	a := &app{world: world{&out, &out, s.now}, configPath: s.dir + "/c.toml", equip: equip}
	cfg, err := a.loadConfig()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := a.update(s.t.Context(), cfg, updateOptions{method: "auto"})
	if err != nil || r.Exit != 0 && r.Exit != exitStale {
		s.t.Fatalf("exit %d: %v", r.Exit, err)
	}
	a.printUpdate(r)
	return r, out.String()
}

// equip asks the lab's resolver, and its web server.
func (s *asking) equip(live *socketmap.Live, c leaveOutConfig) (err error) {
	live.DNS, err = discovery.NewClient(discovery.Options{Resolver: s.lab.Resolver(), TrustAD: c.TrustAD, Timeout: 500 * time.Millisecond, Attempts: 1})
	live.Fetcher = &discovery.Fetcher{Allow: netip.Addr.IsLoopback, Roots: s.lab.Roots(), Port: s.lab.HTTPSPort()}
	live.DANE, live.SMTPPort = c.Sources.DANE, s.lab.SMTPPort()
	return err
}

func (s *asking) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// leaves checks that the table has a line for every listed domain but these.
func (s *asking) leaves(when string, without ...string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "var", defaultTable))
	s.must(err)
	for _, name := range askedDomains {
		got := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` `).Match(data)
		if got == slices.Contains(without, name) {
			s.t.Errorf("%s: the table has a line for %s: %t", when, name, got)
		}
	}
}

// populate gives every domain what its name says.
func (s *asking) populate() {
	s.t.Helper()
	own := lab.STSPolicy("enforce", 604800*4, "mx.own.example")
	for name, sts := range map[string]string{
		"different.example": own, "forged.example": own, "redirected.example": own, "failing.example": own, "override.example": own,
		"dropped.example": lab.STSPolicy("none", 604800*4), "tried.example": lab.STSPolicy("testing", 2*86400, "mx.list.example"),
		"same.example": lab.STSPolicy("enforce", 604800, "mx.list.example"), "plain.example": "", "later.example": "", "testing.example": own,
	} {
		s.must(s.lab.AddDomain(lab.Domain{Name: name, MX: []string{"mx.list.example"}, STS: sts}))
	}
	s.lab.SetWebFault("mta-sts.forged.example", lab.WebCert)
	s.lab.SetWebFault("mta-sts.redirected.example", lab.WebRedirect)
	s.must(s.lab.SetFault("_mta-sts.failing.example", "TXT", lab.DNSServFail))
	s.must(s.lab.AddHost(lab.Host{Name: "mx.secured.example"}))
	s.must(s.lab.AddDomain(lab.Domain{Name: "secured.example", MX: []string{"mx.secured.example"}}))
	tlsa := "_" + strconv.Itoa(s.lab.SMTPPort()) + "._tcp.mx.secured.example"
	s.must(s.lab.AddRecord(tlsa + ". 60 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
	s.lab.SetSecure(true, "secured.example", "mx.secured.example", tlsa)
}
