package discovery

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/txtrecord"
)

// TLSRPTStatus is what a domain's TLSRPT record is worth.
type TLSRPTStatus string

const (
	TLSRPTOK      TLSRPTStatus = "ok"      // at least one usable destination; Faults may say that others are not
	TLSRPTNone    TLSRPTStatus = "none"    // no record
	TLSRPTMany    TLSRPTStatus = "many"    // more than one, which is as good as none (RFC 8460 section 3)
	TLSRPTInvalid TLSRPTStatus = "invalid" // one record, but nobody can be reported to
	TLSRPTFailed  TLSRPTStatus = "failed"  // the lookup ended without an answer
)

// maxFaults is how many faults of one record are listed, and maxRUA how many destinations are kept.
const (
	maxFaults = 16
	maxRUA    = 16
)

// TLSRPT is what the TXT records at _smtp._tls.<domain> say (RFC 8460 section 3).
type TLSRPT struct {
	Answer Answer // of the lookup; zero from ParseTLSRPT
	Status TLSRPTStatus
	// RUA are the usable destinations as written, "mailto:…" or "https://…", in their order, each once.
	RUA []string
	// Faults say what is wrong, in words; text of the record is quoted in them as Go quotes strings, so it is harmless. They
	// may come with any status: a misspelt record is no record, one bad destination beside a good one spoils only itself.
	Faults []string
}

// FindTLSRPT looks up where domain wants reports about TLS failures sent to.
func FindTLSRPT(ctx context.Context, c *Client, domain policy.Domain) TLSRPT {
	answer := c.LookupTXT(ctx, "_smtp._tls."+domain.String())
	t := TLSRPT{Status: TLSRPTFailed}
	if answer.Status.Known() {
		t = ParseTLSRPT(answer.TXT)
	}
	t.Answer = answer
	return t
}

// ParseTLSRPT finds and reads the record among the TXT records of one name, each with its strings joined without a space.
// Those that do not begin with "v=TLSRPTv1;" are other people's (RFC 8460 section 3).
func ParseTLSRPT(txts []string) TLSRPT {
	var t TLSRPT
	fields, found := txtrecord.Versioned("v=TLSRPTv1", txts)
	for _, txt := range txts {
		if misspelt(txt) {
			t.fault("%q is no record: it must begin with \"v=TLSRPTv1;\"", clip(txt, 40))
		}
	}
	switch found {
	case 0:
		t.Status = TLSRPTNone
		return t
	case 1:
	default:
		t.Status = TLSRPTMany
		t.fault("%d records begin with v=TLSRPTv1; senders then use none", found)
		return t
	}
	t.Status = TLSRPTInvalid
	seen := false
	for _, field := range fields {
		name, value, ok := strings.Cut(field, "=")
		switch {
		case !ok || !fieldName(name):
			t.fault("%q is no field", clip(field, 100))
			t.RUA = nil
			return t
		case name == "rua":
			seen = true
			t.destinations(value) // a repeated rua adds to the first
		}
	}
	if !seen {
		t.fault("it has no rua")
	}
	if len(t.RUA) > 0 {
		t.Status = TLSRPTOK
	}
	return t
}

// destinations reads the value of rua: URIs separated by commas, which they therefore may not contain.
func (t *TLSRPT) destinations(value string) {
	for uri := range strings.SplitSeq(value, ",") {
		uri = txtrecord.TrimWSP(uri)
		switch reason := destination(uri); {
		case reason != "":
			t.fault("rua %q: %s", clip(uri, 100), reason)
		case slices.Contains(t.RUA, uri):
		case len(t.RUA) == maxRUA:
			t.fault("more than %d destinations", maxRUA)
			return
		default:
			t.RUA = append(t.RUA, uri)
		}
	}
}

// destination says why nobody can send a report to uri, or "".
func destination(uri string) string {
	if i := strings.IndexFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '!' || r == ';' }); i >= 0 {
		return fmt.Sprintf("%q must be percent-encoded", uri[i:i+1])
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	switch scheme = strings.ToLower(scheme); {
	case !ok:
		return "it has no scheme, mailto: or https:"
	case scheme == "mailto":
		return mailbox(rest)
	case scheme == "https":
		u, err := url.Parse(uri)
		if err != nil || u.User != nil {
			return "it is no https URI"
		}
		if _, err := policy.NormalizeDomain(u.Hostname()); err != nil {
			return "its host is no domain name"
		}
		return ""
	}
	return "its scheme is neither mailto nor https"
}

// mailbox reads what follows "mailto:": one address; header fields behind "?" are let pass (RFC 6068 section 2).
func mailbox(s string) string {
	s, _, _ = strings.Cut(s, "?")
	address, err := url.PathUnescape(s)
	if err != nil {
		return "its percent-encoding is broken"
	}
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at > 64 || strings.ContainsFunc(address[:at], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "it has no mail address"
	}
	if _, err := policy.NormalizeDomain(address[at+1:]); err != nil {
		return "the domain of its mail address is no domain name"
	}
	return ""
}

func (t *TLSRPT) fault(format string, args ...any) {
	if len(t.Faults) < maxFaults {
		t.Faults = append(t.Faults, fmt.Sprintf(format, args...))
	}
}

// misspelt reports whether txt was meant for a record: other capitals, blanks in front, letters swapped.
func misspelt(txt string) bool {
	if _, n := txtrecord.Versioned("v=TLSRPTv1", []string{txt}); n > 0 {
		return false
	}
	s := strings.ReplaceAll(strings.ToLower(clip(txt, 64)), " ", "")
	for _, start := range []string{"v=tlsrpt", "v=tslrpt", "v=tlsrtp", "v=tls-rpt", "v:tlsrpt", "tlsrptv1", "rua="} {
		if strings.HasPrefix(strings.TrimLeft(s, "\t\""), start) {
			return true
		}
	}
	return false
}
