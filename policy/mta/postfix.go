// Package mta turns a verified list into the text that mail servers read. It is pure: entries in, bytes out.
//
// # Postfix
//
// A line of smtp_tls_policy_maps (postconf(5)) is a recipient domain, white space, and a level with attributes:
//
//	a.example  secure match=mx1.a.example:mx2.a.example servername=hostname protocols=>=TLSv1.2
//
// "secure" means: TLS or no delivery, a chain to a trusted root, and a certificate name out of match=.
//
// Only enforce policies give a line. A testing policy gives none, rather than "may": "may" would end the search and
// so hide a later table and a stricter default. There is never an empty match=, which Postfix takes as a broken table
// and answers by deferring all mail of the domain (postfix-tlspol issue 95).
//
// What Postfix matches is the certificate's name, and a leading dot stands for any depth there, while ".suffix" in the
// list is exactly one label in front of the dot:
//
//	match=            mx.example.com  good.mx.example.com  *.example.com  example.com
//	mx.example.com    yes             no                   yes            no
//	.example.com      yes             yes (list: no)       yes            no
//	*.example.com     no (list: yes)  no                   yes            no
//
// So the star form must never be written: it stops mail to hosts that the list allows. The dot form is wider than the
// list, and a static table cannot narrow it: names put in at writing time would stop mail when the domain's MX records
// rotate. It is written all the same, because without a line the domain would have no protection at all; the table says
// so in its first lines, Report names each such domain, and Options.ExactOnly leaves them to the socketmap server, which
// looks at the MX records of the moment. From Postfix 3.10.5 on the dialect TLSRPT has patterns that are exact.
package mta

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/starttls-everywhere/policylist/policy"
)

var (
	// ErrTesting says that a policy asks for nothing: to the mail server the domain is as good as not listed.
	ErrTesting = errors.New("testing policy")
	// ErrUnusable is wrapped when a policy cannot be expressed without stopping the domain's mail.
	ErrUnusable = errors.New("policy not usable for a mail server")
	// ErrOrder is wrapped when entries do not come sorted and unique: postmap would keep one of two lines, nobody knows which.
	ErrOrder = errors.New("entries are not sorted and unique")
)

// flushSize is how much text is collected before it is written, in bytes.
const flushSize = 1 << 16

// Options say for whom the table is and where it comes from.
type Options struct {
	Dialect Dialect
	Header  Header
	// ExactOnly leaves out entries with a suffix pattern where the dialect would match it more widely than the list: for
	// servers that have the socketmap behind this table.
	ExactOnly bool
}

// Report says what became of the entries. Every entry is counted once: Emitted + Testing + len(Omitted) +
// len(Refused) is their number.
type Report struct {
	Emitted    int             // lines in the table
	Testing    int             // entries without a line because their mode is testing
	SuffixWide []policy.Domain // emitted, but the mail server accepts more names than the list allows
	Omitted    []policy.Domain // left out by Options.ExactOnly
	Refused    []Refusal       // left out because no line would be right
}

// Refusal is an entry that would have broken the table or stopped mail, and why.
type Refusal struct {
	Domain policy.Domain
	Err    error // wraps ErrUnusable
}

// Postfix writes the table for entries, which must be sorted by domain and unique as policy.List has them. The same
// input gives the same bytes. A refused entry never keeps the others out. On error w holds a part of a table: write to
// a temporary file and rename.
func Postfix(w io.Writer, entries iter.Seq2[policy.Domain, policy.Policy], o Options) (Report, error) {
	buf, err := appendPreamble(make([]byte, 0, flushSize+8192), o)
	if err != nil {
		return Report{}, err
	}
	return postfixLines(w, buf, entries, o)
}

// postfixLines writes buf, which begins the table, and the lines behind it.
func postfixLines(w io.Writer, buf []byte, entries iter.Seq2[policy.Domain, policy.Policy], o Options) (report Report, err error) {
	var last policy.Domain
	for domain, p := range entries {
		if err := follows(&last, domain); err != nil {
			return report, err
		}
		buf = report.add(buf, domain, p, o)
		if len(buf) < flushSize {
			continue
		}
		if _, err := w.Write(buf); err != nil {
			return report, err
		}
		buf = buf[:0]
	}
	_, err = w.Write(report.appendTrailer(buf))
	return report, err
}

