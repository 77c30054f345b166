package mtatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// eximStart and eximRest are an administrator's own configuration around ours: opportunistic TLS for everybody.
const (
	eximStart = `primary_hostname = sender.example
domainlist local_domains = sender.example
disable_ipv6 = true
log_selector = +tls_cipher +tls_certificate_verified +tls_sni
log_file_path = /var/log/exim4/%slog
`
	eximRest = `
begin retry
* * F,2h,15m
`
	ordinaryRouter = `
dnslookup:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote_smtp
  no_more
`
	ordinaryTransport = `
remote_smtp:
  driver = smtp
`
)

const eximTable = "/var/lib/starttls-policy/exim-tls-policy.cdb"

// exim is a machine with Exim and our files for it.
type exim struct {
	*Machine
	lab    *lab.Lab
	public string
}

// newExim joins the list as an administrator does, and returns what "export exim --settings" prints for each part of the
// configuration.
func newExim(t *testing.T, entries string) (x *exim, first, router, transport string) {
	t.Helper()
	l := NewLab(t)
	x = &exim{Machine: NewMachine(t, l, "/", "exim"), lab: l, public: filepath.Join(t.TempDir(), "public")}
	fingerprint, err := Publish(t.Context(), filepath.Join(t.TempDir(), "operator"), x.public, time.Now().Add(-time.Minute), []byte(entries))
	x.must(err)
	x.Share(x.public, "/srv/list")
	out := x.Output(Program, "join", "/srv/list", "--fingerprint", fingerprint, "--name", "example", "--mta", "exim")
	if !strings.Contains(out, "exim: "+eximTable+" written") {
		t.Fatalf("join:\n%s", out)
	}
	parts := strings.SplitN(x.Output(Program, "export", "exim", "--settings"), "\n\n", 3)
	if len(parts) != 3 {
		t.Fatal("the settings are not of three parts")
	}
	x.Output("/bin/sh", "-ec", "mkdir -p /var/log/exim4 /var/spool/exim4 && chown -R Debian-exim: /var/log/exim4 /var/spool/exim4")
	return x, parts[0] + "\n", parts[1] + "\n", parts[2]
}

// newOwnExim puts the parts, as they are, into a configuration of one file.
func newOwnExim(t *testing.T, entries string) *exim {
	t.Helper()
	x, first, router, transport := newExim(t, entries)
	x.Write("/etc/exim4/exim4.conf", first+eximStart+"begin routers\n"+router+ordinaryRouter+
		"begin transports\n"+transport+"\n"+ordinaryTransport+eximRest, 0o644)
	return x
}

// send hands a message to Exim, waits for its one attempt, and returns what the log says of the recipient: "=>" and the
// rest of the line for a delivery, "==" while it waits, "**" for a bounce.
func (x *exim) send(to string) string {
	x.t.Helper()
	before := x.Read("/var/log/exim4/mainlog")
	cmd := x.Command(x.t.Context(), "/usr/sbin/exim4", "-odf", "-f", "sender@sender.example", to)
	cmd.Stdin = strings.NewReader("From: sender@sender.example\nTo: " + to + "\nSubject: test\n\nA word in confidence.\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		x.t.Fatalf("exim to %s: %v\n%s", to, err, out)
	}
	said := strings.TrimPrefix(x.Read("/var/log/exim4/mainlog"), before)
	for line := range strings.Lines(said) {
		for _, mark := range []string{" => ", " == ", " ** "} {
			if _, rest, found := strings.Cut(line, mark); found && strings.HasPrefix(strings.ToLower(rest), strings.ToLower(to[:strings.IndexByte(to, '@')])) {
				return strings.TrimSpace(mark) + " " + strings.TrimSpace(rest)
			}
		}
	}
	return "nothing: " + said
}

// eximCase is one domain with its host, and what must become of mail to it.
type eximCase struct {
	name      string // of the domain, below "example"
	mx        string // the list's pattern; "" for not listed
	mode      string // "" for enforce
	host      string // what the DNS says
	behaviour lab.Behaviour
	waits     string // why it waits, in Exim's words; "" for delivered
	verified  bool
}

