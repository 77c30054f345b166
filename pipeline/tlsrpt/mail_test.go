package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// mailed is the document in the mails of these tests.
const mailed = `{"organization-name":"Sender","date-range":{"start-datetime":"2026-01-10T00:00:00Z","end-datetime":"2026-01-10T23:59:59Z"},` +
	`"contact-info":"tls@sender.example","report-id":"m1","policies":[{"policy":{"policy-type":"sts","policy-domain":"d.example"},` +
	`"summary":{"total-successful-session-count":7,"total-failure-session-count":0}}]}`

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// lines breaks base64 as RFC 2045 section 6.8 has it.
func lines(b []byte) string {
	text, out := base64.StdEncoding.EncodeToString(b), ""
	for len(text) > 76 {
		out, text = out+text[:76]+"\r\n", text[76:]
	}
	return out + text
}

// envelope is the header that a report's mail has, without what tells about its body.
const envelope = "From: TLS reports <tls@sender.example>\r\nTo: reports@operator.example\r\nDate: Sun, 11 Jan 2026 02:00:00 +0000\r\n" +
	"Message-ID: <m1@sender.example>\r\nSubject: Report Domain: d.example\r\n Submitter: sender.example\r\n Report-ID: <m1@sender.example>\r\n" +
	"TLS-Report-Domain: d.example\r\nTLS-Report-Submitter: sender.example\r\nMIME-Version: 1.0\r\n"

// part is a MIME part with a document.
func part(kind, encoding, body string) string {
	return "Content-Type: " + kind + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n" +
		"Content-Disposition: attachment; filename=\"sender.example!d.example!1768003200!1768089599!7.json.gz\"\r\n\r\n" + body
}

// report is the mail of RFC 8460 section 5.3 around a part.
func report(parts ...string) string {
	text := envelope + "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b1\"\r\n\r\nThis is MIME.\r\n--b1\r\n" +
		"Content-Type: text/plain; charset=us-ascii\r\n\r\nA report {about} TLS.\r\n"
	for _, p := range parts {
		text += "\r\n--b1\r\n" + p
	}
	return text + "\r\n--b1--\r\n"
}

