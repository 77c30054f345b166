package probe

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const (
	// keptTLSA is how many TLSA records of a host are looked at; more than ten have not been seen.
	keptTLSA = 32
	// keptBriefs is how many records of each name server are shown where name servers disagree.
	keptBriefs = 8
	// maxDeaf is after how many zones without a single answer no more name servers are asked.
	maxDeaf = 3
	// keptAnchors is how many roots that were not sent a chain may lead to by way of cross-signatures.
	keptAnchors = 4
)

// DANE is what a sender that knows DANE learns about an MX host (RFC 7672). It is left out where DNSSEC vouches for
// neither the host's name nor its addresses, and always without a trusted resolver (Header.TrustAD).
type DANE struct {
	Base    string   `json:"base,omitempty"` // the TLSA base domain (RFC 7672 section 2.2.3)
	Kind    string   `json:"kind"`           // a discovery.DANEKind, never "insecure"
	Lookups []Lookup `json:"lookups,omitempty"`
	Matches []Match  `json:"matches,omitempty"` // one for each session that came to TLS, in order
	Names   []string `json:"names,omitempty"`   // of which a certificate under a DANE-TA record must carry one
	Omitted uint     `json:"omitted,omitempty"` // records beyond keptTLSA
	Records []string `json:"records,omitempty"` // all that were found, as tlsaText writes them
	// Servers are the zone's name servers, when they do not all say the same: a resolver asks one of them and hides the
	// others, and other senders' resolvers ask others.
	Servers []NameServer `json:"servers,omitempty"`
	// Sessions are those with Base for SNI (RFC 7672 section 3.2), where that is not the host's name; else Host.Sessions count.
	Sessions []Session `json:"sessions,omitempty"`
}

// NameServer is what one address of a zone's name servers says to the question for TLSA records.
type NameServer struct {
	Address string   `json:"address"`
	Name    string   `json:"name"`
	Records []string `json:"records,omitempty"` // the first ones, their digests cut to 16 digits
	Status  string   `json:"status"`            // a discovery.Status
}

// Match says which records a server's certificates are named by.
type Match struct {
	Address string `json:"address"`
	Named   string `json:"named,omitempty"`   // "yes", "no": one of DANE.Names stands in the certificate; with DANE-TA records only
	Records []uint `json:"records,omitempty"` // positions in DANE.Records
}

// Keys are what TLSA records can name of a server's certificates. Evidence keeps them where there are such records.
type Keys struct {
	Anchors []Print `json:"anchors,omitempty"` // trusted roots that the chain leads to and that were not sent
	Chain   []Print `json:"chain"`             // as sent, leaf first, at most keptChain
	Path    []uint  `json:"path,omitempty"`    // positions in Chain to which the leaf leads by valid signatures

	names []string // the leaf's SANs
}

// Print is a certificate by its digests, lower-case hex.
type Print struct {
	Cert       string `json:"cert"`
	CertSHA512 string `json:"cert-sha512,omitempty"` // only where a record is a SHA-512
	SPKI       string `json:"spki"`
	SPKISHA512 string `json:"spki-sha512,omitempty"`
}

func printOf(c *x509.Certificate) Print {
	cert, cert512 := sha256.Sum256(c.Raw), sha512.Sum512(c.Raw)
	spki, spki512 := sha256.Sum256(c.RawSubjectPublicKeyInfo), sha512.Sum512(c.RawSubjectPublicKeyInfo)
	return Print{
		hex.EncodeToString(cert[:]), hex.EncodeToString(cert512[:]), hex.EncodeToString(spki[:]), hex.EncodeToString(spki512[:]),
	}
}

// keysOf digests the certificates that a server sent. A leaf that is out of its time is judged at the nearest moment
// inside it, as judgeChain does: whether it is is the verdict's to say.
func keysOf(sent []*x509.Certificate, roots *x509.CertPool, now time.Time) *Keys {
	leaf, chain := sent[0], sent[:min(len(sent), keptChain)]
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: within(leaf, now)}
	k := &Keys{names: leaf.DNSNames}
	for i, c := range chain {
		k.Chain = append(k.Chain, printOf(c))
		if i > 0 {
			opts.Intermediates.AddCert(c)
		}
	}
	paths, err := leaf.Verify(opts)
	for _, path := range paths {
		if root := path[len(path)-1]; err == nil && !slices.ContainsFunc(chain, root.Equal) && len(k.Anchors) < keptAnchors {
			if p := printOf(root); !slices.Contains(k.Anchors, p) {
				k.Anchors = append(k.Anchors, p)
			}
		}
	}
	slices.SortFunc(k.Anchors, func(a, b Print) int { return strings.Compare(a.Cert, b.Cert) })
	for i, c := range chain[1:] {
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(c)
		if _, err := leaf.Verify(opts); err == nil {
			k.Path = append(k.Path, uint(i+1))
		}
	}
	return k
}

