package tlsrpt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrUnwritable says that a report lacks what RFC 8460 demands of one, so that Marshal does not write it.
var ErrUnwritable = errors.New("no RFC 8460 report")

// The document as RFC 8460 section 4.4 spells it. Optional members that are zero are left out: null and "" confuse readers.
type (
	wireReport struct {
		Organization string       `json:"organization-name,omitempty"`
		Range        wireRange    `json:"date-range"`
		Contact      string       `json:"contact-info,omitempty"`
		ID           string       `json:"report-id"`
		Policies     []wirePolicy `json:"policies"`
	}
	wireRange struct {
		Begin string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	}
	wirePolicy struct {
		Policy  wireWhich    `json:"policy"`
		Summary wireSummary  `json:"summary"`
		Details []wireDetail `json:"failure-details,omitempty"`
	}
	wireWhich struct {
		Type    PolicyType `json:"policy-type"`
		Strings []string   `json:"policy-string,omitempty"`
		Domain  string     `json:"policy-domain"`
		MXHosts []string   `json:"mx-host,omitempty"` // an array: erratum 6241
	}
	wireSummary struct {
		Successful int64 `json:"total-successful-session-count"`
		Failed     int64 `json:"total-failure-session-count"`
	}
	wireDetail struct {
		Result        ResultType `json:"result-type"`
		SendingIP     string     `json:"sending-mta-ip,omitempty"`
		ReceivingMX   string     `json:"receiving-mx-hostname,omitempty"`
		ReceivingHELO string     `json:"receiving-mx-helo,omitempty"`
		ReceivingIP   string     `json:"receiving-ip,omitempty"`
		Failed        int64      `json:"failed-session-count"`
		Information   string     `json:"additional-information,omitempty"`
		Reason        string     `json:"failure-reason-code,omitempty"`
	}
)

// Marshal writes a report as one line of JSON without a line end: application/tlsrpt+json. The report needs an ID, a range, a
// domain and a known type for each entry, a known result for each detail, counts of 0 to MaxCount, and valid UTF-8; what does
// not have them is refused with an error that wraps ErrUnwritable and names the place. Notes and Recipient are not written.
func Marshal(r *Report) ([]byte, error) {
	w := wireReport{Organization: r.Organization, Contact: r.Contact, ID: r.ID, Policies: []wirePolicy{}}
	var err error
	if w.Range, err = marshalRange(r.Begin, r.End); err != nil {
		return nil, err
	}
	if r.ID == "" {
		return nil, unwritable("/report-id", "it is empty")
	}
	if !readable(r.Organization, r.Contact, r.ID) {
		return nil, unwritable("", "its text is not UTF-8")
	}
	for i := range r.Policies {
		at := fmt.Sprintf("/policies/%d", i)
		p, err := marshalPolicy(at, &r.Policies[i])
		if err != nil {
			return nil, err
		}
		w.Policies = append(w.Policies, p)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

func unwritable(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrUnwritable, path, fmt.Sprintf(format, args...))
}

// marshalRange writes times as RFC 8460 section 4.4's example does: RFC 3339, UTC, whole seconds.
func marshalRange(begin, end time.Time) (wireRange, error) {
	if begin.IsZero() || end.IsZero() || end.Before(begin) || begin.Year() < 0 || end.Year() > 9999 {
		return wireRange{}, unwritable("/date-range", "it has no start or an end before its start")
	}
	return wireRange{begin.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339)}, nil
}

func marshalPolicy(at string, p *Policy) (wirePolicy, error) {
	if _, known := ParsePolicyType(string(p.Type)); !known {
		return wirePolicy{}, unwritable(at+"/policy/policy-type", "%q", p.Type)
	}
	if p.Domain.IsZero() {
		return wirePolicy{}, unwritable(at+"/policy/policy-domain", "it is empty")
	}
	if !countable(p.Successful) || !countable(p.Failed) {
		return wirePolicy{}, unwritable(at+"/summary", "counts are 0 to %d", int64(MaxCount))
	}
	w := wirePolicy{
		Policy:  wireWhich{Type: p.Type, Strings: p.Strings, Domain: p.Domain.String()},
		Summary: wireSummary{p.Successful, p.Failed},
	}
	for i := range p.Details {
		d, err := marshalDetail(fmt.Sprintf("%s/failure-details/%d", at, i), &p.Details[i])
		if err != nil {
			return wirePolicy{}, err
		}
		w.Details = append(w.Details, d)
	}
	for _, s := range p.MXHosts {
		pattern, err := policy.NormalizeMXPattern(s)
		if err != nil {
			return wirePolicy{}, unwritable(at+"/policy/mx-host", "%q is no pattern", s)
		}
		w.Policy.MXHosts = append(w.Policy.MXHosts, pattern.STS())
	}
	if !readable(p.Strings...) {
		return wirePolicy{}, unwritable(at+"/policy/policy-string", "it is not UTF-8")
	}
	return w, nil
}

func marshalDetail(at string, d *Detail) (wireDetail, error) {
	if _, known := ParseResultType(string(d.Result)); !known {
		return wireDetail{}, unwritable(at+"/result-type", "%q", d.Result)
	}
	if !countable(d.Failed) {
		return wireDetail{}, unwritable(at+"/failed-session-count", "counts are 0 to %d", int64(MaxCount))
	}
	if !readable(d.ReceivingMX, d.ReceivingHELO, d.Information, d.Reason) {
		return wireDetail{}, unwritable(at, "its text is not UTF-8")
	}
	return wireDetail{
		Result: d.Result, SendingIP: addressText(d.SendingIP), ReceivingMX: d.ReceivingMX, ReceivingHELO: d.ReceivingHELO,
		ReceivingIP: addressText(d.ReceivingIP), Failed: d.Failed, Information: d.Information, Reason: d.Reason,
	}, nil
}

// readable reports whether all texts are UTF-8, which JSON demands (RFC 8259 section 8.1).
func readable(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) })
}

func countable(n int64) bool { return n >= 0 && n <= MaxCount }

// addressText writes an address without a zone, which means something on one host only; "" for none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}