// follows checks that domain comes after the one before, and takes its place. One without a name is refused elsewhere.
func follows(last *policy.Domain, domain policy.Domain) error {
	if domain.String() <= last.String() && !domain.IsZero() {
		return fmt.Errorf("%w at %s", ErrOrder, domain)
	}
	*last = domain
	return nil
}

// PostfixExpired writes the table of a list that has expired: comments only, so that every domain falls back to the
// server's default. Compiling it matters as much as writing it: a hash or lmdb table built from the old text goes on
// enforcing names that nobody has confirmed since.
func PostfixExpired(w io.Writer, o Options) error {
	buf, err := appendExpired(nil, o)
	if err != nil {
		return err
	}
	_, err = w.Write(buf)
	return err
}

// PostfixOwn writes the table of a machine on which no list is in force, for entries that its administrator wrote: what no
// list gave, no list's end takes away. why is one line about the lists, such as Expired. A header without an origin is left out.
func PostfixOwn(w io.Writer, entries iter.Seq2[policy.Domain, policy.Policy], why string, o Options) (Report, error) {
	buf, err := appendOwn(nil, why, o)
	if err != nil {
		return Report{}, err
	}
	return postfixLines(w, buf, entries, o)
}

// add appends the entry's line, if it has one, and counts the entry.
func (r *Report) add(buf []byte, domain policy.Domain, p policy.Policy, o Options) []byte {
	if domain.IsZero() {
		r.Refused = append(r.Refused, Refusal{domain, fmt.Errorf("%w: no domain", ErrUnusable)})
		return buf
	}
	start := len(buf)
	buf = append(append(buf, domain.String()...), "  "...)
	buf, err := AppendPostfixValue(buf, domain, p, o.Dialect)
	wide := hasSuffix(p) && !o.Dialect.Exact()
	switch {
	case errors.Is(err, ErrTesting):
		r.Testing++
	case err != nil:
		r.Refused = append(r.Refused, Refusal{domain, err})
	case wide && o.ExactOnly:
		r.Omitted = append(r.Omitted, domain)
	default:
		r.Emitted++
		if wide {
			r.SuffixWide = append(r.SuffixWide, domain)
		}
		return append(buf, '\n')
	}
	return buf[:start]
}

// AppendPostfixValue appends what Postfix is told about a domain with policy p: the right-hand side of a table line,
// and the answer of a socketmap server. Errors are ErrTesting (answer "not found") or wrap ErrUnusable (an operator
// should hear of it); nothing is appended then.
func AppendPostfixValue(buf []byte, domain policy.Domain, p policy.Policy, d Dialect) ([]byte, error) {
	if err := usable(p); err != nil {
		return buf, err
	}
	buf = append(buf, "secure match="...)
	for i, mx := range p.MXs {
		if i > 0 {
			buf = append(buf, ':')
		}
		buf = append(buf, mx.String()...)
	}
	return d.appendAttributes(buf, domain, p), nil
}

// usable says why a policy gives no line: ErrTesting, or what wraps ErrUnusable. Only a broken caller makes the latter,
// for policy.NewPolicy refuses the same.
func usable(p policy.Policy) error {
	if p.Mode == policy.Testing {
		return ErrTesting
	}
	if p.Mode != policy.Enforce {
		return fmt.Errorf("%w: no mode", ErrUnusable)
	}
	if len(p.MXs) == 0 {
		return fmt.Errorf("%w: no mxs, so there would be nothing to match", ErrUnusable)
	}
	for _, mx := range p.MXs {
		if mx.String() == "" {
			return fmt.Errorf("%w: an empty mx", ErrUnusable)
		}
	}
	return nil
}

func hasSuffix(p policy.Policy) bool {
	for _, mx := range p.MXs {
		if mx.IsSuffix() {
			return true
		}
	}
	return false
}
