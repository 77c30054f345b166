package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// STSStatus is how the search for a domain's MTA-STS policy ended.
type STSStatus string

// How it ends at the record. The first three are the same to a sender, no MTA-STS (RFC 8461 section 3.1); the fourth is
// unknown.
const (
	STSNone          STSStatus = "none"           // no record
	STSRecordMany    STSStatus = "record-many"    // more than one record
	STSRecordInvalid STSStatus = "record-invalid" // one, but broken
	STSRecordFailed  STSStatus = "record-failed"  // the lookup ended without an answer
)

// How it ends at the policy, in the order in which a fetch meets them. To a sender all but STSOK are a failed fetch: it
// goes on with the policy that it holds, or delivers without one (RFC 8461 section 3.3 and 5.1).
const (
	STSFetchNoHost      STSStatus = "fetch-no-host"     // the policy host does not exist or has no address
	STSFetchDNS         STSStatus = "fetch-dns"         // no address, because a lookup ended without an answer
	STSFetchForbidden   STSStatus = "fetch-forbidden"   // it has no address that Fetcher.Allow lets us contact
	STSFetchNoRoute     STSStatus = "fetch-no-route"    // this machine has no way to any of them (IPv6 only, say): inconclusive
	STSFetchConnect     STSStatus = "fetch-connect"     // no address accepts TCP connections
	STSFetchTLS         STSStatus = "fetch-tls"         // no TLS: wrong versions, no TLS at all, an alert
	STSFetchCertificate STSStatus = "fetch-certificate" // the certificate is expired, for other names or of an unknown issuer
	STSFetchHTTP        STSStatus = "fetch-http"        // what came is not HTTP, too large a header, or cut short
	STSFetchRedirect    STSStatus = "fetch-redirect"    // 3xx; it must not be followed (RFC 8461 section 3.3)
	STSFetchStatus      STSStatus = "fetch-status"      // another HTTP status than 200
	STSFetchEncoding    STSStatus = "fetch-encoding"    // a Content-Encoding, although none was asked for
	STSFetchSize        STSStatus = "fetch-size"        // a body of more than mtasts.MaxPolicyBytes
	STSFetchTimeout     STSStatus = "fetch-timeout"     // Fetcher.Deadline passed; Detail says at what
	STSPolicyInvalid    STSStatus = "policy-invalid"    // no valid policy text; Detail says why
	STSPolicyNoMX       STSStatus = "policy-no-mx"      // the same for want of a usable mx
	STSFetchMedia       STSStatus = "fetch-media"       // a valid policy of another media type than text/plain
	STSOK               STSStatus = "ok"                // a valid policy; a missing media type is let pass (see Media)
)

// Known reports whether the status says something about the domain, in contrast to this machine's way to it.
func (s STSStatus) Known() bool {
	switch s {
	case STSRecordFailed, STSFetchDNS, STSFetchForbidden, STSFetchNoRoute, STSFetchConnect, STSFetchTimeout:
		return false
	}
	return true
}

// STS is what FindSTS found out about one domain. Text that comes from a server (Location, ContentType, Body, and what the
// Policy quotes of it) is not escaped: it may hold whatever somebody wants a terminal or a page to do.
type STS struct {
	Record Answer // of the TXT lookup at _mta-sts.<domain>; its CNAMEs are in Record.Chain
	ID     string // of the one valid record
	Status STSStatus
	Detail string // the status in words, printable ASCII of at most 300 bytes; "" for STSOK and STSNone

	Addresses  []Answer       // of the lookups of the policy host, A and AAAA
	Server     netip.AddrPort // who was asked; the zero value when nobody answered a connection
	NotBefore  time.Time      // from when the server's certificate is valid; zero without TLS
	NotAfter   time.Time      // when it expires
	HTTPStatus int            // 0 without an answer
	Location   string         // where a redirect leads, at most 1 KB
	// ContentType is the header as it came, at most 256 bytes, and Media what it is worth.
	ContentType string
	Media       mtasts.MediaType
	Body        []byte // of a 200 answer, at most mtasts.MaxPolicyBytes
	SHA256      string // of Body, lower-case hex; "" without Body
	// Policy is valid with STSOK and STSFetchMedia. Its Deviations are what a strict reader would refuse.
	Policy mtasts.Policy
}

// FindSTS looks for domain's MTA-STS policy as a sender without a cached one would: the TXT record, and, if there is
// exactly one, the policy over HTTPS (RFC 8461 section 3).
func FindSTS(ctx context.Context, c *Client, f *Fetcher, domain policy.Domain) STS {
	s := STS{Record: c.LookupTXT(ctx, "_mta-sts."+domain.String())}
	if !s.Record.Status.Known() {
		s.fail(STSRecordFailed, "TXT lookup: "+string(s.Record.Status))
		return s
	}
	rec, err := mtasts.ParseRecord(s.Record.TXT)
	switch {
	case errors.Is(err, mtasts.ErrManyRecords):
		s.fail(STSRecordMany, err.Error())
	case errors.Is(err, mtasts.ErrNoRecord):
		s.Status = STSNone
	case err != nil:
		s.fail(STSRecordInvalid, err.Error())
	default:
		s.ID = rec.ID
		f.fetch(ctx, c, "mta-sts."+domain.String(), &s)
	}
	return s
}

// judge reads the policy that a 200 answer brought.
func (s *STS) judge() {
	p, err := mtasts.ParsePolicy(s.Body)
	switch {
	case errors.Is(err, mtasts.ErrNoMX):
		s.fail(STSPolicyNoMX, err.Error())
		return
	case err != nil:
		s.fail(STSPolicyInvalid, err.Error())
		return
	}
	s.Policy, s.Status = p, STSOK
	if s.Media == mtasts.MediaOther {
		s.fail(STSFetchMedia, fmt.Sprintf("media type %q", s.ContentType))
	}
}

// fail sets the status. Errors of other packages quote what a server sent, and not all of them make it harmless.
func (s *STS) fail(status STSStatus, detail string) {
	s.Status = status
	s.Detail = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, clip(detail, 300))
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
