package tlsrpt_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// signing is a lab whose DNS has DKIM keys of a few domains.
type signing struct {
	t       *testing.T
	lab     *lab.Lab
	client  *discovery.Client
	ed, rsa crypto.Signer
}

func newSigning(t *testing.T) *signing {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	client, err := discovery.NewClient(discovery.Options{Resolver: l.Resolver(), Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &signing{t, l, client, ed, long}
}

// publish puts a key record under the selector of a domain; tags come before its p=.
func (s *signing) publish(selector, domain, tags string, key crypto.Signer) {
	s.t.Helper()
	kind, public := "ed25519", []byte(nil)
	switch p := key.Public().(type) {
	case ed25519.PublicKey:
		public = p
	case *rsa.PublicKey:
		var err error
		if public, err = x509.MarshalPKIXPublicKey(p); err != nil {
			s.t.Fatal(err)
		}
		kind = "rsa"
	}
	text := "v=DKIM1; k=" + kind + "; " + tags + "p=" + base64.StdEncoding.EncodeToString(public)
	quoted := ""
	for len(text) > 200 {
		quoted, text = quoted+fmt.Sprintf("%q ", text[:200]), text[200:]
	}
	if err := s.lab.AddRecord(selector + "._domainkey." + domain + ". 60 IN TXT " + quoted + fmt.Sprintf("%q", text)); err != nil {
		s.t.Fatal(err)
	}
}

// sign puts a signature on top of a mail; fields are those signed, nil for all.
func (s *signing) sign(mail, selector, domain string, key crypto.Signer, fields ...string) string {
	s.t.Helper()
	var out bytes.Buffer
	err := dkim.Sign(&out, strings.NewReader(mail), &dkim.SignOptions{
		Domain: domain, Selector: selector, Signer: key, HeaderKeys: fields,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

func (s *signing) authenticate(mail string) intake.Authentication {
	s.t.Helper()
	found, err := intake.ReadMail([]byte(mail), intake.DefaultMailLimits())
	if err != nil {
		s.t.Fatal(err)
	}
	return found[0].Authenticate(context.Background(), s.client)
}

func TestAuthenticate(t *testing.T) {
	s := newSigning(t)
	s.publish("a", "sender.example", "", s.ed)
	s.publish("r", "sender.example", "", s.rsa)
	s.publish("t", "sender.example", "s=tlsrpt; ", s.ed)
	s.publish("e", "sender.example", "s=email : tlsrpt; ", s.ed)
	s.publish("other", "sender.example", "s=dns; ", s.ed)
	s.publish("test", "sender.example", "t=s : y; ", s.ed)
	s.publish("strict", "sender.example", "t=s; ", s.ed)
	s.publish("a", "reports.sender.example", "", s.ed)
	s.publish("a", "gateway.example", "", s.ed)
	s.publish("a", "co.uk", "", s.ed)
	if err := s.lab.AddRecord("gone._domainkey.sender.example. 60 IN TXT \"v=DKIM1; p=\""); err != nil {
		t.Fatal(err)
	}
	plain := report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed))))
	signed := s.sign(plain, "a", "sender.example", s.ed)
	from := func(domain string) string {
		return strings.Replace(plain, "@sender.example>\r\nTo", "@"+domain+">\r\nTo", 1)
	}
	forwarded := "From: postmaster@gateway.example\r\nContent-Type: message/rfc822\r\n\r\n"
	for _, c := range []struct {
		name string
		mail string
		want string // who sent it; "" for nobody
		why  string // in a reason
	}{
		{"Ed25519", signed, "sender.example", ""},
		{"RSA", s.sign(plain, "r", "sender.example", s.rsa), "sender.example", ""},
		{"a key for tlsrpt alone", s.sign(plain, "t", "sender.example", s.ed), "sender.example", ""},
		{"a key for two services", s.sign(plain, "e", "sender.example", s.ed), "sender.example", ""},
		{"a key with another flag", s.sign(plain, "strict", "sender.example", s.ed), "sender.example", ""},
		{"a sub-domain of the sender's", s.sign(plain, "a", "reports.sender.example", s.ed), "sender.example", ""},
		{"From a sub-domain", s.sign(from("mail.sender.example"), "a", "sender.example", s.ed), "sender.example", ""},
		{"on behalf of another, who signed for it", s.sign(from("platform.example"), "a", "sender.example", s.ed), "sender.example", ""},
		{"a gateway's signature on top", s.sign(signed, "a", "gateway.example", s.ed), "sender.example", ""},
		{"a broken signature on top", strings.Replace(s.sign(signed, "a", "gateway.example", s.ed), " bh=", " bh=AAAA", 1), "sender.example", ""},
		{"line feeds alone", strings.ReplaceAll(signed, "\r\n", "\n"), "sender.example", ""},
		{"forwarded whole", forwarded + signed, "sender.example", ""},
		{"forwarded as an attachment", "From: postmaster@gateway.example\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nSee below.\r\n--f\r\n" +
			"Content-Type: message/rfc822\r\n\r\n" + signed + "\r\n--f--\r\n", "sender.example", ""},
		{"from a mailbox", "From tls@sender.example Sun Jan 11 02:00:00 2026\n" + strings.ReplaceAll(signed, "\r\n", "\n"), "sender.example", ""},
		{"with a gateway's fields on top", "Received: by gateway.example\r\nDelivered-To: x@d.example\r\n" + signed, "sender.example", ""},

		{"unsigned", plain, "", "no DKIM signature"},
		{"forwarded and signed by who forwards", s.sign(forwarded+plain, "a", "gateway.example", s.ed), "", "no DKIM signature"},
		{"a gateway's signature alone", s.sign(plain, "a", "gateway.example", s.ed), "", "but the mail is from sender.example"},
		{"on behalf of another, without a word of it", s.sign(from("platform.example"), "a", "sender.example", s.ed, "From", "Date"), "", "but the mail is from platform.example"},
		{"another body", strings.Replace(signed, "about", "About", 1), "", "body hash did not verify"},
		{"another domain", strings.Replace(signed, "TLS-Report-Domain: d.", "TLS-Report-Domain: e.", 1), "", "signature did not verify"},
		{"another key", s.sign(plain, "r", "sender.example", s.ed), "", "inappropriate key"},
		{"a key that was withdrawn", s.sign(plain, "gone", "sender.example", s.ed), "", "revoked"},
		{"no such key", s.sign(plain, "none", "sender.example", s.ed), "", "no valid key"},
		{"a key for something else", s.sign(plain, "other", "sender.example", s.ed), "", "inappropriate service"},
		{"a key for tests", s.sign(plain, "test", "sender.example", s.ed), "", "marked as a test"},
		{"a public suffix", s.sign(from("co.uk"), "a", "co.uk", s.ed), "", "below which anybody may register"},
		{"a second From", "From: tls@big.example\r\n" + signed, "", "more or less than one From"},
		{"junk for a signature", "DKIM-Signature: \x1b[31m; v=1\r\n" + plain, "", "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.authenticate(c.mail)
			why := strings.Join(a.Reasons, "; ")
			if a.Submitter.String() != c.want || !strings.Contains(why, c.why) || (c.want == "") != (why != "") {
				t.Errorf("submitter %q because %q; want %q because %q", a.Submitter, why, c.want, c.why)
			}
			if a.Temporary || strings.ContainsFunc(why, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("temporary %t, %q", a.Temporary, why)
			}
		})
	}
}

