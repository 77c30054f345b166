package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// living is a decider that looks at the domains of a lab, with a clock of its own.
type living struct {
	*socketmap.Decider
	t   *testing.T
	lab *lab.Lab
	dir string // of the last list: operator, public, var
	mu  sync.Mutex
	at  time.Time
}

func newLiving(t *testing.T, entries string) *living {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	v := &living{t: t, lab: l, at: time.Now()}
	dns, err := discovery.NewClient(discovery.Options{Resolver: l.Resolver(), TrustAD: true, Timeout: 500 * time.Millisecond, Attempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	fetcher := &discovery.Fetcher{Allow: netip.Addr.IsLoopback, Roots: l.Roots(), Port: l.HTTPSPort()}
	v.Decider = &socketmap.Decider{
		Now: v.now, Off: func() bool { return false }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: new(socketmap.Metrics),
		Live: &socketmap.Live{DNS: dns, Fetcher: fetcher, DANE: true, SMTPPort: l.SMTPPort(), Now: v.now},
	}
	t.Cleanup(v.Live.Close)
	v.SetLists([]socketmap.Held{v.list(entries)})
	return v
}

// list publishes entries today and fetches them as a mail server does.
func (v *living) list(entries string) socketmap.Held {
	v.t.Helper()
	dir := v.t.TempDir()
	v.dir = dir
	made := v.at.Add(-time.Minute).UTC().Format(policy.TimeFormat)
	fingerprint, err := publish(v.t.Context(), dir+"/operator", dir+"/public", made, []byte(entries))
	if err != nil {
		v.t.Fatal(err)
	}
	a := &app{world: world{io.Discard, io.Discard, v.now}, configPath: dir + "/c.toml"}
	args := []string{"join", dir + "/public", "--fingerprint", fingerprint, "--name", "example", "--state", dir + "/var", "--config", a.configPath}
	if code := run(context.Background(), args, a.world); code != 0 {
		v.t.Fatalf("join: exit %d", code)
	}
	cfg, err := a.loadConfig()
	if err != nil {
		v.t.Fatal(err)
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		v.t.Fatal(err)
	}
	held, err := socketmap.Load("example", lists[0].client)
	if err != nil {
		v.t.Fatal(err)
	}
	return held
}

func (v *living) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

func (v *living) wait(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = v.at.Add(d)
}

func (v *living) domain(name string, secure bool, sts string, mx ...string) {
	v.t.Helper()
	if err := v.lab.AddDomain(lab.Domain{Name: name, MX: mx, STS: sts}); err != nil {
		v.t.Fatal(err)
	}
	v.lab.SetSecure(secure, append([]string{name}, mx...)...)
}

func (v *living) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// says asks in a dialect; the reply is as it goes out.
func (v *living) says(mapName, key, want string) {
	v.t.Helper()
	if got := v.Answer(v.t.Context(), mapName, key).String(); got != want {
		d, _ := policy.ParseDomain(key)
		v.t.Errorf("%s %s: %q, want %q; %q", mapName, key, got, want, v.Decide(v.t.Context(), d).Why)
	}
}

const livingEntries = `{"policies": {
  "listed.example": {"mode": "enforce", "mxs": ["mx.list.example"]},
  "suffix.example": {"mode": "enforce", "mxs": [".mail.example"]},
  "mixed.example": {"mode": "enforce", "mxs": ["mx.exact.example", ".mail.example"]},
  "dane.example": {"mode": "enforce", "mxs": ["mx.list.example"]}
}}`

// TestLivePolicies: a domain's own policy, over real DNS and HTTPS, beats the list in either direction, outlives what an
// attacker can do to it, and follows the domain when it changes.
func TestLivePolicies(t *testing.T) {
	v := newLiving(t, livingEntries)
	list := "OK secure match=mx.list.example"
	v.domain("listed.example", false, "", "mx.own.example")
	v.says("legacy", "listed.example", list) // no MTA-STS: the list decides
	v.says("legacy", "free.example", "NOTFOUND ")

	v.domain("listed.example", false, lab.STSPolicy("enforce", 604800, "mx.own.example"), "mx.own.example")
	v.says("legacy", "listed.example", list) // "none" is remembered for an hour
	v.wait(time.Hour)
	v.says("legacy", "listed.example", "OK secure match=mx.own.example")

	// The record vanishes, then the resolver fails: the policy stays, and it is told.
	v.must(v.lab.RemoveRecords("_mta-sts.listed.example", "TXT"))
	v.wait(2 * time.Hour)
	v.says("legacy", "listed.example", "OK secure match=mx.own.example")
	v.Live.Close() // the look behind the answer
	before := v.Metrics.Downgrades()
	v.says("legacy", "listed.example", "OK secure match=mx.own.example")
	if v.Metrics.Downgrades() != before+1 {
		t.Error("a vanished record is no possible downgrade")
	}

	// The domain moves, and says so.
	v.domain("listed.example", false, lab.STSPolicy("testing", 604800, "mx.new.example"), "mx.new.example")
	d, err := policy.ParseDomain("listed.example")
	v.must(err)
	v.Live.Recheck(t.Context(), d)
	v.says("legacy", "listed.example", "NOTFOUND ")

	// When its policy has run out and nothing new can be had, the list protects again.
	v.domain("listed.example", false, "", "mx.new.example")
	v.wait(8 * 24 * time.Hour)
	v.says("legacy", "listed.example", list)
}

// TestLiveMXNarrowsSuffixes: for a Postfix to which ".mail.example" means any depth, the pattern becomes the hosts that it
// stands for at the moment; without an answer it stays.
func TestLiveMXNarrowsSuffixes(t *testing.T) {
	v := newLiving(t, livingEntries)
	v.domain("suffix.example", false, "", "a.mail.example", "b.mail.example", "deep.a.mail.example", "mx.thief.example")
	v.says("legacy", "suffix.example", "OK secure match=a.mail.example:b.mail.example")
	v.says("tlsrpt", "suffix.example", "OK secure match=.mail.example servername=hostname protocols=>=TLSv1.2"+
		" policy_type=sts policy_domain=suffix.example mx_host_pattern=*.mail.example")
	v.domain("suffix.example", false, "", "deep.a.mail.example", "mx.thief.example") // none that the list names: nobody will do
	v.wait(2 * time.Minute)
	v.says("legacy", "suffix.example", "OK secure match=no-mx-host-of-the-policy.invalid")
	v.must(v.lab.SetFault("suffix.example", "MX", "servfail"))
	v.wait(2 * time.Minute)
	v.says("legacy", "suffix.example", "OK secure match=.mail.example")
	v.must(v.lab.SetFault("mixed.example", "MX", "servfail")) // the exact name alone would make mail to the others wait
	v.says("legacy", "mixed.example", "OK secure match=.mail.example:mx.exact.example")
}

// TestLiveMXNarrowsNoCrowd: where not all hosts are known, or more than a line may name, the patterns stay: a host left out
// would have its mail wait.
func TestLiveMXNarrowsNoCrowd(t *testing.T) {
	v := newLiving(t, livingEntries)
	hosts := func(count int, suffix string) (names []string) {
		for i := range count {
			names = append(names, fmt.Sprintf("mx%d.%s", i, suffix))
		}
		return names
	}
	v.domain("suffix.example", false, "", hosts(policy.MaxMXs+1, "mail.example")...)
	v.says("legacy", "suffix.example", "OK secure match=.mail.example")
	v.domain("suffix.example", false, "", append(hosts(discovery.MaxHosts, "thief.example"), "z.mail.example")...)
	v.wait(2 * time.Minute)
	v.says("legacy", "suffix.example", "OK secure match=.mail.example")
	v.domain("suffix.example", false, "", append(hosts(discovery.MaxHosts-1, "thief.example"), "z.mail.example")...)
	v.wait(2 * time.Minute)
	v.says("legacy", "suffix.example", "OK secure match=z.mail.example")
}

// TestLiveMXNarrowsOverrides: the administrator's patterns mean one label as the list's do, also for a domain that nobody
// lists; an override without a policy has nothing to narrow, and one that has ended leaves it to the list.
func TestLiveMXNarrowsOverrides(t *testing.T) {
	v := newLiving(t, livingEntries)
	pattern, err := policy.ParseMXPattern(".mine.example")
	v.must(err)
	mine, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{pattern})
	v.must(err)
	v.Overrides = socketmap.Overrides{}
	for name, p := range map[string]policy.Policy{"suffix.example": mine, "unlisted.example": mine, "listed.example": {}} {
		d, err := policy.ParseDomain(name)
		v.must(err)
		v.Overrides[d] = socketmap.Override{Domain: d, Policy: p, Reason: "test", Until: v.at.Add(time.Hour)}
	}
	for _, name := range []string{"suffix.example", "unlisted.example"} {
		v.domain(name, false, "", "a.mine.example", "deep.a.mine.example", "b.mail.example")
		v.says("legacy", name, "OK secure match=a.mine.example")
		v.says("tlsrpt", name, "OK secure match=.mine.example servername=hostname protocols=>=TLSv1.2"+
			" policy_type=sts policy_domain="+name+" mx_host_pattern=*.mine.example")
		v.must(v.lab.SetFault(name, "MX", "servfail"))
	}
	v.says("legacy", "listed.example", "NOTFOUND ")
	v.wait(2 * time.Minute)
	v.says("legacy", "unlisted.example", "OK secure match=.mine.example")
	v.wait(time.Hour)
	v.says("legacy", "suffix.example", "OK secure match=.mail.example")
	v.says("legacy", "unlisted.example", "NOTFOUND ")
}

// TestLiveFailureIsNoAttribute: that a domain's own policy cannot be fetched is told to the administrator, not to Postfix,
// which would take no certificate any more (policy_failure, Postfix 3.10.13).
func TestLiveFailureIsNoAttribute(t *testing.T) {
	v := newLiving(t, livingEntries)
	v.domain("listed.example", false, lab.STSPolicy("enforce", 604800, "mx.own.example"), "mx.own.example")
	v.lab.SetWebFault("mta-sts.listed.example", lab.WebNoTLS)
	before := v.Metrics.Downgrades()
	for _, name := range []string{"tlsrpt", "QUERYwithTLSRPT"} {
		v.says(name, "listed.example", "OK secure match=mx.list.example servername=hostname protocols=>=TLSv1.2"+
			" policy_type=sts policy_domain=listed.example mx_host_pattern=mx.list.example")
	}
	if v.Metrics.Downgrades() == before {
		t.Error("it is no possible downgrade")
	}
}

// TestLiveDANEBeatsMTASTS: where a domain has both, and its MTA-STS policy is valid, DANE decides, also when it fails
// (RFC 8461 section 2); where DNSSEC proves nothing, MTA-STS does.
func TestLiveDANEBeatsMTASTS(t *testing.T) {
	v := newLiving(t, livingEntries)
	const host = "mx.both.example"
	tlsa := "_" + strconv.Itoa(v.lab.SMTPPort()) + "._tcp." + host
	v.must(v.lab.AddHost(lab.Host{Name: host}))
	v.domain("both.example", true, lab.STSPolicy("enforce", 604800, host), host)
	sts := "OK secure match=" + host
	v.says("legacy", "both.example", sts)
	v.must(v.lab.AddRecord(tlsa + ". 60 IN TLSA 3 1 1 " + strings.Repeat("ab", 32)))
	v.lab.SetSecure(true, tlsa)
	v.wait(2 * time.Minute)
	v.says("legacy", "both.example", "OK dane-only")
	v.must(v.lab.SetFault(tlsa, "TLSA", "servfail"))
	v.wait(2 * time.Minute)
	v.says("legacy", "both.example", "TEMP TLSA lookup failed")
	v.must(v.lab.SetFault(tlsa, "TLSA", ""))
	v.lab.SetSecure(false, "both.example")
	v.wait(2 * time.Minute)
	v.says("legacy", "both.example", sts)
}

// TestLiveDANE: usable records of every host come first, those of some do not, a lookup that fails makes mail wait only
// where DANE is known to be.
func TestLiveDANE(t *testing.T) {
	v := newLiving(t, livingEntries)
	tlsa := func(host string) {
		t.Helper()
		v.must(v.lab.AddRecord("_" + strconv.Itoa(v.lab.SMTPPort()) + "._tcp." + host + ". 60 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
		v.lab.SetSecure(true, "_"+strconv.Itoa(v.lab.SMTPPort())+"._tcp."+host)
	}
	for _, host := range []string{"mx1.dane.example", "mx2.dane.example"} {
		v.must(v.lab.AddHost(lab.Host{Name: host}))
	}
	v.domain("dane.example", true, "", "mx1.dane.example", "mx2.dane.example")
	v.says("sni", "dane.example", "OK secure match=mx.list.example servername=hostname")
	tlsa("mx1.dane.example")
	v.wait(2 * time.Minute)
	v.says("sni", "dane.example", "OK secure match=mx.list.example servername=hostname") // one of two
	tlsa("mx2.dane.example")
	v.wait(2 * time.Minute)
	v.says("sni", "dane.example", "OK dane-only")
	v.must(v.lab.SetFault("_"+strconv.Itoa(v.lab.SMTPPort())+"._tcp.mx2.dane.example", "TLSA", "servfail"))
	v.wait(2 * time.Minute)
	v.says("sni", "dane.example", "TEMP TLSA lookup failed")
	v.domain("dane.example", false, "", "mx1.dane.example", "mx2.dane.example") // not signed: no DANE, whatever its records say
	v.wait(2 * time.Minute)
	v.says("sni", "dane.example", "OK secure match=mx.list.example servername=hostname")
}
