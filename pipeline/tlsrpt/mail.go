package tlsrpt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// MailLimits cap what one mail may cost.
type MailLimits struct {
	Size    int // bytes of the whole message
	Header  int // bytes of one header block
	Fields  int // fields of one header block
	Parts   int // parts that are looked into, over all levels
	Depth   int // multiparts and forwarded messages within each other
	Forward int // forwarded messages within each other: each is kept whole, for its signatures
	Reports int // documents in one mail; RFC 8460 section 5.3 has one
	Report  tlsrpt.Limits
}

// DefaultMailLimits fit what large providers send and their gateways add.
func DefaultMailLimits() MailLimits {
	return MailLimits{Size: 8 << 20, Header: 256 << 10, Fields: 500, Parts: 64, Depth: 8, Forward: 2, Reports: 8, Report: tlsrpt.DefaultLimits()}
}

// ErrNoReport says that a mail has nothing in it that looks like a report.
var ErrNoReport = errors.New("the mail has no TLS report in it")

// Mailed is a report that came by mail.
type Mailed struct {
	Report *tlsrpt.Report // read, not yet attributed
	Body   []byte         // the document without its transfer encoding: gzip or JSON
	// Hint has what the mail's fields and the attachment's file name tell, for Report.Attribute; its Received is zero. Authenticate
	// takes out what a signature does not cover.
	Hint tlsrpt.Hint
	// From is the domain of the one address in From, Submitter that of TLS-Report-Submitter (RFC 8460 section 5.3), or the
	// subject's. Both are claims; zero if there is none. See Authenticate.
	From, Submitter policy.Domain

	message []byte         // the innermost message around the report, as it was signed
	header  message.Header // its header
	// domainField and nameField are the fields of that header which Hint's Domain and FileName are from; "" for none.
	domainField, nameField string
}

// ReadMail finds the reports in a message (RFC 5322), wherever a gateway has put them: in a multipart/report as RFC 8460
// section 5.3 has it, as any attachment or the body, under any label and file name, with its transfer encoding wrong or lost, or
// in a message that was forwarded as an attachment. What a part is, is told by its first bytes. Errors wrap ErrNoReport, or
// tlsrpt.ErrFormat or ErrLimit when there is a report that cannot be read, and none that can. raw is kept, not changed.
func ReadMail(raw []byte, limits MailLimits) ([]*Mailed, error) {
	if len(raw) > limits.Size {
		return nil, fmt.Errorf("%w: a mail of more than %d bytes", tlsrpt.ErrLimit, limits.Size)
	}
	w := &mailWalk{limits: limits}
	w.message(raw, 0, 0)
	switch {
	case len(w.found) > 0:
		return w.found, nil
	case w.err != nil:
		return nil, w.err
	}
	return nil, ErrNoReport
}

// mailWalk goes through a message's parts.
type mailWalk struct {
	limits MailLimits
	parts  int
	found  []*Mailed
	err    error    // the first of what looked like a report and was none, or went over a limit
	around envelope // of the innermost message around
}

// envelope is what a report's mail tells of it.
type envelope struct {
	message   []byte
	header    message.Header
	forwarded int // how many are around it
}

