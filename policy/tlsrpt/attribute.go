package tlsrpt

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Hint is what the transport told about a report. Each field may be zero.
type Hint struct {
	Domain   policy.Domain // whom it is about: TLS-Report-Domain, or whose URI it was posted to
	FileName string        // of the attachment or file; a path is cut to its last element
	Received time.Time     // when it came
}

// Attribute fills in what a report ought to have said itself: the domain of entries without one, from the hint's domain, its
// file name, the report-id or the report's other entries, in this order; and the date range, from the file name, or as the UTC
// day before the report was received (RFC 8460 section 4.1 has reports sent soon after their day). Entries that name a
// domain keep it, so that a hint cannot move sessions. Each thing filled in gets a note.
func (r *Report) Attribute(h Hint) {
	name, named := ParseFileName(h.FileName)
	r.attributeDomain(h.Domain, name)
	if _, ok := r.Day(); ok {
		return
	}
	switch {
	case named:
		r.Begin, r.End = name.Begin, name.End
		r.note(NoteRange, "/date-range", "taken from the file name")
	case !h.Received.IsZero():
		day := DayOf(h.Received) - 1
		r.Begin, r.End = day.Begin(), day.End()
		r.note(NoteRange, "/date-range", "taken to be %s, the day before the report came", day)
	}
}

func (r *Report) attributeDomain(told policy.Domain, name FileName) {
	domain, source := told, "the transport"
	if domain.IsZero() {
		domain, source = name.Domain, "the file name"
	}
	if r.Recipient.IsZero() {
		r.Recipient = domain
	}
	if within := domainWithin(r.ID); domain.IsZero() && !r.isSender(within) {
		domain, source = within, "the report-id"
	}
	if domain.IsZero() {
		domain, source = r.onlyDomain(), "the other entries"
	}
	if domain.IsZero() {
		return
	}
	for i := range r.Policies {
		if r.Policies[i].Domain.IsZero() {
			r.Policies[i].Domain = domain
			r.note(NoteAttribute, fmt.Sprintf("/policies/%d/policy/policy-domain", i), "taken from %s: %s", source, domain)
		}
	}
}

// onlyDomain is the domain that all entries which name one name.
func (r *Report) onlyDomain() policy.Domain {
	var only policy.Domain
	for _, p := range r.Policies {
		switch {
		case p.Domain.IsZero() || p.Domain == only:
		case !only.IsZero():
			return policy.Domain{}
		default:
			only = p.Domain
		}
	}
	return only
}

// domainWithin finds the one domain in a report-id as "2026-01-10T00:00:00Z_d.example". What follows "@" is the sender's own host, as
// in a Message-ID; two domains tell nothing.
func domainWithin(id string) policy.Domain {
	var found policy.Domain
	id, _, _ = strings.Cut(id, "@")
	pieces := strings.FieldsFunc(id, func(c rune) bool { return strings.ContainsRune("_!+<>:/ ,;()", c) })
	if len(pieces) > 16 {
		return found
	}
	for _, piece := range pieces {
		d, err := policy.NormalizeDomain(piece)
		switch {
		case err != nil || d == found:
		case !found.IsZero():
			return policy.Domain{}
		default:
			found = d
		}
	}
	return found
}

// isSender reports whether d is the sender's own domain, as its contact address tells.
func (r *Report) isSender(d policy.Domain) bool {
	_, host, _ := strings.Cut(r.Contact, "@")
	contact, err := policy.NormalizeDomain(strings.Trim(host, "> "))
	return err == nil && contact == d
}

// FileName is what the name of a report's file says (RFC 8460 section 5.1):
//
//	sender "!" policy-domain "!" begin-timestamp "!" end-timestamp [ "!" unique-id ] "." extension
type FileName struct {
	Sender, Domain policy.Domain
	Begin, End     time.Time // UTC, from Unix seconds
}

// ParseFileName reads a report's file name, of which a path is cut to its last element. White space in it is that of a folded
// header field (the RFC's own example has some). ok is false when it is none.
func ParseFileName(s string) (f FileName, ok bool) {
	s = path.Base(strings.ReplaceAll(s, `\`, "/"))
	parts := strings.Split(strings.Join(strings.Fields(s), ""), "!")
	if len(parts) < 4 || len(parts) > 6 || len(s) > 1024 {
		return FileName{}, false
	}
	end, _, _ := strings.Cut(parts[3], ".")
	var errs [4]error
	f.Sender, errs[0] = policy.NormalizeDomain(parts[0])
	f.Domain, errs[1] = policy.NormalizeDomain(parts[1])
	f.Begin, errs[2] = unixTime(parts[2])
	f.End, errs[3] = unixTime(end)
	for _, err := range errs {
		if err != nil {
			return FileName{}, false
		}
	}
	return f, true
}

func unixTime(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 40)
	return time.Unix(int64(n), 0).UTC(), err
}