// A field or a file name that somebody has added to a signed mail moves no sessions to another domain.
func TestAuthenticatedHint(t *testing.T) {
	s := newSigning(t)
	s.publish("a", "sender.example", "", s.ed)
	bare := strings.Replace(envelope, "TLS-Report-Domain: d.example\r\n", "", 1)
	bare = strings.Replace(bare, "Subject: Report Domain: d.example\r\n Submitter", "Subject: Report\r\n Submitter", 1)
	added := "TLS-Report-Domain: e.example\r\n"
	disposed := "Content-Disposition: attachment; filename=\"sender.example!e.example!1768003200!1768089599.json\"\r\n"
	inPart := strings.Replace(report(part("application/tlsrpt+json", "7bit", mailed)), envelope, bare, 1)
	inBody := bare + "Content-Type: application/tlsrpt+json\r\n\r\n" + mailed
	for _, c := range []struct {
		name            string
		mail            string
		domain, domain2 string // by the field, by the file name
	}{
		{"a signed field", s.sign(strings.Replace(inPart, "MIME-Version", "TLS-Report-Domain: d.example\r\nMIME-Version", 1), "a", "sender.example", s.ed), "d.example", "d.example"},
		{"a field that was added", added + s.sign(inPart, "a", "sender.example", s.ed), "", "d.example"},
		{"a field beside the signed ones", s.sign(added+inPart, "a", "sender.example", s.ed, "From", "Subject"), "", "d.example"},
		{"a signed subject", s.sign(strings.Replace(inPart, "Subject: Report", "Subject: Report Domain: d.example", 1), "a", "sender.example", s.ed), "d.example", "d.example"},
		{"a subject beside the signed ones", s.sign(strings.Replace(inPart, "Subject: Report", "Subject: Report Domain: e.example", 1), "a", "sender.example", s.ed, "From"), "", "d.example"},
		{"a second subject", "Subject: Report Domain: e.example\r\n" + s.sign(strings.Replace(inPart, "Subject: Report", "Subject: Report Domain: d.example", 1), "a", "sender.example", s.ed), "", "d.example"},
		{"a second file name", strings.Replace(disposed, "e.example", "f.example", 1) + s.sign(disposed+inBody, "a", "sender.example", s.ed), "", ""},
		{"a signed file name", s.sign(disposed+inBody, "a", "sender.example", s.ed), "", "e.example"},
		{"a file name that was added", disposed + s.sign(inBody, "a", "sender.example", s.ed), "", ""},
	} {
		found, err := intake.ReadMail([]byte(c.mail), intake.DefaultMailLimits())
		if err != nil {
			t.Fatal(c.name, err)
		}
		a := found[0].Authenticate(context.Background(), s.client)
		name, _ := tlsrpt.ParseFileName(found[0].Hint.FileName)
		if a.Submitter.String() != "sender.example" || found[0].Hint.Domain.String() != c.domain || name.Domain.String() != c.domain2 {
			t.Errorf("%s: %q is told by %+v, for %v", c.name, found[0].Hint.Domain, found[0].Hint, a)
		}
	}
}