func (w *mailWalk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// message reads a message from its first byte. A mailbox's "From " line in front, as a delivery agent may leave it, is passed over.
func (w *mailWalk) message(raw []byte, depth, forwarded int) {
	for _, sign := range []string{"From ", ">From "} {
		if _, rest, ok := bytes.Cut(raw, []byte("\n")); ok && bytes.HasPrefix(raw, []byte(sign)) {
			raw = rest
		}
	}
	header, body, err := splitHeader(raw, w.limits)
	if err != nil {
		w.fail(err)
		return
	}
	outer := w.around
	w.around = envelope{raw, header, forwarded}
	w.entity(header, bytes.NewReader(body), depth, true)
	w.around = outer
}

// splitHeader reads a header block, without the lines in it that are no fields: a gateway's slip must not cost the report.
func splitHeader(raw []byte, limits MailLimits) (message.Header, []byte, error) {
	var clean bytes.Buffer
	rest, fields, kept := raw, 0, false
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		rest = after
		if len(line) == 0 {
			break
		}
		if len(raw)-len(rest) > limits.Header {
			return message.Header{}, nil, fmt.Errorf("%w: a mail header of more than %d bytes", tlsrpt.ErrLimit, limits.Header)
		}
		if folded := line[0] == ' ' || line[0] == '\t'; !folded {
			name, _, colon := bytes.Cut(line, []byte(":"))
			kept = colon && isFieldName(bytes.TrimRight(name, " \t"))
			fields++
		}
		if fields > limits.Fields {
			return message.Header{}, nil, fmt.Errorf("%w: a mail header of more than %d fields", tlsrpt.ErrLimit, limits.Fields)
		}
		if kept {
			clean.Write(line)
			clean.WriteString("\r\n")
		}
	}
	clean.WriteString("\r\n")
	h, err := textproto.ReadHeader(bufio.NewReader(&clean))
	if err != nil {
		return message.Header{}, nil, fmt.Errorf("%w: the mail's header is damaged", tlsrpt.ErrFormat)
	}
	return message.Header{Header: h}, rest, nil
}

// isFieldName holds for the characters of RFC 5322 section 2.2.
func isFieldName(name []byte) bool {
	return len(name) > 0 && bytes.IndexFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) < 0
}

// entity looks into a part: a multipart, a forwarded message, or a leaf that may be a report. top says that it is the message
// itself. Only a leaf and a forwarded message are taken into memory, so that parts within parts cost no more than one.
func (w *mailWalk) entity(header message.Header, body io.Reader, depth int, top bool) {
	if depth > w.limits.Depth {
		w.fail(fmt.Errorf("%w: a mail of more than %d levels", tlsrpt.ErrLimit, w.limits.Depth))
		return
	}
	w.parts++
	kind, params, _ := header.ContentType()
	kind = strings.ToLower(kind)
	switch {
	case strings.HasPrefix(kind, "multipart/") && params["boundary"] != "":
		w.multipart(body, params["boundary"], depth)
	case kind == "message/rfc822" || kind == "message/global":
		w.forwarded(header, body, depth)
	default:
		w.leaf(header, body, top)
	}
}

func (w *mailWalk) multipart(body io.Reader, boundary string, depth int) {
	parts := textproto.NewMultipartReader(body, boundary)
	for len(w.found) < w.limits.Reports {
		part, err := parts.NextPart()
		if err != nil {
			return // the end, or what follows it cannot be told apart
		}
		if w.parts >= w.limits.Parts {
			w.fail(fmt.Errorf("%w: a mail of more than %d parts", tlsrpt.ErrLimit, w.limits.Parts))
			return
		}
		w.entity(message.Header{Header: part.Header}, part, depth+1, false)
	}
}

// forwarded reads a message within the message. RFC 2046 section 5.2.1 forbids to encode it; not all know.
func (w *mailWalk) forwarded(header message.Header, body io.Reader, depth int) {
	if w.around.forwarded >= w.limits.Forward {
		w.fail(fmt.Errorf("%w: more than %d forwarded messages within each other", tlsrpt.ErrLimit, w.limits.Forward))
		return
	}
	raw, _ := io.ReadAll(body) // a message cut off midway has the rest of its last part
	w.message(decodings(header.Get("Content-Transfer-Encoding"), raw)[0], depth+1, w.around.forwarded+1)
}

// leaf takes a part that is a report under one of its possible readings.
func (w *mailWalk) leaf(header message.Header, body io.Reader, top bool) {
	// Base64 takes a third more than what it encodes. What is cut here is over the limit below.
	most := int64(w.limits.Report.Compressed)*3/2 + 1024
	raw, _ := io.ReadAll(io.LimitReader(body, most)) // as above
	for _, document := range decodings(header.Get("Content-Transfer-Encoding"), raw) {
		if !looksLikeReport(document) {
			continue
		}
		report, err := tlsrpt.Read(document, w.limits.Report)
		if err != nil {
			w.fail(err)
			continue
		}
		m := &Mailed{Report: report, Body: document, message: w.around.message, header: w.around.header}
		m.label(header, document)
		m.describe(header)
		switch {
		case top && sole(header, m.nameField) == "":
			m.Hint.FileName = "" // it stands twice, and a signature covers one of them
		case !top:
			m.nameField = "" // a part's header is in the body of the message, which every signature covers
		}
		w.found = append(w.found, m)
		return
	}
}

