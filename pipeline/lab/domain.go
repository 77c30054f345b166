package lab

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Domain is a mail domain of the lab.
type Domain struct {
	Name string
	// MX hosts in order of preference; each should be added with AddHost. Empty: no MX record.
	MX []string
	// STS is the text of the domain's MTA-STS policy; empty: none. The lab publishes the TXT record, the address of
	// mta-sts.<Name> and the policy.
	STS string
}

// AddDomain publishes a domain; adding it again replaces MX and policy.
func (l *Lab) AddDomain(d Domain) error {
	l.names.remove(d.Name, dns.TypeMX)
	for i, mx := range d.MX {
		if err := l.AddRecord(fmt.Sprintf("%s 60 IN MX %d %s", fqdn(d.Name), 10*(i+1), fqdn(mx))); err != nil {
			return err
		}
	}
	return l.SetSTS(d.Name, d.STS)
}

// SetSTS publishes, replaces or (with "") withdraws a domain's MTA-STS policy. The record's id changes with the text.
func (l *Lab) SetSTS(domain, text string) error {
	name := "mta-sts." + domain
	l.names.remove("_mta-sts."+domain, dns.TypeTXT)
	l.names.remove(name, dns.TypeA)
	l.web.setPolicy(name, text)
	if text == "" {
		return nil
	}
	if err := l.AddRecord(fmt.Sprintf("_mta-sts.%s 60 IN TXT \"v=STSv1; id=%s\"", fqdn(domain), policyID(text))); err != nil {
		return err
	}
	return l.AddRecord(fmt.Sprintf("%s 60 IN A %s", fqdn(name), l.web.addr.Addr()))
}

// AddRecord publishes any record in zone file syntax: "mx.example. 60 IN TLSA 3 1 1 …".
func (l *Lab) AddRecord(text string) error { return l.names.add(text) }

// RemoveRecords withdraws the records of one type ("MX", "TXT", …) at name.
func (l *Lab) RemoveRecords(name, kind string) error {
	qtype, ok := dns.StringToType[kind]
	if !ok {
		return fmt.Errorf("%w: record type %q", ErrUnknown, kind)
	}
	l.names.remove(name, qtype)
	return nil
}

// SetFault makes the name server misbehave for one name and record type, or behave again with "".
func (l *Lab) SetFault(name, kind string, fault DNSFault) error {
	qtype, ok := dns.StringToType[kind]
	if !ok {
		return fmt.Errorf("%w: record type %q", ErrUnknown, kind)
	}
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	l.names.faults[question{fqdn(name), qtype}] = fault
	return nil
}

// SetSecure says whether the name server sets the AD bit for names, as a validating resolver would.
func (l *Lab) SetSecure(secure bool, names ...string) {
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	for _, name := range names {
		l.names.secure[fqdn(name)] = secure
	}
}

// Asked returns how often a question reached the name server, over either transport.
func (l *Lab) Asked(name, kind string) int {
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	return l.names.asked[question{fqdn(name), dns.StringToType[kind]}]
}

// AddExample serves the example list of policy/list: every MX host good, every domain as its entry says.
func (l *Lab) AddExample() error {
	domains := []Domain{
		{Name: "good.example", MX: []string{"mx.good.example"}},
		{Name: "suffix.example", MX: []string{"a.mx.suffix.example", "b.mx.suffix.example"}},
		{Name: "one.example", MX: []string{"mx1.provider.example", "mx2.provider.example"}},
		{Name: "two.example", MX: []string{"mx1.provider.example", "mx2.provider.example"}},
		{Name: "trial.example", MX: []string{"mx.trial.example"}},
	}
	for _, d := range domains {
		for _, mx := range d.MX {
			if _, err := l.host(mx); err == nil {
				continue
			}
			if err := l.AddHost(Host{Name: mx}); err != nil {
				return err
			}
		}
		if err := l.AddDomain(d); err != nil {
			return err
		}
	}
	// Who is listed as testing should hear about failures (rule R21).
	return l.AddRecord("_smtp._tls.trial.example. 60 IN TXT \"v=TLSRPTv1; rua=mailto:tls@trial.example\"")
}

// STSPolicy writes the text of an MTA-STS policy (RFC 8461 section 3.2).
func STSPolicy(mode string, maxAge int, mx ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", mode)
	for _, m := range mx {
		fmt.Fprintf(&b, "mx: %s\r\n", m)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", maxAge)
	return b.String()
}