// within is now, or the nearest moment of the certificate's lifetime.
func within(c *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(c.NotBefore):
		return c.NotBefore
	case now.After(c.NotAfter):
		return c.NotAfter
	}
	return now
}

// findDANE looks up a host's TLSA records and, where their base domain is another name than the host's, visits the
// addresses under that name. It returns nil when there is nothing to say; the error is ctx's.
func (p *Prober) findDANE(
	ctx context.Context, route discovery.Route, host policy.Domain, answers []discovery.Answer, addrs []netip.Addr,
) (*DANE, error) {
	if !route.Answer.Secure {
		return nil, nil
	}
	found, err := p.tlsa.do(ctx, host, func() tlsaAnswers {
		// The mail domain's names are added below: all else is the same for every domain behind the host.
		mx := discovery.Answer{Status: discovery.NoData, Secure: true}
		a := tlsaAnswers{DANE: discovery.FindTLSA(ctx, p.dns, mx, host, p.opts.SMTPPort, answers...)}
		a.survey(ctx, p)
		return a
	})
	if err != nil || found.Kind == discovery.DANEInsecure {
		return nil, err
	}
	d := &DANE{Base: escape(found.Base, 255), Kind: string(found.Kind), Lookups: lookups(found.Answers...)}
	d.take(found.DANE, route.Answer)
	d.Servers = found.servers
	base, err := policy.ParseDomain(found.Base)
	if err != nil || base == host || found.Kind != discovery.DANEUsable {
		return d, nil
	}
	for _, addr := range addrs {
		s, err := p.session(ctx, addr, base)
		if err != nil {
			return nil, err
		}
		d.Sessions = append(d.Sessions, s)
	}
	return d, nil
}

// tlsaAnswers is what was found out about a host, whatever domain it serves.
type tlsaAnswers struct {
	discovery.DANE
	servers []NameServer
}

// survey asks each name server for the TLSA records, where there are any or the resolver got no answer. Where nobody at
// all answers us, it is our own way there that is closed (networks that let only their resolver ask): that says nothing,
// and after a few times nobody is asked any more.
func (a *tlsaAnswers) survey(ctx context.Context, p *Prober) {
	if len(a.Answers) == 0 || a.Kind == discovery.DANENone || a.Kind == discovery.DANEInsecure || p.opts.DNSPort < 0 {
		return
	}
	last := a.Answers[len(a.Answers)-1]
	if last.Type != "TLSA" || p.deaf.Load() >= maxDeaf {
		return
	}
	s := discovery.AskServers(ctx, p.dns, discovery.Servers{Allow: p.mayAsk, Port: p.opts.DNSPort}, last.Name)
	if len(s.Servers) == 0 {
		return
	}
	if !slices.ContainsFunc(s.Servers, func(v discovery.Server) bool { return v.Answer.Status.Known() }) {
		p.deaf.Add(1)
		return
	}
	p.deaf.Store(0)
	if s.Agree() {
		return
	}
	for _, server := range s.Servers {
		l := lookup(server.Answer)
		a.servers = append(a.servers, NameServer{
			Address: server.Addr.String(), Name: escape(server.Name, 255),
			Records: briefs(l.Records[:min(len(l.Records), keptBriefs)]), Status: l.Status,
		})
	}
}

// mayAsk is mayContact for addresses that this machine has a way to: to connect a datagram socket sends nothing.
func (p *Prober) mayAsk(addr netip.Addr) bool {
	if !p.mayContact(addr) {
		return false
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(p.opts.DNSPort))))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// take keeps the records of the last lookup and the names that a certificate may carry.
func (d *DANE) take(found discovery.DANE, mx discovery.Answer) {
	if found.Base == "" {
		return
	}
	records := found.Answers[len(found.Answers)-1].TLSA
	for _, r := range records[:min(len(records), keptTLSA)] {
		d.Records = append(d.Records, tlsaText(r))
	}
	d.Omitted = uint(len(records) - len(d.Records))
	names := slices.Clone(found.Names)
	if mx.Status == discovery.NoError { // MX records name the host in the domain's stead (RFC 7672 section 3.2.2)
		names = append(names, mx.Name)
		names = append(names, mx.Chain[max(0, len(mx.Chain)-1):]...)
	}
	for _, name := range names {
		if name = escape(name, 255); !slices.Contains(d.Names, name) {
			d.Names = append(d.Names, name)
		}
	}
}