// A resolver that fails is not a bad signature: the mail is to come again.
func TestAuthenticateLater(t *testing.T) {
	s := newSigning(t)
	s.publish("a", "sender.example", "", s.ed)
	signed := s.sign(report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed)))), "a", "sender.example", s.ed)
	if err := s.lab.SetFault("a._domainkey.sender.example", "TXT", lab.DNSServFail); err != nil {
		t.Fatal(err)
	}
	if a := s.authenticate(signed); !a.Submitter.IsZero() || !a.Temporary || len(a.Reasons) == 0 {
		t.Errorf("%+v", a)
	}
}

// However many signatures a mail has, few are looked at.
func TestAuthenticateFew(t *testing.T) {
	s := newSigning(t)
	mail := report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed))))
	for i := range 20 {
		mail = s.sign(mail, fmt.Sprintf("s%d", i), "many.example", s.ed)
	}
	s.authenticate(mail)
	asked := 0
	for i := range 20 {
		asked += s.lab.Asked(fmt.Sprintf("s%d._domainkey.many.example", i), "TXT")
	}
	if asked == 0 || asked > 5 {
		t.Errorf("%d keys were looked up", asked)
	}
}

// Key records of absurd size are not computed with.
func TestAuthenticateHugeKey(t *testing.T) {
	s := newSigning(t)
	huge := strings.Repeat("\""+strings.Repeat("A", 250)+"\" ", 20)
	if err := s.lab.AddRecord("a._domainkey.sender.example. 60 IN TXT \"v=DKIM1; k=rsa; p=\" " + huge); err != nil {
		t.Fatal(err)
	}
	a := s.authenticate(s.sign(report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed)))), "a", "sender.example", s.rsa))
	if why := strings.Join(a.Reasons, ""); !strings.Contains(why, "a key record of 5") {
		t.Error(why)
	}
}

// fixedKey answers every look-up with one record.
type fixedKey string

func (k fixedKey) LookupTXT(_ context.Context, name string) discovery.Answer {
	return discovery.Answer{Name: name, Type: "TXT", Status: discovery.NoError, TXT: []string{string(k)}}
}

// FuzzAuthenticate: whatever signatures and key records hold, nothing panics, and reasons are printable. Who holds no key signs
// nothing: the only record that a signature could verify with is the fuzzer's own.
func FuzzAuthenticate(f *testing.F) {
	mail := report(part("application/tlsrpt+gzip", "base64", lines(zipped(mailed))))
	f.Add("v=1; a=rsa-sha256; d=sender.example; s=a; h=from; bh=AAAA; b=AAAA", "v=DKIM1; k=rsa; s=tlsrpt; p=AAAA")
	f.Add("v=1; a=ed25519-sha256; c=relaxed/relaxed; d=sender.example; s=a; h=From:TLS-Report-Submitter; bh=; b=", "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add("v=1; q=dns/txt; l=0; t=x; x=-1", "s=*:tlsrpt; s=;;p")
	f.Fuzz(func(t *testing.T, signature, key string) {
		signature = strings.NewReplacer("\r", "", "\n", "").Replace(signature)
		found, err := intake.ReadMail([]byte("DKIM-Signature: "+signature+"\r\n"+mail), intake.DefaultMailLimits())
		if err != nil {
			return // the header is over a limit
		}
		a := found[0].Authenticate(context.Background(), fixedKey(key))
		if strings.ContainsFunc(strings.Join(a.Reasons, ""), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", a.Reasons)
		}
		if !a.Submitter.IsZero() && a.Submitter.String() != "sender.example" {
			t.Errorf("%+v", a)
		}
	})
}
