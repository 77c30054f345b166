package survey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// world is a lab with many domains of known kinds. The domains of a kind share its hosts mx1.<kind>.net, mx2.<kind>.net.
type world struct {
	*lab.Lab
	t       testing.TB
	kind    kind // that is being built
	hosts   map[string]bool
	targets []probe.Target
	optOut  []string
	truth   counted
}

// counted is what a survey must say, counted by whoever built the world: domains by table, row, measure and class.
type counted map[string]int

func (c counted) add(table, row string, k kind) {
	c[key(table, row, "domains", "")]++
	for measure, class := range k.expected() {
		c[key(table, row, measure, class)]++
	}
	for _, code := range strings.Fields(k.codes) {
		c[key(table, row, "code", code)]++
	}
}

func key(parts ...string) string { return strings.Join(parts, " ") }

// suffixes are those of the domains, in turn.
var suffixes = []string{"example", "co.uk", "ac.uk", "de"}

// build makes a world of that many domains: each kind has 4 to 11 of them, the first all that are left.
func build(t testing.TB, domains int) *world {
	l, err := lab.Start(t.Context(), lab.Options{})
	must(t, err)
	t.Cleanup(l.Close)
	w := &world{Lab: l, t: t, hosts: make(map[string]bool), truth: make(counted)}
	left := domains
	all := kinds()
	for i := len(all) - 1; i >= 0; i-- {
		n := min(4+i, 11) // hosts are shared, but a domain's records are its own
		if i == 0 {
			n = left
		}
		left -= n
		for k := range n {
			w.add(all[i], k)
		}
	}
	if len(w.targets) != domains {
		t.Fatalf("%d domains", len(w.targets))
	}
	return w
}

func (w *world) add(k kind, n int) {
	suffix := suffixes[n%len(suffixes)]
	d := fmt.Sprintf("%s-%d.%s", k.name, n, suffix)
	w.kind = k
	k.set(w, d)
	target := probe.Target{Domain: domain(w.t, d)}
	if k.list != "" {
		target.Policy = k.policy(w.t)
	}
	w.targets = append(w.targets, target)
	if k.name == "opted-out" {
		w.optOut = append(w.optOut, d)
	}
	tld := suffix[strings.LastIndexByte(suffix, '.')+1:]
	w.truth.add("total", "", k)
	w.truth.add("tld", tld, k)
	w.truth.add("suffix", suffix, k)
	w.truth.add("provider", k.providerName(), k)
}

// mx adds the hosts of the kind once, and the domain's records for them.
func (w *world) mx(d string, behaviours ...lab.Behaviour) {
	for i, b := range behaviours {
		name := fmt.Sprintf("mx%d.%s.net", i+1, w.kind.name)
		if !w.hosts[name] {
			w.hosts[name] = true
			must(w.t, w.AddHost(lab.Host{Name: name, Behaviour: b}))
		}
		must(w.t, w.AddRecord(fmt.Sprintf("%s. 60 IN MX %d %s.", d, 10*(i+1), name)))
	}
}

// served has one host for each behaviour, a good one without any.
func served(behaviours ...lab.Behaviour) func(*world, string) {
	if len(behaviours) == 0 {
		behaviours = []lab.Behaviour{lab.Good}
	}
	return func(w *world, d string) { w.mx(d, behaviours...) }
}

// published has records alone, in which "@" is the domain; "fault", "web" and "none" begin what is no record.
func published(rrs ...string) func(*world, string) {
	return func(w *world, d string) { w.publish(d, rrs) }
}

func (w *world) publish(d string, rrs []string) {
	for _, rr := range rrs {
		f := strings.Fields(strings.ReplaceAll(rr, "@", d))
		switch f[0] {
		case "fault":
			must(w.t, w.SetFault(f[1], f[2], lab.DNSFault(f[3])))
		case "web":
			w.SetWebFault("mta-sts."+d, lab.WebFault(f[1]))
		case "none":
			must(w.t, w.RemoveRecords(f[1], f[2]))
		default:
			must(w.t, w.AddRecord(strings.ReplaceAll(strings.Replace(rr, "@ ", d+". ", 1), "%%", "%")))
		}
	}
}

func withRecords(rrs ...string) func(*world, string) {
	return func(w *world, d string) {
		w.mx(d, lab.Good)
		w.publish(d, rrs)
	}
}

// withPolicy has an MTA-STS policy in which %s is the kind.
func withPolicy(text string, more ...string) func(*world, string) {
	return func(w *world, d string) {
		w.mx(d, lab.Good)
		must(w.t, w.SetSTS(d, strings.ReplaceAll(text, "%s", w.kind.name)))
		w.publish(d, more)
	}
}

func sts(mode string, mx ...string) string { return lab.STSPolicy(mode, 10886400, mx...) }

// withTLSA signs the domain and a host for each record: "3 1 1" of its certificate, with a digest of another, "servfail",
// or "" for none.
func withTLSA(records ...string) func(*world, string) {
	return func(w *world, d string) {
		fresh := !w.hosts[fmt.Sprintf("mx1.%s.net", w.kind.name)]
		w.mx(d, make([]lab.Behaviour, len(records))...)
		w.SetSecure(true, d)
		for i, record := range records {
			if fresh {
				w.sign(fmt.Sprintf("mx%d.%s.net", i+1, w.kind.name), record)
			}
		}
	}
}

func (w *world) sign(host, record string) {
	w.SetSecure(true, host, w.TLSAName(host))
	var u, s, m uint8
	switch n, _ := fmt.Sscan(record, &u, &s, &m); {
	case record == "servfail":
		must(w.t, w.SetFault(w.TLSAName(host), "TLSA", lab.DNSServFail))
	case n == 3 && len(strings.Fields(record)) == 3:
		sent, err := w.Sent(host)
		must(w.t, err)
		must(w.t, w.AddRecord(w.TLSA(host, u, s, m, sent[0])))
	case n == 3:
		must(w.t, w.AddRecord(w.TLSAName(host)+" 60 IN TLSA "+record))
	}
}

// prober looks at the world from a vantage.
func (w *world) prober() *probe.Prober {
	roots, err := probe.ParseRoots(w.RootsPEM())
	must(w.t, err)
	optOut, err := probe.ParseOptOut([]byte(strings.Join(w.optOut, "\n")))
	must(w.t, err)
	p, err := probe.New(probe.Options{
		Resolver: w.Resolver(), TrustAD: true, DNSTimeout: 30 * time.Second, Timeout: 30 * time.Second, Roots: roots, SMTPPort: w.SMTPPort(),
		HTTPSPort: w.HTTPSPort(), DNSPort: -1, AllowLoopback: true, Vantage: "north", Tool: "test", OptOut: optOut,
	})
	must(w.t, err)
	return p
}

func domain(t testing.TB, name string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(name)
	must(t, err)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