// compareKeys fills in DANE.Matches and drops from the sessions what no record of the host can name.
func (h *Host) compareKeys() {
	records := h.DANE.records()
	for _, s := range h.encrypted() {
		if key := s.TLS.Keys.Chain[0].SPKI; !slices.Contains(h.keys, key) {
			h.keys = append(h.keys, key)
		}
	}
	if len(records) > 0 {
		for _, s := range h.encrypted() {
			h.DANE.Matches = append(h.DANE.Matches, h.DANE.match(s, records))
		}
	}
	for i := range h.Sessions {
		h.Sessions[i] = h.Sessions[i].forget(records)
	}
	if h.DANE != nil {
		for i := range h.DANE.Sessions {
			h.DANE.Sessions[i] = h.DANE.Sessions[i].forget(records)
		}
	}
}

// encrypted are the sessions that came to TLS, as a sender that knows DANE has them.
func (h *Host) encrypted() []Session {
	sessions := h.Sessions
	if h.DANE != nil && len(h.DANE.Sessions) > 0 {
		sessions = h.DANE.Sessions
	}
	return slices.DeleteFunc(slices.Clone(sessions), func(s Session) bool { return s.TLS == nil || s.TLS.Keys == nil })
}

func (d *DANE) match(s Session, records []tlsa) Match {
	m := Match{Address: s.Address}
	for _, r := range records {
		if s.TLS.Keys.meets(r) {
			m.Records = append(m.Records, r.at)
		}
		if r.usage == discovery.UsageDANETA && m.Named == "" {
			m.Named = "no"
			leaf := x509.Certificate{DNSNames: s.TLS.Keys.names}
			if slices.ContainsFunc(d.Names, func(name string) bool { return leaf.VerifyHostname(name) == nil }) {
				m.Named = "yes"
			}
		}
	}
	return m
}

// forget returns the session without digests that the records cannot name: most hosts have no TLSA records. The session
// itself is shared with other domains and stays as it is.
func (s Session) forget(records []tlsa) Session {
	s.TLS = s.TLS.forget(records)
	return s
}

func (t *TLS) forget(records []tlsa) *TLS {
	if t == nil || t.Keys == nil {
		return t
	}
	short := *t
	switch {
	case len(records) == 0:
		short.Keys = nil
	case !slices.ContainsFunc(records, func(r tlsa) bool { return r.matching == discovery.MatchSHA512 }):
		short.Keys = &Keys{Anchors: shorten(t.Keys.Anchors), Chain: shorten(t.Keys.Chain), Path: t.Keys.Path, names: t.Keys.names}
	}
	return &short
}

// shorten leaves out the SHA-512 digests.
func shorten(prints []Print) []Print {
	var out []Print
	for _, p := range prints {
		out = append(out, Print{Cert: p.Cert, SPKI: p.SPKI})
	}
	return out
}

// HostKeys are the keys that an MX host shows, by which TLSA records can be made.
type HostKeys struct {
	Host policy.Domain
	SPKI []string // SHA-256 of the leaf certificates' SubjectPublicKeyInfo, lower-case hex, each once
}

// hostKeys are those of all hosts that came to TLS.
func (o Observation) hostKeys() (out []HostKeys) {
	for _, h := range o.Hosts {
		if name, err := policy.ParseDomain(h.Name); err == nil && len(h.keys) > 0 {
			out = append(out, HostKeys{name, h.keys})
		}
	}
	return out
}

// Named are the TLSA records that name the certificates of every session with the host, as evidence has them.
func (h *Host) Named() (out []string) {
	if h.DANE == nil || len(h.DANE.Matches) == 0 {
		return nil
	}
	for i, text := range h.DANE.Records {
		if !slices.ContainsFunc(h.DANE.Matches, func(m Match) bool { return !slices.Contains(m.Records, uint(i)) }) {
			out = append(out, text)
		}
	}
	return out
}
