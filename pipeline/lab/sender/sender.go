// Package sender is a mail sender of the lab that keeps MTA-STS and reports about TLS (RFC 8461, RFC 8460): it delivers mail to
// the lab's hosts, good and broken, remembers how each session went, and sends out reports of a day as real senders do, by
// POST and by mail with a DKIM signature.
//
//	s, err := sender.New(l, "sender.example")
//	s.Deliver(ctx, domain, []byte("Subject: hello\r\n\r\nhello\r\n"))
//	report, ok := s.Report(day, domain)
//	err = s.Send(ctx, report, domain, web)    // to every destination of the domain's _smtp._tls record
//
// Its record of what it did is what tests compare an intake's tallies with.
package sender

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// patience bounds one session; the lab's broken hosts hang.
const patience = 5 * time.Second

// selector names the DKIM key in the lab's DNS.
const selector = "tlsrpt"

// ErrNotDelivered says that no host took the mail; what is in its way stands in the report.
var ErrNotDelivered = errors.New("not delivered")

// Sender is one sending mail server. Safe for concurrent use.
type Sender struct {
	Name policy.Domain // in From and d=, and the submitter of its reports

	lab     *lab.Lab
	dns     *discovery.Client
	fetcher *discovery.Fetcher
	key     ed25519.PrivateKey

	mu       sync.Mutex
	sessions map[policy.Domain][]*tlsrpt.Policy
}

// New publishes the sender's DKIM key in the lab's DNS.
func New(l *lab.Lab, name string) (*Sender, error) {
	domain, err := policy.ParseDomain(name)
	if err != nil {
		return nil, err
	}
	dns, err := discovery.NewClient(discovery.Options{Resolver: l.Resolver(), Timeout: patience})
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	record := fmt.Sprintf("%s._domainkey.%s. 60 IN TXT %q", selector, name, "v=DKIM1; k=ed25519; p="+base64.StdEncoding.EncodeToString(public))
	if err := l.AddRecord(record); err != nil {
		return nil, err
	}
	return &Sender{
		Name: domain, lab: l, dns: dns, key: key, sessions: map[policy.Domain][]*tlsrpt.Policy{},
		fetcher: &discovery.Fetcher{Allow: netip.Addr.IsLoopback, Roots: l.Roots(), Port: l.HTTPSPort(), Deadline: patience},
	}, nil
}

// Deliver brings one message to the domain's MX hosts, the first first, and remembers each session for the day's report.
func (s *Sender) Deliver(ctx context.Context, to policy.Domain, message []byte) error {
	return s.deliver(ctx, to, "user@"+to.String(), message, false)
}

// deliver delivers a report whatever the policy says (RFC 8460 section 5.3, TLS-Required: No), and does not count its sessions:
// else two hosts that cannot be delivered to would report about their reports for ever.
func (s *Sender) deliver(ctx context.Context, to policy.Domain, address string, message []byte, report bool) error {
	sts := discovery.FindSTS(ctx, s.dns, s.fetcher, to)
	route := discovery.FindMX(ctx, s.dns, to)
	for _, host := range route.Hosts {
		p, detail := policyOf(to, sts), tlsrpt.Detail{ReceivingMX: host.Domain.String(), Failed: 1}
		var err error
		detail.ReceivingIP, detail.Result, err = s.session(ctx, host.Domain, sts, address, message, report)
		if !report {
			s.count(to, p, detail)
		}
		if err == nil {
			return nil
		}
	}
	return ErrNotDelivered
}

// policyOf is an entry of the report without counts.
func policyOf(to policy.Domain, sts discovery.STS) tlsrpt.Policy {
	p := tlsrpt.Policy{Type: tlsrpt.NoPolicyFound, Domain: to}
	switch {
	case sts.Status == discovery.STSOK:
		p.Type = tlsrpt.STS
		p.Strings = strings.Split(strings.TrimSpace(strings.ReplaceAll(string(sts.Body), "\r\n", "\n")), "\n")
		for _, mx := range sts.Policy.MXs {
			p.MXHosts = append(p.MXHosts, wildcard(mx))
		}
	case sts.ID != "": // a record, and no policy behind it
		p.Type = tlsrpt.STS
	}
	return p
}

