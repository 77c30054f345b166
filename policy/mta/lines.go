package mta

import (
	"fmt"
	"io"
	"iter"

	"github.com/starttls-everywhere/policylist/policy"
)

// nobody is a domain that no mail goes to (RFC 6761 section 6.4), for OpenSMTPD: with a table that has no entry it takes
// no configuration, and so would not start again on the day on which a list expires.
const nobody = "nobody.invalid\n"

// begin is the first lines of a file.
func (f Format) begin(h Header) []byte {
	buf := fmt.Appendf(nil, "%c TLS policies for %s. Written by a program, do not edit.\n", f.mark, f.Server)
	return fmt.Appendf(appendHeader(buf, f.mark, h), "%c\n", f.mark)
}

// writeLines writes one line a domain, between comments.
func (f Format) writeLines(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], h Header) (Report, error) {
	out := &lines{w: w}
	out.buf = fmt.Appendf(f.begin(h), "%[1]c It enforces: %[2]s.\n%[1]c It cannot: %[3]s.\n%[1]c A domain with a \"testing\" policy has no line.\n%[1]c\n%[4]s",
		f.mark, f.Enforces, f.Cannot, section(f.mark))
	var report Report
	err := report.rows(entries, func(domain policy.Domain, p policy.Policy) error {
		return out.add(func(buf []byte) []byte { return append(f.line(buf, domain, p), '\n') })
	})
	if err != nil {
		return report, err
	}
	if report.Emitted == 0 {
		out.buf = append(out.buf, f.nobody...)
	}
	out.buf = fmt.Appendf(out.buf, "%c end: %d lines; without a line: %d testing, %d refused\n", f.mark,
		report.Emitted, report.Testing, len(report.Refused))
	return report, out.flush()
}

func (f Format) emptyLines(w io.WriteSeeker, h Header, why string) error {
	_, err := w.Write(fmt.Appendf(f.begin(h), "%c Empty: %s.\n%s", f.mark, why, f.nobody))
	return err
}

// section begins the lines of an ini file; ';' is the mark of no other.
func section(mark byte) string {
	if mark == ';' {
		return "[outbound]\n"
	}
	return ""
}

// lines collects lines and writes them in large pieces.
type lines struct {
	w   io.Writer
	buf []byte
}

func (l *lines) add(line func(buf []byte) []byte) error {
	l.buf = line(l.buf)
	if len(l.buf) < flushSize {
		return nil
	}
	return l.flush()
}

func (l *lines) flush() error {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// lineDomain is an entry of a table of OpenSMTPD (table(5)).
func lineDomain(buf []byte, domain policy.Domain, _ policy.Policy) []byte {
	return append(buf, domain.String()...)
}

// lineSendmail is an entry of sendmail's access database (cf/README, STARTTLS). A bare CN stands for the name of the MX
// host, and with FEATURE(`check_cert_altnames') may be any name of the certificate. CN:name would not do more: where the
// name is not found, sendmail 8.17 falls back to the MX host's, whichever it is. TEMP defers where the default may bounce.
func lineSendmail(buf []byte, domain policy.Domain, _ policy.Policy) []byte {
	return append(append(append(buf, "TLS_Rcpt:"...), domain.String()...), "\tTEMP+VERIFY:128+CN"...)
}

// lineSendmailSTS is an entry of the map behind FEATURE(`sts'), which takes what a socketmap server tells Postfix.
func lineSendmailSTS(buf []byte, domain policy.Domain, p policy.Policy) []byte {
	buf = append(append(buf, domain.String()...), '\t')
	buf, _ = AppendPostfixValue(buf, domain, p, SNI) // rows has looked at p
	return buf
}

// lineHaraka is an entry of an array in tls.ini. The names are of recipients' domains; Haraka compares MX hosts with them
// too, and knows no patterns.
func lineHaraka(buf []byte, domain policy.Domain, _ policy.Policy) []byte {
	return append(append(buf, "force_tls_hosts[]="...), domain.String()...)
}

// writeHints writes names and nothing else, for loops in shells.
func writeHints(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], _ Header) (Report, error) {
	out := &lines{w: w}
	var report Report
	err := report.rows(func(yield func(policy.Domain, policy.Policy) bool) {
		for domain, p := range entries {
			if p.Mode == policy.Testing {
				p.Mode = policy.Enforce // worth asking about as well
			}
			if !yield(domain, p) {
				return
			}
		}
	}, func(domain policy.Domain, p policy.Policy) error {
		return out.add(func(buf []byte) []byte { return append(lineDomain(buf, domain, p), '\n') })
	})
	if err != nil {
		return report, err
	}
	return report, out.flush()
}
