package tlsrpt

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// properName returns RFC 8460's spelling of a member: in other capitals or with underscores, and as drafts of
// it had it (draft-ietf-uta-smtp-tlsrpt up to -17), are read as well.
func properName(name string) string {
	if drafts := draftName(name); drafts != "" {
		return drafts
	}
	if strings.IndexFunc(name, func(c rune) bool { return c == '_' || c >= 'A' && c <= 'Z' || c == ' ' }) < 0 || len(name) > 64 {
		return name
	}
	name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
	if drafts := draftName(name); drafts != "" {
		return drafts
	}
	return name
}

func draftName(name string) string {
	switch name {
	case "mx-host-pattern":
		return "mx-host"
	case "additional-info-uri", "additional-info":
		return "additional-information"
	case "failure-error-code":
		return "failure-reason-code"
	case "session-count":
		return "failed-session-count"
	case "success-aggregate", "total-success-session-count":
		return "total-successful-session-count"
	case "failure-aggregate", "total-failed-session-count":
		return "total-failure-session-count"
	case "sending-mta":
		return "sending-mta-ip"
	case "receiving-mx-host":
		return "receiving-mx-hostname"
	}
	return ""
}

// pointerStep makes a name fit for a path in a note: names are hostile too (RFC 6901 section 3 for ~ and /).
func pointerStep(name string) string {
	plain := strings.IndexFunc(name, func(c rune) bool { return c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }) < 0
	if plain && len(name) <= maxQuoted {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(quote(name))
}

// textOr reads a string; numbers and booleans are taken as they are written; in place of null and of others stays old.
func (p *parser) textOr(old string) string {
	switch c := p.s.peek(); c {
	case '"':
		return p.s.text()
	case '{', '[':
		p.wrong("a string", p.s.skip())
		return old
	}
	w := p.s.word()
	if w == "null" || p.s.err != nil {
		return old
	}
	p.note(NoteType, "%s stands here in place of a string", w.kind())
	return string(w)
}

// texts reads an array of strings or one string (RFC 8460 erratum 6241).
func (p *parser) texts() []string {
	var out []string
	p.items("a string", func(i int) bool {
		if i == p.limits.Strings {
			p.note(NoteTooMany, "items from here on were left out")
		}
		if i >= p.limits.Strings {
			p.s.skip()
		} else if s := p.textOr(""); s != "" {
			out = append(out, s)
		}
		return true
	})
	return out
}

func (p *parser) policyType() PolicyType {
	text := p.textOr("")
	kind, known := ParsePolicyType(strings.ToLower(strings.TrimSpace(text)))
	if !known {
		p.note(NoteUnknown, "policy-type %s is unknown; it counts as %q", quote(text), OtherPolicy)
	}
	return kind
}

func (p *parser) resultType() ResultType {
	text := p.textOr("")
	result, known := ParseResultType(strings.ToLower(strings.TrimSpace(text)))
	if !known {
		p.note(NoteUnknown, "result-type %s is unknown; it counts as %q", quote(text), OtherResult)
	}
	return result
}

// domain brings a name into its one form (RFC 8460 section 4.4 demands A-labels; not all senders know).
// named is false where there is nothing.
func (p *parser) domain() (d policy.Domain, named bool) {
	text := p.textOr("")
	if text == "" {
		return d, false
	}
	d, err := policy.NormalizeDomain(strings.TrimSpace(text))
	switch {
	case err != nil:
		p.note(NoteDomain, "%s is no domain", quote(text))
	case d.String() != text:
		p.note(NoteDomain, "%s was read as %s", quote(text), d)
	}
	return d, true
}

// count reads a number of sessions. Numbers in quotes and whole ones written as 3.0 or 3e2 count; others are 0.
func (p *parser) count() int64 {
	quoted := p.s.peek() == '"'
	text := strings.TrimSpace(p.textOr0())
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		n = p.oddCount(text)
	} else if quoted {
		p.note(NoteType, "a number stands here in quotes")
	}
	switch {
	case n < 0:
		p.note(NoteCount, "%s sessions; it counts as 0", quote(text))
		return 0
	case n > MaxCount:
		p.note(NoteCount, "%s sessions; it counts as %d", quote(text), int64(MaxCount))
		return MaxCount
	}
	return n
}

// textOr0 reads a string or a number as it is written, "" for others.
func (p *parser) textOr0() string {
	switch c := p.s.peek(); {
	case c == '"':
		return p.s.text()
	case c == '{' || c == '[':
		p.wrong("a number", p.s.skip())
		return ""
	}
	w := p.s.word()
	if w.kind() != "a number" {
		p.wrong("a number", w.kind())
		return ""
	}
	return string(w)
}

// oddCount reads what is a number though no plain integer; -1 for what is no number of sessions.
func (p *parser) oddCount(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(f, 1) || err == nil && f > MaxCount:
		return MaxCount + 1
	case err != nil || f != math.Trunc(f) || f < 0:
		return -1
	}
	p.note(NoteType, "a number of sessions was written as %s", quote(text))
	return int64(f)
}

// address reads an IP address. Some senders put it in brackets or with a port or a zone; none at all is no address, never 0.0.0.0.
func (p *parser) address() netip.Addr {
	text := p.textOr("")
	if text == "" {
		return netip.Addr{}
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return a.Unmap()
	}
	bare := strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(bare); err == nil {
		p.note(NoteAddress, "an address has a port")
		return ap.Addr().WithZone("").Unmap()
	}
	bare = strings.TrimPrefix(strings.Trim(bare, "[]"), "IPv6:") // an address literal of RFC 5321 section 4.1.3
	a, err := netip.ParseAddr(bare)
	if err != nil {
		p.note(NoteAddress, "%s is no IP address", quote(text))
		return netip.Addr{}
	}
	p.note(NoteAddress, "%s was read as %s", quote(text), a.WithZone(""))
	return a.WithZone("").Unmap()
}

// time reads an RFC 3339 time. One without a zone is UTC, as RFC 8460 section 4.4 has all of them be.
func (p *parser) time() time.Time {
	text := strings.TrimSpace(p.textOr(""))
	if text == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return p.sane(t, text)
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05 -0700",
		"2006-01-02T15:04:05 Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly, time.RFC1123Z, time.RFC1123,
	} {
		if t, err := time.Parse(layout, strings.ToUpper(text)); err == nil {
			p.note(NoteTime, "lenient: %s was read as %s", quote(text), t.UTC().Format(time.RFC3339))
			return p.sane(t, text)
		}
	}
	if n, err := strconv.ParseInt(text, 10, 40); err == nil {
		p.note(NoteTime, "lenient: %s was read as Unix seconds", quote(text))
		return p.sane(time.Unix(n, 0), text)
	}
	p.note(NoteTime, "%s is no time", quote(text))
	return time.Time{}
}

// sane keeps times within the years that this protocol can have seen, so that no arithmetic on them overflows.
func (p *parser) sane(t time.Time, text string) time.Time {
	if t = t.UTC(); t.Year() < 2016 || t.Year() > 2199 {
		p.note(NoteTime, "%s is not a time that a report can be about", quote(text))
		return time.Time{}
	}
	return t
}