func TestReadMail(t *testing.T) {
	const gz, js = "application/tlsrpt+gzip", "application/tlsrpt+json"
	packed := lines(zipped(mailed))
	quoted := strings.ReplaceAll(strings.ReplaceAll(mailed, "=", "=3D"), ",", ",=\r\n")
	unpadded := strings.TrimRight(base64.StdEncoding.EncodeToString(zipped(mailed+" ")), "=")
	for _, c := range []struct {
		name  string
		mail  string
		label bool // a note says that the label is wrong
	}{
		{"as RFC 8460 has it", report(part(gz, "base64", packed)), false},
		{"JSON", report(part(js, "7bit", mailed)), false},
		{"JSON as base64", report(part(js, "base64", lines([]byte(mailed)))), false},
		{"quoted-printable", report(part(js, "quoted-printable", quoted)), false},
		{"no padding, one line", report(part(gz, "base64", unpadded)), false},
		{"base64 in the other alphabet", report(part(gz, "base64", strings.NewReplacer("+", "-", "/", "_").Replace(packed))), false},
		{"blanks within base64", report(part(gz, "base64", strings.ReplaceAll(packed, "\r\n", "\r\n \t"))), false},
		{"a footer behind base64", report(part(gz, "base64", lines(zipped(mailed+strings.Repeat(" ", 200)))+"==\r\n\r\nThis mail was scanned.")), false},
		{"gzip labelled gzip", report(part("application/gzip; name=x.json.gz", "base64", packed)), true},
		{"gzip labelled octets", report(part("application/octet-stream", "BASE64", packed)), true},
		{"gzip labelled JSON", report(part(js, "base64", packed)), true},
		{"JSON labelled gzip", report(part(gz, "7bit", mailed)), true},
		{"JSON labelled text", report(part("text/plain; charset=utf-8", "8bit", mailed)), true},
		{"a label that is none", report(part("\x1b[31mred", "base64", packed)), true},
		{"base64 without a word of it", report(part(gz, "7bit", packed)), false},
		{"JSON as base64 without a word of it", report(part(js, "binary", lines([]byte(mailed)))), false},
		{"decoded, the label left on", report(part(js, "base64", mailed)), false},
		{"an unknown encoding", report(part(js, "x-none", mailed)), false},
		{"the body itself", envelope + part(gz, "base64", packed), false},
		{"the body without any label", envelope + "\r\n" + mailed, true},
		{"in a mixed within a related", report("Content-Type: multipart/related; boundary=b2\r\n\r\n--b2\r\n" + part(gz, "base64", packed) + "\r\n--b2--\r\n"), false},
		{"forwarded as an attachment", "From: postmaster@d.example\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n" + report(part(gz, "base64", packed)) + "\r\n--f--\r\n", false},
		{"forwarded, in base64 against RFC 2045", "From: postmaster@d.example\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines([]byte(report(part(gz, "base64", packed)))), false},
		{"line feeds alone", strings.ReplaceAll(report(part(gz, "base64", packed)), "\r\n", "\n"), false},
		{"from a mailbox", "From tls@sender.example Sun Jan 11 02:00:00 2026\n" + strings.ReplaceAll(report(part(gz, "base64", packed)), "\r\n", "\n"), false},
		{"a line that is no field", strings.Replace(report(part(gz, "base64", packed)), "Date:", "X-Scanned by a gateway\r\n with a fold\r\nDate:", 1), false},
		{"no last boundary", strings.TrimSuffix(report(part(gz, "base64", packed)), "\r\n--b1--\r\n"), false},
		{"cut off in a later part", strings.TrimSuffix(report(part(gz, "base64", packed), "Content-Type: text/plain\r\n\r\nfooter"), "oter\r\n--b1--\r\n"), false},
		{"a spoilt copy first", report(part(js, "7bit", mailed[:len(mailed)/2]), part(gz, "base64", packed)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := intake.ReadMail([]byte(c.mail), intake.DefaultMailLimits())
			if err != nil || len(found) != 1 {
				t.Fatalf("%d reports, %v, in\n%s", len(found), err, c.mail)
			}
			m := found[0]
			if m.Report.ID != "m1" || m.Report.Policies[0].Successful != 7 {
				t.Errorf("%+v", m.Report)
			}
			if m.From.String() != "sender.example" || m.Submitter.String() != "sender.example" || m.Hint.Domain.String() != "d.example" {
				t.Errorf("from %s, submitter %s, about %s", m.From, m.Submitter, m.Hint.Domain)
			}
			label := slices.ContainsFunc(m.Report.Notes, func(n tlsrpt.Note) bool { return n.Code == tlsrpt.NoteLabel })
			if label != c.label {
				t.Errorf("notes: %v", m.Report.Notes)
			}
			for _, n := range m.Report.Notes {
				if strings.ContainsFunc(n.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Errorf("the note %q is not printable", n)
				}
			}
			if _, err := tlsrpt.Read(m.Body, tlsrpt.DefaultLimits()); err != nil {
				t.Error("its body is not the document:", err)
			}
		})
	}
}

// The mail tells whom a report is about that does not say so itself: by a field, by its subject, by the file's name (case 5).
func TestMailTellsTheDomain(t *testing.T) {
	silent := strings.Replace(mailed, `"policy-type":"sts","policy-domain":"d.example"`, `"policy-type":"no-policy-found"`, 1)
	whole := report(part("application/tlsrpt+json", "7bit", silent))
	without := func(from, to string) string {
		_, rest, _ := strings.Cut(whole, from)
		head, _, _ := strings.Cut(whole, from)
		_, rest, _ = strings.Cut(rest, to)
		return head + rest
	}
	noField := without("TLS-Report-Domain:", "\r\n")
	for name, mail := range map[string]string{
		"field":            whole,
		"field in capital": strings.Replace(whole, "TLS-Report-Domain: d.example", "tls-report-domain:  <D.Example.>", 1),
		"subject":          noField,
		"subject, encoded": strings.Replace(noField, "Report Domain: d.example\r\n", "=?utf-8?q?Report_Domain:_d.example?=\r\n", 1),
		"file name":        strings.Replace(noField, "Subject: Report Domain:", "Subject: About", 1),
	} {
		found, err := intake.ReadMail([]byte(mail), intake.DefaultMailLimits())
		if err != nil {
			t.Fatal(name, err)
		}
		r := found[0].Report
		r.Attribute(found[0].Hint)
		if r.Policies[0].Domain.String() != "d.example" {
			t.Errorf("%s: %v", name, r.Notes)
		}
	}
	two := strings.Replace(strings.Replace(whole, "Subject: Report Domain:", "Subject: About", 1), "TLS-Report-Domain:", "TLS-Report-Domain: e.example\r\nTLS-Report-Domain:", 1)
	found, err := intake.ReadMail([]byte(two), intake.DefaultMailLimits())
	if err != nil || !found[0].Hint.Domain.IsZero() {
		t.Errorf("of two fields neither counts: %v, %v", found, err)
	}
}

func TestReadMailRefuses(t *testing.T) {
	const gz = "application/tlsrpt+gzip"
	deep := "Content-Type: message/rfc822\r\n\r\n"
	for _, c := range []struct {
		name string
		mail string
		want error
	}{
		{"nothing", "", intake.ErrNoReport},
		{"a letter", envelope + "\r\nHello {you},\r\nhow are you?\r\n", intake.ErrNoReport},
		{"another report", report(part("application/gzip", "base64", lines(zipped("<feedback/>")))), tlsrpt.ErrFormat},
		{"half a report", report(part("application/tlsrpt+json", "7bit", mailed[:len(mailed)/2])), tlsrpt.ErrFormat},
		{"half a gzip", report(part(gz, "base64", lines(zipped(mailed)[:80]))), tlsrpt.ErrFormat},
		{"a bomb", report(part(gz, "base64", lines(zipped(strings.Repeat("\x00", 1<<20))))), tlsrpt.ErrLimit},
		{"a large mail", envelope + "\r\n" + strings.Repeat("x", 9<<20), tlsrpt.ErrLimit},
		{"a large header", "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n" + mailed, tlsrpt.ErrLimit},
		{"many fields", strings.Repeat("X: y\r\n", 600) + "\r\n" + mailed, tlsrpt.ErrLimit},
		{"many parts", report(append(slices.Repeat([]string{"\r\nx"}, 100), part(gz, "base64", lines(zipped(mailed))))...), tlsrpt.ErrLimit},
		{"forwarded three times", strings.Repeat(deep, 3) + report(part(gz, "base64", lines(zipped(mailed)))), tlsrpt.ErrLimit},
		{"forwarded over and over", strings.Repeat(deep, 100) + report(part(gz, "base64", lines(zipped(mailed)))), tlsrpt.ErrLimit},
		{"multiparts over and over", envelope + nested(2000), tlsrpt.ErrLimit},
	} {
		found, err := intake.ReadMail([]byte(c.mail), intake.DefaultMailLimits())
		if !errors.Is(err, c.want) || len(found) > 0 {
			t.Errorf("%s: %d reports, %v, want %v", c.name, len(found), err, c.want)
		}
	}
}

func nested(levels int) string {
	var b strings.Builder
	for i := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + part("application/tlsrpt+json", "7bit", mailed)
}

// Hostile mails cost a few times their size, whatever they are made of. What was allocated in all is an upper bound of what was
// in use.
func TestReadMailMemory(t *testing.T) {
	const mb = 1 << 20
	filler := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 7*mb/78)
	for name, mail := range map[string]string{
		"a large part":          report("Content-Type: text/plain\r\n\r\n" + filler),
		"a large base64 part":   report("Content-Transfer-Encoding: base64\r\n\r\n" + filler),
		"a report and filler":   report(part("application/tlsrpt+json", "7bit", mailed+filler)),
		"parts within parts":    envelope + strings.Replace(nested(7), mailed, filler, 1),
		"forwarded twice":       strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 2) + envelope + "\r\n" + filler,
		"a boundary everywhere": report(strings.Repeat("\r\n--b1", mb)),
		"a bomb":                report(part("application/tlsrpt+gzip", "base64", lines(zipped(strings.Repeat("\x00", 16*mb))))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := intake.ReadMail([]byte(mail), intake.DefaultMailLimits())
		runtime.ReadMemStats(&after)
		spent := after.TotalAlloc - before.TotalAlloc
		t.Logf("figures: %s: %d KB of mail, %d KB allocated, %.60v", name, len(mail)>>10, spent>>10, err)
		if spent > 128*mb { // the race detector takes twice as much as the half that there is without
			t.Errorf("%s: %d bytes were allocated", name, spent)
		}
	}
}

