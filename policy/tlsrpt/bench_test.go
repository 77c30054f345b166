package tlsrpt_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// bareReport is what encoding/json needs to be told to take from a report as much as Read does, without any of its care.
type bareReport struct {
	Organization string `json:"organization-name"`
	Range        struct {
		Begin string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	} `json:"date-range"`
	Contact  string `json:"contact-info"`
	ID       string `json:"report-id"`
	Policies []struct {
		Policy struct {
			Type    string   `json:"policy-type"`
			Strings []string `json:"policy-string"`
			Domain  string   `json:"policy-domain"`
			MXHosts []string `json:"mx-host"`
		} `json:"policy"`
		Summary struct {
			Successful int64 `json:"total-successful-session-count"`
			Failed     int64 `json:"total-failure-session-count"`
		} `json:"summary"`
		Details []struct {
			Result        string `json:"result-type"`
			SendingIP     string `json:"sending-mta-ip"`
			ReceivingMX   string `json:"receiving-mx-hostname"`
			ReceivingHELO string `json:"receiving-mx-helo"`
			ReceivingIP   string `json:"receiving-ip"`
			Failed        int64  `json:"failed-session-count"`
			Information   string `json:"additional-information"`
			Reason        string `json:"failure-reason-code"`
		} `json:"failure-details"`
	} `json:"policies"`
}

// BenchmarkRead reads reports of three sizes, and has encoding/json decode the same in the same run: the ratio of the two is
// what may be compared between machines (bare/read: above 1, Read is the faster).
//
//	go test ./policy/tlsrpt -run '^$' -bench BenchmarkRead
func BenchmarkRead(b *testing.B) {
	detail := `{"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:12::1","receiving-mx-hostname":"mx1.mail.d.example","receiving-ip":"203.0.113.56","failed-session-count":1}`
	for _, c := range []struct{ name, text string }{
		{"daily", entries("sts d.example 123/0")},
		{"example", plain},
		{"large", ranged(`{"policy":{"policy-type":"sts","policy-domain":"d.example"},"summary":{"total-successful-session-count":1,"total-failure-session-count":5000},"failure-details":[` +
			strings.Repeat(detail+",\n", 4999) + detail + `]}`)},
	} {
		data, packed := []byte(c.text), zip(b, c.text)
		var bare, ours float64
		b.Run(c.name+"/bare", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var r bareReport
				if err := json.Unmarshal(data, &r); err != nil {
					b.Fatal(err)
				}
			}
			bare = float64(b.Elapsed()) / float64(b.N)
		})
		b.Run(c.name+"/read", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tlsrpt.Read(data, tlsrpt.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
			ours = float64(b.Elapsed()) / float64(b.N)
			b.ReportMetric(1e9/ours, "reports/s")
			b.ReportMetric(bare/ours, "bare/read")
		})
		b.Run(c.name+"/gzip", func(b *testing.B) {
			for b.Loop() {
				if _, err := tlsrpt.Read(packed, tlsrpt.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScrub makes a day's contribution of a thousand reports.
func BenchmarkScrub(b *testing.B) {
	var reports []*tlsrpt.Report
	for i := range 1000 {
		reports = append(reports, read(b, entries(fmt.Sprintf("sts d.example %d/0", i), "tlsa mx1.d.example 7/1 tlsa-invalid=1")))
	}
	list, day := onList(b), theDay(b)
	for b.Loop() {
		if _, err := tlsrpt.MarshalContribution(tlsrpt.Scrub(reports, day, contributionID, list)); err != nil {
			b.Fatal(err)
		}
	}
}
