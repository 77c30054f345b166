package site

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/proof"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// recordsPage says what a domain has to publish. Its records are those of the sample; the script puts the reader's own names in
// their place.
type recordsPage struct {
	view
	Example  string
	ProbeURL string // "" where nobody probes for visitors
	Hosts    string // of the sample
	Records  []checkRecord
	MaxMXs   int
}

// checkRecord is one thing to publish.
type checkRecord struct {
	Kind, Title, Where, Text, Note string
}

// The sample's servers, and what stands for a digest that only their certificates can tell.
var sampleHosts = []string{"mx1." + sample, "mx2." + sample}

const keyDigest = "DIGEST-OF-THE-KEY"

func (b *builder) addCheck(p *pages) {
	b.add("site/check/index.html", func() ([]byte, error) {
		c, err := b.check()
		if err != nil {
			return nil, err
		}
		return p.render("check", c)
	})
	b.add("site/check.js", func() ([]byte, error) { return embedded.ReadFile("pages/check.js") })
}

func (b *builder) check() (recordsPage, error) {
	c := recordsPage{view: b.view("Check a domain, "+b.Origin, "check", "../"), Example: sample, ProbeURL: b.extra.ProbeURL, MaxMXs: policy.MaxMXs}
	var err error
	if c.Records, err = recordsOf(sample, sampleHosts); err != nil {
		return c, err
	}
	for i, h := range sampleHosts {
		if i > 0 {
			c.Hosts += " "
		}
		c.Hosts += h
	}
	return c, nil
}

// recordsOf are the records of a domain with these MX hosts that publishes nothing yet: those that "propose" prints, and the
// proof of an entry in mode testing.
func recordsOf(domain string, hosts []string) ([]checkRecord, error) {
	d, err := policy.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	seen := records.Seen{Domain: d, Route: discovery.Route{Kind: discovery.RouteHosts}, STS: discovery.STS{Status: discovery.STSNone}, TLSRPT: discovery.TLSRPT{Status: discovery.TLSRPTNone}}
	var mxs []policy.MXPattern
	for _, name := range hosts {
		host, err1 := policy.ParseDomain(name)
		mx, err2 := policy.ParseMXPattern(name)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s: %w", name, errors.Join(err1, err2))
		}
		seen.Route.Hosts = append(seen.Route.Hosts, discovery.Host{Name: name, Domain: host})
		seen.Hosts = append(seen.Hosts, records.Host{Name: host, Keys: []string{keyDigest}, DANE: discovery.DANE{Kind: discovery.DANENone}})
		mxs = append(mxs, mx)
	}
	entry, err := policy.NewPolicy(policy.Testing, mxs)
	if err != nil {
		return nil, err
	}
	var out []checkRecord
	for _, r := range records.For(seen) {
		if n := len(out); n > 0 && out[n-1].Kind == string(r.Kind) {
			out[n-1].Text += "\n" + r.Text() // of another server
			continue
		}
		title := checkTitles[r.Kind]
		text := checkRecord{Kind: string(r.Kind), Title: title, Text: r.Text(), Note: r.Note}
		if r.Kind == records.STSPolicy {
			text.Where = r.Name
		}
		out = append(out, text)
	}
	return append(out, checkRecord{Kind: "proof", Title: "The owner’s word for an entry in testing (a record in the DNS)",
		Text: proofRecord(domain, proof.Record{Kind: proof.Change, Change: proof.Digest(entry)}),
		Note: fmt.Sprintf("only for the list, and only where MTA-STS does not speak for the domain; its day is at most %d days ahead", proof.MaxDays)}), nil
}

var checkTitles = map[records.Kind]string{
	records.STSPolicy: "MTA-STS policy (RFC 8461), over HTTPS",
	records.STSRecord: "MTA-STS record",
	records.TLSRPT:    "Where reports about TLS go (RFC 8460)",
	records.TLSA:      "TLSA records (RFC 7672), where the servers’ zones are signed",
}

// checkProbe keeps anything but an address of the web out of a link.
func checkProbe(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(address) > 300 {
		return fmt.Errorf("%w: %q is no address of a server that probes, such as https://probe.list.example/", ErrExtra, address)
	}
	return nil
}