// FuzzReadMail: whatever comes, nothing panics, caps hold, and what is found is a report.
func FuzzReadMail(f *testing.F) {
	for _, p := range []string{
		part("application/tlsrpt+gzip", "base64", lines(zipped(mailed))), part("application/tlsrpt+json", "7bit", mailed), part("text/plain", "quoted-printable", mailed),
	} {
		f.Add([]byte(report(p)))
		f.Add([]byte(envelope + p))
		f.Add([]byte("Content-Type: message/rfc822\r\n\r\n" + report(p)))
	}
	f.Add([]byte("From x\n" + nested(20)))
	limits := intake.DefaultMailLimits()
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		found, err := intake.ReadMail(raw, limits)
		if (err == nil) != (len(found) > 0) || len(found) > limits.Reports {
			t.Fatalf("%d reports, %v", len(found), err)
		}
		if !bytes.Equal(before, raw) {
			t.Fatal("the mail was changed")
		}
		for _, m := range found {
			if _, err := tlsrpt.Read(m.Body, limits.Report); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkReadMail finds the report in a mail as RFC 8460 has it, and reads the same document alone in the same run: the
// ratio of the two (mail/read) is what the mail around it costs.
//
//	go test ./pipeline/tlsrpt -run '^$' -bench BenchmarkReadMail
func BenchmarkReadMail(b *testing.B) {
	raw := []byte(report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed)))))
	document := zipped(mailed)
	var alone float64
	b.Run("document", func(b *testing.B) {
		for b.Loop() {
			if _, err := tlsrpt.Read(document, tlsrpt.DefaultLimits()); err != nil {
				b.Fatal(err)
			}
		}
		alone = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("mail", func(b *testing.B) {
		for b.Loop() {
			if _, err := intake.ReadMail(raw, intake.DefaultMailLimits()); err != nil {
				b.Fatal(err)
			}
		}
		ours := float64(b.Elapsed()) / float64(b.N)
		b.ReportMetric(1e9/ours, "mails/s")
		b.ReportMetric(ours/alone, "mail/read")
	})
}