// What Exim says of mail that waits. -58 is the answer of an event.
const (
	otherHost = "defer (-58)"
	noTLS     = "the server did not offer TLS"
	badCert   = "certificate verification failed"
)

var eximCases = []eximCase{
	{"good", "mx.good.example", "", "mx.good.example", lab.Good, "", true},
	{"pattern", ".pattern.example", "", "mx.pattern.example", lab.Wildcard, "", true},
	{"named", "mx.named.example", "", "mx.named.example", lab.NeedsSNI, "", true},
	{"unlisted", "", "", "mx.unlisted.example", lab.SelfSigned, "", false},
	{"below.good", "", "", "mx.below.example", lab.SelfSigned, "", false}, // a policy does not cover what is below its domain
	{"clear", "", "", "mx.clear.example", lab.Stripped, "", false},
	{"testing", "mx.other.example", "testing", "mx.testing.example", lab.SelfSigned, "", false},
	// The DNS is forged: a host with a valid certificate for its own name.
	{"impersonated", "mx.impersonated.example", "", "mx.thief.example", lab.Good, otherHost, false},
	{"stripped", "mx.stripped.example", "", "mx.stripped.example", lab.Stripped, noTLS, false},
	{"without", "mx.without.example", "", "mx.without.example", lab.NoStartTLS, noTLS, false},
	{"refused", "mx.refused.example", "", "mx.refused.example", lab.StartTLS454, "attempt to start TLS failed", false},
	{"wrongname", "mx.wrongname.example", "", "mx.wrongname.example", lab.WrongName, badCert, false},
	{"expired", "mx.expired.example", "", "mx.expired.example", lab.Expired, badCert, false},
	{"selfsigned", "mx.selfsigned.example", "", "mx.selfsigned.example", lab.SelfSigned, badCert, false},
	{"stranger", "mx.stranger.example", "", "mx.stranger.example", lab.UnknownCA, badCert, false},
	{"old", "mx.old.example", "", "mx.old.example", lab.TLS11Only, "gnutls_handshake", false},
	// A pattern is one label. The certificate, for "*.two.deep.example", is valid for the host; a Postfix table would let it pass.
	{"deep", ".deep.example", "", "mx.two.deep.example", lab.Wildcard, otherHost, false},
}

func (c eximCase) domain() string { return c.name + ".example" }

// eximEntries is the list's source.
func eximEntries(cases []eximCase) string {
	var entries []string
	for _, c := range cases {
		mode := c.mode
		if mode == "" {
			mode = "enforce"
		}
		if c.mx != "" {
			entries = append(entries, fmt.Sprintf("%q: {\"mode\": %q, \"mxs\": [%q]}", c.domain(), mode, c.mx))
		}
	}
	return `{"policies": {` + strings.Join(entries, ",\n") + `}}`
}

func (x *exim) populate(cases []eximCase) {
	x.t.Helper()
	for _, c := range cases {
		x.must(x.lab.AddHost(lab.Host{Name: c.host, Behaviour: c.behaviour}))
		x.must(x.lab.AddDomain(lab.Domain{Name: c.domain(), MX: []string{c.host}}))
	}
}

// check tells what became of one case: mail that is to wait must not even have told a stranger whom it is for.
func (x *exim) check(c eximCase, said string) {
	x.t.Helper()
	mail, err := x.lab.Mail(c.host)
	x.must(err)
	heard, err := x.lab.Heard(c.host)
	x.must(err)
	stats, err := x.lab.Stats(c.host)
	x.must(err)
	switch {
	case c.waits != "":
		if !strings.HasPrefix(said, "== ") || !strings.Contains(said, c.waits) || len(mail) > 0 || len(heard) > 0 {
			x.t.Errorf("%s: it has to wait over %q, and the host heard %+v: %s", c.name, c.waits, heard, said)
		}
		if c.waits == otherHost && stats.Sessions > 0 {
			x.t.Errorf("%s: a host that the list does not name was connected to", c.name)
		}
	case !strings.HasPrefix(said, "=> ") || len(mail) != 1:
		x.t.Errorf("%s: the host has %d messages: %s", c.name, len(mail), said)
	case strings.Contains(said, "CV=yes") != c.verified || c.verified && !mail[0].TLS:
		x.t.Errorf("%s: verified, and over TLS: %t: %s", c.name, mail[0].TLS, said)
	}
}