// looksLikeReport tells gzip and JSON objects from text and pictures.
func looksLikeReport(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\ufeff")), "\r\n\t ")
	return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) || bytes.HasPrefix(b, []byte("{"))
}

// label notes a media type that is not the one of RFC 8460 section 5.4 for what the document is.
func (m *Mailed) label(header message.Header, document []byte) {
	kind, _, _ := header.ContentType()
	want := "application/tlsrpt+json"
	if bytes.HasPrefix(bytes.TrimLeft(document, "\r\n\t "), []byte{0x1f, 0x8b}) {
		want = "application/tlsrpt+gzip"
	}
	if strings.EqualFold(kind, want) {
		return
	}
	m.Report.Notes = append(m.Report.Notes, tlsrpt.Note{Code: tlsrpt.NoteLabel, Text: fmt.Sprintf("the part is labelled %s and is %s", shortQuote(kind), want)})
}

// shortQuote makes text of a mail fit for a note.
func shortQuote(s string) string { return fmt.Sprintf("%+q", s[:min(len(s), 60)]) }

// describe takes what the mail tells about its report.
func (m *Mailed) describe(part message.Header) {
	_, disposition, _ := part.ContentDisposition()
	_, kind, _ := part.ContentType()
	m.Hint.FileName, m.nameField = disposition["filename"], "Content-Disposition"
	if m.Hint.FileName == "" {
		m.Hint.FileName, m.nameField = kind["name"], "Content-Type"
	}
	subject := parseSubject(m.header)
	m.Hint.Domain, m.domainField = firstDomain(sole(m.header, "TLS-Report-Domain")), "TLS-Report-Domain"
	if m.Hint.Domain.IsZero() {
		m.Hint.Domain, m.domainField = firstDomain(subject["report domain"]), "Subject"
	}
	m.Submitter = firstDomain(sole(m.header, "TLS-Report-Submitter"), subject["submitter"])
	if addresses, err := mail.ParseAddressList(sole(m.header, "From")); err == nil && len(addresses) == 1 {
		_, domain, _ := strings.Cut(addresses[0].Address, "@")
		m.From = firstDomain(domain)
	}
}

// sole returns a field's value, "" when it is absent or stands more than once: two programs might each go by another.
func sole(header message.Header, name string) string {
	fields := header.FieldsByKey(name)
	if fields.Len() != 1 || !fields.Next() {
		return ""
	}
	return fields.Value()
}

func firstDomain(candidates ...string) policy.Domain {
	for _, s := range candidates {
		if d, err := policy.NormalizeDomain(strings.Trim(s, " \t<>\"")); err == nil {
			return d
		}
	}
	return policy.Domain{}
}

// parseSubject reads "Report Domain: d.example Submitter: s.example Report-ID: <1@s.example>" (RFC 8460 section 5.3) by lower-case
// names.
func parseSubject(header message.Header) map[string]string {
	// Of two, a signature covers the last (RFC 6376 section 5.4.2), and a stranger may have put the first above it.
	subject, _ := header.Text("Subject")
	if len(subject) > 2048 || sole(header, "Subject") == "" {
		return nil
	}
	values, name := map[string]string{}, ""
	words := strings.Fields(subject)
	for i, word := range words {
		switch lower := strings.ToLower(word); {
		case lower == "domain:" && i > 0 && strings.EqualFold(words[i-1], "report"):
			name = "report domain"
		case lower == "submitter:":
			name = "submitter"
		case name != "":
			values[name], name = word, ""
		}
	}
	return values
}
