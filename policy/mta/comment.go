package mta

import (
	"errors"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrHeader is wrapped when a header's text could end its comment line and so become part of the table.
var ErrHeader = errors.New("header not fit for a comment")

// Header names the release that a table was made from.
type Header struct {
	Origin  string // the log's origin: printable ASCII
	Release uint64
	Expires time.Time
	Digest  [32]byte // SHA-256 of policy.json
}

func (h Header) check() error {
	if h.Origin == "" {
		return fmt.Errorf("%w: no origin", ErrHeader)
	}
	return checkComment("origin", h.Origin)
}

// checkComment says whether text can stand in a comment without ending it: printable ASCII.
func checkComment(what, text string) error {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < 0x20 || c > 0x7e {
			return fmt.Errorf("%w: %s %q has the byte %#02x", ErrHeader, what, text, c)
		}
	}
	return nil
}

// appendHeader appends the release in comment lines. mark begins a comment: '#' or ';'.
func appendHeader(buf []byte, mark byte, h Header) []byte {
	return fmt.Appendf(buf, "%[1]c origin  %[2]s\n%[1]c release %[3]d\n%[1]c expires %[4]s\n%[1]c list    sha256:%[5]x\n",
		mark, h.Origin, h.Release, h.Expires.UTC().Format(policy.TimeFormat), h.Digest)
}

// preamble explains the table to whoever opens it at three in the morning.
const preamble = `#
# One line for each domain whose policy is "enforce": no delivery without TLS, a trusted chain, and a certificate for one
# of these names. A domain with a "testing" policy has no line, so your other tables and your default decide.
`

const wider = `# "mx.example" is that name and no other. ".example" means any depth of names to Postfix (mx.example and a.mx.example),
# but exactly one label to the list: such lines accept more certificates than the list allows, never fewer.
`

const narrow = `# mx_host_pattern=*.example means exactly one label, as in the list: MX hosts of other names are skipped, and the certificate
# has to be for the host. match= alone would mean any depth, for a Postfix with smtp_tls_enforce_sts_mx_patterns = no.
`

const exactOnly = `# Domains with a ".example" name are left out here; the socketmap server answers for them.
`

func appendPreamble(buf []byte, o Options) ([]byte, error) {
	if err := o.Header.check(); err != nil {
		return buf, err
	}
	buf = fmt.Appendf(buf, "# TLS policy table for Postfix (smtp_tls_policy_maps), dialect %s. Written by a program, do not edit.\n", o.Dialect)
	buf = append(appendHeader(buf, '#', o.Header), preamble...)
	if o.Dialect.Exact() {
		return append(buf, narrow+"#\n"...), nil
	}
	buf = append(buf, wider...)
	if o.ExactOnly {
		buf = append(buf, exactOnly...)
	}
	return append(buf, "#\n"...), nil
}

// appendTrailer ends the table with its counts: a table without this line was cut.
func (r *Report) appendTrailer(buf []byte) []byte {
	return fmt.Appendf(buf, "# end: %d lines, %d of them wider than the list; without a line: %d testing, %d left out, %d refused\n",
		r.Emitted, len(r.SuffixWide), r.Testing, len(r.Omitted), len(r.Refused))
}

const expired = `#
# This list has EXPIRED: no domain has a line until a fresh list arrives, so your default decides for all of them.
# Look at why updates fail: starttls-policy status
`

func appendExpired(buf []byte, o Options) ([]byte, error) {
	if err := o.Header.check(); err != nil {
		return buf, err
	}
	buf = append(buf, "# TLS policy table for Postfix (smtp_tls_policy_maps): empty. Written by a program, do not edit.\n"...)
	return append(appendHeader(buf, '#', o.Header), expired...), nil
}

func appendOwn(buf []byte, why string, o Options) ([]byte, error) {
	if err := checkComment("reason", why); err != nil {
		return buf, err
	}
	buf = fmt.Appendf(buf, "# TLS policy table for Postfix (smtp_tls_policy_maps), dialect %s. Written by a program, do not edit.\n", o.Dialect)
	if o.Header.Origin != "" {
		if err := o.Header.check(); err != nil {
			return buf, err
		}
		buf = appendHeader(buf, '#', o.Header)
	}
	return fmt.Appendf(buf, "#\n# No list is in force: %s.\n# The lines below are this machine's own, by [[override]] in its configuration.\n#\n", why), nil
}
