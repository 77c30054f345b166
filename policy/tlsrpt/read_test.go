package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// plain is a report without a flaw, after the example of RFC 8460 appendix B.
const plain = `{
 "organization-name": "Company-X",
 "date-range": {"start-datetime": "2026-01-10T00:00:00Z", "end-datetime": "2026-01-10T23:59:59Z"},
 "contact-info": "sts-reporting@company-x.example",
 "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
 "policies": [{
  "policy": {
   "policy-type": "sts",
   "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
   "policy-domain": "company-y.example",
   "mx-host": ["*.mail.company-y.example"]
  },
  "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
  "failure-details": [
   {"result-type": "certificate-expired", "sending-mta-ip": "2001:db8:abcd:12::1",
    "receiving-mx-hostname": "mx1.mail.company-y.example", "failed-session-count": 100},
   {"result-type": "starttls-not-supported", "sending-mta-ip": "2001:db8:abcd:13::1",
    "receiving-mx-hostname": "mx2.mail.company-y.example", "receiving-ip": "203.0.113.56", "failed-session-count": 200,
    "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"},
   {"result-type": "validation-failure", "sending-mta-ip": "198.51.100.62", "receiving-ip": "203.0.113.58",
    "receiving-mx-hostname": "mx-backup.mail.company-y.example", "failed-session-count": 3,
    "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"}
  ]
 }]
}`

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t testing.TB, document string) *tlsrpt.Report {
	t.Helper()
	r, err := tlsrpt.Read([]byte(document), tlsrpt.DefaultLimits())
	if err != nil {
		t.Fatalf("%v in %.300s", err, document)
	}
	return r
}

func TestReadPlain(t *testing.T) {
	for name, data := range map[string][]byte{"JSON": []byte(plain), "gzip": zip(t, plain)} {
		r, err := tlsrpt.Read(data, tlsrpt.DefaultLimits())
		if err != nil {
			t.Fatal(name, err)
		}
		if len(r.Notes) > 0 {
			t.Errorf("%s: %v", name, r.Notes)
		}
		p := r.Policies[0]
		if r.Organization != "Company-X" || r.Contact != "sts-reporting@company-x.example" || r.ID != "5065427c-23d3-47ca-b6e0-946ea0e8c4be" ||
			r.End.Sub(r.Begin).Seconds() != 86399 || p.Type != tlsrpt.STS || p.Domain != domain(t, "company-y.example") ||
			len(p.Strings) != 4 || p.MXHosts[0] != "*.mail.company-y.example" || p.Successful != 5326 || p.Failed != 303 || len(p.Details) != 3 {
			t.Errorf("%s: %+v", name, r)
		}
		d := p.Details[1]
		if d.Result != tlsrpt.STARTTLSNotSupported || d.SendingIP.String() != "2001:db8:abcd:13::1" || d.ReceivingIP.String() != "203.0.113.56" ||
			d.ReceivingMX != "mx2.mail.company-y.example" || d.Failed != 200 || !strings.HasSuffix(d.Information, "#StarttlsNotSupported") ||
			p.Details[2].Reason != "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED" || p.Details[0].ReceivingIP.IsValid() {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Refused documents say why, and wrap the error by which the answer is chosen.
func TestReadRefuses(t *testing.T) {
	packed := zip(t, plain)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":              {nil, tlsrpt.ErrFormat},
		"a number":             {[]byte("1"), tlsrpt.ErrFormat},
		"HTML":                 {[]byte("<html>"), tlsrpt.ErrFormat},
		"an empty object":      {[]byte("{}"), tlsrpt.ErrFormat},
		"another object":       {[]byte(`{"feedback":{"report_metadata":{}}}`), tlsrpt.ErrFormat},
		"half a report":        {[]byte(plain[:len(plain)/2]), tlsrpt.ErrFormat},
		"half a gzip":          {packed[:len(packed)/2], tlsrpt.ErrFormat},
		"a gzip header":        {packed[:5], tlsrpt.ErrFormat},
		"a flipped bit":        {append(bytes.Clone(packed[:60]), append([]byte{packed[60] ^ 8}, packed[61:]...)...), tlsrpt.ErrFormat},
		"a string without end": {[]byte(`{"report-id":"x`), tlsrpt.ErrFormat},
		"1 MB of zeros":        {zip(t, strings.Repeat("\x00", 1<<20)), tlsrpt.ErrLimit},
		"a million deep":       {[]byte(strings.Repeat("[", 1e6)), tlsrpt.ErrFormat},
		"deep in a member":     {[]byte(`{"x":` + strings.Repeat("[", 1e6)), tlsrpt.ErrLimit},
		"too large":            {bytes.Repeat([]byte(" "), 5<<20), tlsrpt.ErrLimit},
		"too many policies":    {[]byte(`{"policies":[` + strings.Repeat(`{},`, 2000) + `{}]}`), tlsrpt.ErrLimit},
	} {
		r, err := tlsrpt.Read(c.data, tlsrpt.DefaultLimits())
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v; %+v", name, err, c.want, r)
		}
	}
}
