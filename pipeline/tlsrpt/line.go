package tlsrpt

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Line is a document as it stands in the day's evidence, one line of canonical JSON:
//
//	{"body":"<base64>","codes":["absent"],"domains":["d.example"],"kind":"tlsrpt","received":"2026-01-11T02:03:04Z",
//	"reporter":"sender.example","sha256":"<of the body>","standing":"authenticated","via":"mail"}
//
// (shown broken.) When a document also tells of domains that are not enrolled, its body is the strict RFC 8460 form of what
// it says of the others, or empty where it has no strict form. It is also empty where its reporter has had its share of the
// store (keepLine).
type Line struct {
	Body     []byte   `json:"body"`
	Codes    []string `json:"codes"`   // of the reader's notes, each once, sorted
	Domains  []string `json:"domains"` // whose tallies it changed, sorted
	Kind     string   `json:"kind"`    // lineKind
	Received string   `json:"received"`
	Reporter string   `json:"reporter"`
	SHA256   string   `json:"sha256"`
	Standing string   `json:"standing"`
	Via      Via      `json:"via"`
}

const (
	lineKind      = "tlsrpt"
	authenticated = "authenticated" // it counts
	shown         = "shown"         // anybody may have sent it
)

// ParseLine reads a line, and nothing that is not spelled as Append does.
func ParseLine(data []byte) (*Line, error) {
	l := &Line{}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, err
	}
	again, err := l.Append(nil)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, errors.New("the line is not canonical")
	}
	return l, nil
}

// Report reads the document again.
func (l *Line) Report() (*tlsrpt.Report, error) {
	return tlsrpt.Read(l.Body, tlsrpt.DefaultLimits())
}

// Append appends the line without a newline.
func (l *Line) Append(b []byte) ([]byte, error) {
	sum := sha256.Sum256(l.Body)
	if l.Kind != lineKind || l.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, errors.New("the line is of another kind, or its digest is wrong")
	}
	var first error
	str := func(s string) {
		var err error
		b, err = canonical.AppendString(b, s)
		first = cmp.Or(first, err)
	}
	list := func(all []string) {
		b = append(b, '[')
		for i, s := range all {
			if i > 0 {
				b = append(b, ',')
			}
			str(s)
		}
		b = append(b, ']')
	}
	b = append(base64.StdEncoding.AppendEncode(append(b, `{"body":"`...), l.Body), `","codes":`...)
	list(l.Codes)
	b = append(b, `,"domains":`...)
	list(l.Domains)
	for _, m := range []struct{ name, value string }{
		{"kind", l.Kind}, {"received", l.Received}, {"reporter", l.Reporter}, {"sha256", l.SHA256}, {"standing", l.Standing}, {"via", string(l.Via)},
	} {
		b = append(b, `,"`+m.name+`":`...)
		str(m.value)
	}
	return append(b, '}'), first
}

// lineDraft is what of a line is known before the transaction.
type lineDraft struct {
	line     Line
	document Document
}

func newLine(d Document) lineDraft {
	l := Line{Kind: lineKind, Standing: shown, Via: d.Via, Codes: []string{}, Reporter: printable(d.Report.Organization, maxReporter)}
	if !d.Submitter.IsZero() {
		l.Standing, l.Reporter = authenticated, d.Submitter.String()
	}
	for _, n := range d.Report.Notes {
		l.Codes = append(l.Codes, string(n.Code))
	}
	slices.Sort(l.Codes)
	l.Codes = slices.Compact(l.Codes)
	return lineDraft{l, d}
}

// at is the line for the domains of the document that are new, with or without its body.
func (l lineDraft) at(now time.Time, out Outcome, fresh []tlsrpt.Tally, whole bool) ([]byte, error) {
	l.line.Body = l.document.Body
	switch {
	case !whole:
		l.line.Body = nil
	case out.Foreign > 0 || out.Unattributed > 0:
		// What is too odd to be written strictly is counted, and not kept: it may not tell of others.
		l.line.Body, _ = tlsrpt.Marshal(only(l.document.Report, fresh))
	}
	sum := sha256.Sum256(l.line.Body)
	l.line.SHA256 = hex.EncodeToString(sum[:])
	l.line.Received = now.Format(policy.TimeFormat)
	for _, t := range fresh {
		l.line.Domains = append(l.line.Domains, t.Domain.String())
	}
	return l.line.Append(nil)
}

// only is a report without what it says of other domains. A tlsa entry that names an MX host stays with the domain whose sessions
// it counts.
func only(r *tlsrpt.Report, fresh []tlsrpt.Tally) *tlsrpt.Report {
	out := *r
	out.Policies = nil
	for i, owner := range r.Owners() {
		if slices.ContainsFunc(fresh, func(t tlsrpt.Tally) bool { return t.Domain == owner }) {
			out.Policies = append(out.Policies, r.Policies[i])
		}
	}
	return &out
}