// TestExim: Exim with our table and our settings delivers to real servers what the list says, and nothing else. In its log
// CV=yes is a certificate of a trusted CA, and with our settings for the host's name.
func TestExim(t *testing.T) {
	x := newOwnExim(t, eximEntries(eximCases))
	x.populate(eximCases)
	for _, c := range eximCases {
		x.check(c, x.send("u@"+c.domain()))
	}
	// People write capitals; a policy that they lead past is none.
	if said := x.send("u@GOOD.Example"); !strings.HasPrefix(said, "=> ") || !strings.Contains(said, "CV=yes") {
		t.Errorf("capitals: %s", said)
	}
	if said := x.send("u@ImPersonated.EXAMPLE"); !strings.HasPrefix(said, "== ") {
		t.Errorf("capitals: %s", said)
	}
}

// debconf is what Debian's package asks at its installation, as answered for a server that sends to the Internet.
const debconf = `dc_eximconfig_configtype='internet'
dc_other_hostnames='sender.example'
dc_local_interfaces='127.0.0.1'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='true'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
`

// TestEximOfDebian: in Debian's own configuration the parts lie where the page says.
func TestEximOfDebian(t *testing.T) {
	page, err := os.ReadFile("../../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile("`(/etc/exim4/conf\\.d/(main|router|transport)/\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(places) != 3 {
		t.Fatalf("the page has %q", places)
	}
	x, first, router, transport := newExim(t, eximEntries(eximCases))
	x.populate(eximCases)
	parts := map[string]string{"main": first, "router": router, "transport": transport}
	for _, p := range places {
		x.Write(p[1], parts[p[2]], 0o644)
	}
	x.Write("/etc/exim4/update-exim4.conf.conf", debconf, 0o644)
	x.Write("/etc/mailname", "sender.example\n", 0o644)
	x.Output("/usr/sbin/update-exim4.conf")
	if got := x.Output("/usr/sbin/exim4", "-bt", "u@good.example"); !strings.Contains(got, "router = starttls_policy, transport = starttls_policy_smtp") {
		t.Errorf("Exim routes a listed domain by\n%s", got)
	}
	for _, c := range eximCases {
		if c.waits == "" || c.waits == otherHost || c.waits == noTLS {
			said := x.send("u@" + c.domain())
			if c.waits == "" && strings.Contains(said, " T=remote_smtp ") {
				said = strings.ReplaceAll(said, " CV=yes", " ") // Debian's own transport is none of our business
			}
			x.check(c, said)
		}
	}
}

// TestEximWithoutUs: without our router the same attacks succeed, so what the cases above show is our doing.
func TestEximWithoutUs(t *testing.T) {
	x := newOwnExim(t, eximEntries(eximCases))
	x.populate(eximCases)
	text := x.Read("/etc/exim4/exim4.conf")
	ours := strings.Index(text, "\nstarttls_policy:")
	x.Write("/etc/exim4/exim4.conf", text[:ours]+text[strings.Index(text, ordinaryRouter):], 0o644)
	for _, c := range eximCases {
		if c.waits == otherHost || c.waits == noTLS || c.waits == badCert {
			if said := x.send("u@" + c.domain()); !strings.HasPrefix(said, "=> ") {
				t.Errorf("%s: %s", c.name, said)
			}
		}
	}
}

// eximLate are listed domains whose hosts no policy would let pass, to be tried at different times: for Exim remembers
// hosts that have failed.
func eximLate(names ...string) (cases []eximCase) {
	for _, name := range names {
		cases = append(cases, eximCase{name, "mx." + name + ".example", "", "mx." + name + ".example", lab.SelfSigned, badCert, false})
	}
	return cases
}

// TestEximLetsGo: an expired list is emptied, loudly, and the kill switch empties at once; mail then goes out as it would
// without a list. What waited before goes out, too.
func TestEximLetsGo(t *testing.T) {
	cases := eximLate("before", "disabled", "enabled", "expired", "gone")
	x := newOwnExim(t, eximEntries(cases))
	x.populate(cases)
	try := func(name, mark string) {
		t.Helper()
		if said := x.send("u@" + name + ".example"); !strings.HasPrefix(said, mark+" ") {
			t.Errorf("%s: %s", name, said)
		}
	}
	try("before", "==")
	x.Output(Program, "disable", "--reason", "test")
	try("disabled", "=>")
	x.Output(Program, "enable")
	try("enabled", "==")

	cmd := x.Command(t.Context(), Shifted, "update")
	cmd.Env = append(cmd.Env, ClockVar+"=480h")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 30 || !strings.Contains(string(out), "EXPIRED: none of its policies is in force") {
		t.Errorf("update of an expired list: %v\n%s", err, out)
	}
	try("expired", "=>")
	if got := x.queued(); got != 2 {
		t.Errorf("%d messages wait, of 2", got)
	}
	if out, err := x.Command(t.Context(), "/usr/sbin/exim4", "-qff").CombinedOutput(); err != nil {
		t.Errorf("queue run: %v\n%s", err, out)
	}
	if got := x.queued(); got != 0 {
		t.Errorf("%d messages still wait when the list is over", got)
	}

	// A table that is lost keeps no mail back.
	x.Output(Program, "update")
	x.Output("/bin/rm", eximTable)
	try("gone", "=>")
}

func (x *exim) queued() int {
	x.t.Helper()
	out, err := x.Command(context.Background(), "/usr/sbin/exim4", "-bpc").Output()
	x.must(err)
	var n int
	_, err = fmt.Sscan(string(out), &n)
	x.must(err)
	return n
}

// TestEximDANE: Exim looks at DANE by itself, in our transport as in its own. There a certificate that the TLSA records name
// is good, and no other; the list still has a say about the host's name, unless update leaves the domain out.
func TestEximDANE(t *testing.T) {
	cases := []eximCase{
		{"dane", "mx.dane.example", "", "mx.dane.example", lab.SelfSigned, "", false},
		{"impostor", "mx.impostor.example", "", "mx.impostor.example", lab.Good, badCert, false}, // somebody else at the host's address
		{"moved", "mx.moved.example", "", "mx.new.example", lab.SelfSigned, otherHost, false},
	}
	x := newOwnExim(t, eximEntries(cases))
	x.populate(cases)
	for _, c := range cases {
		sent, err := x.lab.Sent(c.host)
		x.must(err)
		record := x.lab.TLSA(c.host, 3, 1, 1, sent[0])
		if c.name == "impostor" {
			record = x.lab.TLSAName(c.host) + " 60 IN TLSA 3 1 1 " + strings.Repeat("ab", 32)
		}
		x.must(x.lab.AddRecord(record))
		x.lab.SetSecure(true, c.domain(), c.host, x.lab.TLSAName(c.host))
	}
	said := x.send("u@dane.example")
	if x.check(cases[0], said); !strings.Contains(said, "CV=dane") {
		t.Errorf("not by DANE: %s", said)
	}
	x.check(cases[1], x.send("u@impostor.example"))
	x.check(cases[2], x.send("u@moved.example"))

	x.Write("/etc/starttls-policy/config.toml", x.Read("/etc/starttls-policy/config.toml")+
		"\n[leave-out]\nsources = [\"dane\"]\ntrust-ad = true\n", 0o644) // the resolver is that of resolv.conf
	if out := x.Output(Program, "update"); !strings.Contains(out, "left out: moved.example: it has usable TLSA records") {
		t.Errorf("update:\n%s", out)
	}
	x.Output("/bin/rm", "-rf", "/var/spool/exim4/db") // Exim remembers the host that it refused
	if said := x.send("again@moved.example"); !strings.Contains(said, "T=remote_smtp") || !strings.Contains(said, "CV=dane") {
		t.Errorf("left out: %s", said)
	}
	if said := x.send("again@impostor.example"); !strings.HasPrefix(said, "== ") {
		t.Errorf("left out, and without DANE: %s", said)
	}
}
