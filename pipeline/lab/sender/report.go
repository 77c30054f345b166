package sender

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// count adds a session to the entry of its policy.
func (s *Sender) count(to policy.Domain, p tlsrpt.Policy, d tlsrpt.Detail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.sessions[to], func(q *tlsrpt.Policy) bool { return q.Type == p.Type && slices.Equal(q.Strings, p.Strings) })
	if i < 0 {
		s.sessions[to] = append(s.sessions[to], &p)
		i = len(s.sessions[to]) - 1
	}
	entry := s.sessions[to][i]
	if d.Result == "" {
		entry.Successful++
		return
	}
	entry.Failed++
	for j := range entry.Details {
		if x := &entry.Details[j]; x.Result == d.Result && x.ReceivingMX == d.ReceivingMX && x.ReceivingIP == d.ReceivingIP {
			x.Failed++
			return
		}
	}
	d.SendingIP = netip.MustParseAddr("192.0.2.25")
	entry.Details = append(entry.Details, d)
}

// Report is what was seen of a domain, as the report of a day; ok is false when there was nothing but reports.
func (s *Sender) Report(day tlsrpt.Day, about policy.Domain) (r *tlsrpt.Report, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = &tlsrpt.Report{
		Organization: "The " + s.Name.String() + " lab", Contact: "tls@" + s.Name.String(), ID: fmt.Sprintf("%s_%s@%s", day, about, s.Name),
		Begin: day.Begin(), End: day.End(),
	}
	for _, p := range s.sessions[about] {
		r.Policies = append(r.Policies, *p)
	}
	return r, len(r.Policies) > 0
}

// Send sends a report to each destination that the domain's record names, and returns the first error. web reaches HTTPS hosts.
func (s *Sender) Send(ctx context.Context, r *tlsrpt.Report, about policy.Domain, web *http.Client) error {
	packed, err := pack(r)
	if err != nil {
		return err
	}
	for _, uri := range discovery.FindTLSRPT(ctx, s.dns, about).RUA {
		u, err := url.Parse(uri)
		if err != nil {
			return err
		}
		if u.Scheme == "https" {
			err = post(ctx, web, uri, packed)
		} else {
			err = s.mail(ctx, r, about, u.Opaque)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", uri, err)
		}
	}
	return nil
}

// post is RFC 8460 section 5.4.
func post(ctx context.Context, web *http.Client, uri string, packed []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(packed))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	answer, err := web.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", answer.Status, said)
	}
	return nil
}

// pack is a report as it goes out.
func pack(r *tlsrpt.Report) ([]byte, error) {
	text, err := tlsrpt.Marshal(r)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// mail brings a report to an address.
func (s *Sender) mail(ctx context.Context, r *tlsrpt.Report, about policy.Domain, address string) error {
	at := strings.LastIndexByte(address, '@')
	to, err := policy.NormalizeDomain(address[at+1:])
	if err != nil {
		return err
	}
	signed, err := s.Mail(r, about, address)
	if err != nil {
		return err
	}
	return s.deliver(ctx, to, address, signed, true)
}

// Mail is the mail of RFC 8460 section 5.3 that brings a report to an address, signed (RFC 6376), with CRLF line ends.
func (s *Sender) Mail(r *tlsrpt.Report, about policy.Domain, address string) ([]byte, error) {
	packed, err := pack(r)
	if err != nil {
		return nil, err
	}
	var signed bytes.Buffer
	err = dkim.Sign(&signed, strings.NewReader(s.message(r, about, address, packed)), &dkim.SignOptions{
		Domain: s.Name.String(), Selector: selector, Signer: s.key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	return signed.Bytes(), err
}

func (s *Sender) message(r *tlsrpt.Report, about policy.Domain, address string, packed []byte) string {
	const boundary = "----=_lab"
	var b strings.Builder
	for _, line := range []string{
		"From: tls@" + s.Name.String(), "To: " + address, "Date: " + r.End.Format("Mon, 02 Jan 2006 15:04:05 -0700"), "Message-ID: <" + r.ID + ">",
		fmt.Sprintf("Subject: Report Domain: %s Submitter: %s Report-ID: <%s>", about, s.Name, r.ID),
		"TLS-Report-Domain: " + about.String(), "TLS-Report-Submitter: " + s.Name.String(), "TLS-Required: No", "MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type="tlsrpt"; boundary="` + boundary + `"`, "",
		"--" + boundary, "Content-Type: text/plain; charset=us-ascii", "", "This is a report about TLS.", "",
		"--" + boundary, "Content-Type: application/tlsrpt+gzip", "Content-Transfer-Encoding: base64",
		fmt.Sprintf(`Content-Disposition: attachment; filename="%s!%s!%d!%d.json.gz"`, s.Name, about, r.Begin.Unix(), r.End.Unix()), "",
	} {
		b.WriteString(line + "\r\n")
	}
	for text := base64.StdEncoding.EncodeToString(packed); text != ""; {
		n := min(len(text), 76) // RFC 2045 section 6.8
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.String()
}