// wildcard spells a pattern as RFC 8461 has it.
func wildcard(m policy.MXPattern) string {
	text := m.String()
	if strings.HasPrefix(text, ".") {
		return "*" + text
	}
	return text
}

// session is one connection to one host. result is "" for a session that the report counts as successful.
func (s *Sender) session(ctx context.Context, host policy.Domain, sts discovery.STS, address string, message []byte, report bool) (ip netip.Addr, result tlsrpt.ResultType, err error) {
	verify := sts.Status == discovery.STSOK && sts.Policy.Mode != mtasts.None
	if verify && !sts.Policy.Allows(host) {
		result = tlsrpt.ValidationFailure
	}
	if sts.ID != "" && sts.Status != discovery.STSOK {
		result = tlsrpt.STSPolicyFetchError
	}
	enforce := verify && sts.Policy.Mode == mtasts.Enforce && !report
	if result != "" && enforce {
		return ip, result, ErrNotDelivered
	}
	client, ip, err := s.connect(ctx, host, verify)
	if err != nil {
		failed := tlsResult(err)
		if failed == "" { // no connection: nothing to report about TLS
			return ip, result, err
		}
		if verify || failed == tlsrpt.STARTTLSNotSupported {
			result = failed
		}
		if enforce {
			return ip, result, err
		}
		if client, _, err = s.connectInClear(ctx, host); err != nil {
			return ip, result, err
		}
	}
	defer client.Close()
	return ip, result, client.SendMail("reports@"+s.Name.String(), []string{address}, bytes.NewReader(message))
}

func (s *Sender) connect(ctx context.Context, host policy.Domain, verify bool) (*smtp.Client, netip.Addr, error) {
	conn, ip, err := s.dial(ctx, host)
	if err != nil {
		return nil, ip, err
	}
	client, err := smtp.NewClientStartTLS(conn, &tls.Config{ServerName: host.String(), RootCAs: s.lab.Roots(), InsecureSkipVerify: !verify})
	if err == nil {
		err = client.Hello("mx." + s.Name.String()) // behind the handshake
	}
	if err != nil {
		conn.Close()
		return nil, ip, fmt.Errorf("%w: %w", errTLS, err)
	}
	return client, ip, nil
}

func (s *Sender) connectInClear(ctx context.Context, host policy.Domain) (*smtp.Client, netip.Addr, error) {
	conn, ip, err := s.dial(ctx, host)
	if err != nil {
		return nil, ip, err
	}
	return smtp.NewClient(conn), ip, nil
}

func (s *Sender) dial(ctx context.Context, host policy.Domain) (net.Conn, netip.Addr, error) {
	places, err := s.lab.Addresses(host.String())
	if err != nil || len(places) == 0 {
		return nil, netip.Addr{}, errors.Join(err, ErrNotDelivered)
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", places[0].String())
	if err != nil {
		return nil, places[0].Addr(), err
	}
	return conn, places[0].Addr(), conn.SetDeadline(time.Now().Add(patience))
}

// errTLS marks what went wrong from the greeting to the handshake.
var errTLS = errors.New("no TLS")

// tlsResult names a failed handshake as RFC 8460 section 4.3 does; "" for no failure of TLS.
func tlsResult(err error) tlsrpt.ResultType {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case !errors.Is(err, errTLS):
		return ""
	case errors.As(err, &name):
		return tlsrpt.CertificateHostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return tlsrpt.CertificateExpired
	case errors.As(err, &unknown):
		return tlsrpt.CertificateNotTrusted
	case strings.Contains(err.Error(), "STARTTLS"): // go-smtp has no value for it
		return tlsrpt.STARTTLSNotSupported
	}
	return tlsrpt.ValidationFailure
}
