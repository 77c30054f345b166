package probe

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

const (
	// keptTexts is how many TXT records of one name are kept, keptText how many bytes of each before escaping.
	keptTexts = 4
	keptText  = 512
	// keptRemarks is how many deviations, unusable values or faults are listed.
	keptRemarks = 16
)

// STS is what a sender that knows MTA-STS learns about a domain (RFC 8461), with no policy from earlier days.
type STS struct {
	Addresses []Lookup   `json:"addresses,omitempty"` // of the policy host
	Detail    string     `json:"detail,omitempty"`    // Status in words
	HTTP      *HTTP      `json:"http,omitempty"`      // when somebody accepted the connection
	ID        string     `json:"id,omitempty"`        // of the one valid record
	Policy    *STSPolicy `json:"policy,omitempty"`    // when its text is valid
	Record    Lookup     `json:"record"`
	Status    string     `json:"status"` // a discovery.STSStatus, or STSOptedOut
}

// HTTP is the answer of a policy host. Header fields are cut and escaped.
type HTTP struct {
	ContentType string `json:"content-type,omitempty"`
	Location    string `json:"location,omitempty"`  // where a redirect leads; nobody went there
	Media       string `json:"media,omitempty"`     // an mtasts.MediaType
	NotAfter    string `json:"not-after,omitempty"` // of the server's certificate
	NotBefore   string `json:"not-before,omitempty"`
	Server      string `json:"server"`
	SHA256      string `json:"sha256,omitempty"` // of the body
	Status      uint   `json:"status,omitempty"`
}

// STSPolicy is a policy as senders read it who forgive what can be forgiven. Whoever keeps to the letter of the grammar
// refuses it when there are Deviations.
type STSPolicy struct {
	Deviations []string `json:"deviations,omitempty"`
	MaxAge     uint     `json:"max-age"`            // in seconds
	Mode       string   `json:"mode"`               // an mtasts.Mode
	MXs        []string `json:"mxs,omitempty"`      // in the list's spelling, sorted
	Track      string   `json:"track"`              // an mtasts.Track
	Unusable   []string `json:"unusable,omitempty"` // mx values that name no host
}

// STSOptedOut is the STS.Status where the policy host or all its addresses asked to be left alone.
const STSOptedOut = "opted-out"

// STSNoName is the STS.Status where the policy host is public and this probe has no name to introduce itself with.
const STSNoName = "no-ehlo"

func (p *Prober) findSTS(ctx context.Context, domain policy.Domain) *STS {
	fetcher, left := p.fetcher, false
	if host, err := policy.ParseDomain("mta-sts." + domain.String()); err == nil && p.leftAlone(ctx, host) {
		fetcher.Allow, left = nil, true
	}
	found := discovery.FindSTS(ctx, p.dns, &fetcher, domain)
	out := stsOf(found)
	if found.Status != discovery.STSFetchForbidden {
		return out
	}
	nameless := false
	for _, a := range found.Addresses {
		left = left || slices.ContainsFunc(a.Addrs, p.opts.OptOut.hasAddr)
		nameless = nameless || slices.ContainsFunc(a.Addrs, func(addr netip.Addr) bool { return p.guard.why(addr) == FailNoName })
	}
	switch {
	case left:
		out.Status, out.Detail = STSOptedOut, ""
	case nameless:
		out.Status, out.Detail = STSNoName, ""
	}
	return out
}

// leftAlone reports whether host, or what it is an alias of, is on the opt-out list.
func (p *Prober) leftAlone(ctx context.Context, host policy.Domain) bool {
	if len(p.opts.OptOut.names) == 0 {
		return false
	}
	name := host.String()
	return p.opts.OptOut.hasName(host) || p.opts.OptOut.hasAlias(p.dns.LookupA(ctx, name), p.dns.LookupAAAA(ctx, name))
}

func stsOf(s discovery.STS) *STS {
	out := &STS{
		Addresses: lookups(s.Addresses...), Detail: escape(s.Detail, keptLine), ID: s.ID,
		Record: textLookup(s.Record, "v=STSv1"), Status: string(s.Status),
	}
	if s.Server.IsValid() {
		out.HTTP = &HTTP{
			ContentType: escape(s.ContentType, keptLine), Location: escape(s.Location, keptLine), Media: string(s.Media),
			Server: s.Server.Addr().String(), SHA256: s.SHA256, Status: uint(s.HTTPStatus),
		}
		if !s.NotAfter.IsZero() {
			out.HTTP.NotBefore, out.HTTP.NotAfter = formatTime(s.NotBefore), formatTime(s.NotAfter)
		}
	}
	if s.Policy.Mode == "" {
		return out
	}
	out.Policy = &STSPolicy{
		Deviations: remarks(s.Policy.Deviations), MaxAge: uint(s.Policy.MaxAge / time.Second), Mode: string(s.Policy.Mode),
		Track: string(s.Policy.Track()), Unusable: remarks(s.Policy.Unusable),
	}
	for _, mx := range s.Policy.MXs {
		out.Policy.MXs = append(out.Policy.MXs, mx.String())
	}
	return out
}

// patterns are the policy's mxs; p may be nil.
func (p *STSPolicy) patterns() []policy.MXPattern {
	var out []policy.MXPattern
	if p != nil {
		for _, text := range p.MXs {
			if m, err := policy.ParseMXPattern(text); err == nil {
				out = append(out, m)
			}
		}
	}
	return out
}

// binding reports whether senders act on the policy.
func (p *STSPolicy) binding() bool {
	return p != nil && (p.Mode == string(mtasts.Enforce) || p.Mode == string(mtasts.Testing))
}

// remarks are foreign words fit for evidence.
func remarks(texts []string) []string {
	var out []string
	for _, text := range texts[:min(len(texts), keptRemarks)] {
		out = append(out, escape(text, keptLine))
	}
	return out
}

// textLookup is lookup for TXT records, of which a name may have many that are none of our business: those that begin
// like ours come first, and few are kept.
func textLookup(a discovery.Answer, version string) Lookup {
	texts := slices.Clone(a.TXT)
	a.TXT = nil
	l := lookup(a)
	slices.SortStableFunc(texts, func(x, y string) int {
		return rankText(x, version) - rankText(y, version)
	})
	for _, t := range texts[:min(len(texts), keptTexts)] {
		l.Records = append(l.Records, escape(t, keptText))
	}
	return l
}

func rankText(text, version string) int {
	switch {
	case strings.HasPrefix(text, version):
		return 0
	case len(text) >= len(version) && strings.EqualFold(text[:len(version)], version):
		return 1
	}
	return 2
}
