package discovery

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer: whatever message a resolver sends, it costs no more than the caps, and speaks only of the name asked for.
func FuzzAnswer(f *testing.F) {
	for _, records := range [][]string{
		{"a.example. 60 IN CNAME b.example.", "b.example. 60 IN TXT \"x\" \"y\\\"\\200\""},
		{"_25._tcp.a.example. 60 IN TLSA 3 1 1 abcd", "a.example. 60 IN TLSA 3 1 0 3000"},
		{"a.example. 60 IN CNAME a.example.", "a.example. 60 IN MX 1 .", "a.example. 60 IN A 192.0.2.1", "a.example. 60 IN AAAA ::ffff:192.0.2.1"},
	} {
		msg := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			msg.Answer = append(msg.Answer, rr)
		}
		packed, err := msg.Pack()
		if err != nil {
			f.Fatal(err)
		}
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeTLSA, dns.TypeMX, dns.TypeA, dns.TypeAAAA} {
			f.Add(packed, qtype)
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte, qtype uint16) {
		msg := new(dns.Msg)
		if msg.Unpack(packed) != nil {
			return
		}
		a := Answer{Name: "a.example"}
		end, ok := a.follow(msg, a.Name)
		if len(a.Chain) > maxChain || ok && end != append([]string{a.Name}, a.Chain...)[len(a.Chain)] {
			t.Fatalf("end %q, chain %q", end, a.Chain)
		}
		if !ok {
			return
		}
		a.take(msg, end, qtype)
		if a.records() > maxRecords {
			t.Errorf("%d records", a.records())
		}
		if !slices.IsSortedFunc(a.TLSA, TLSARecord.compare) || !slices.IsSorted(a.TXT) {
			t.Error("not sorted")
		}
		for _, r := range a.TLSA {
			if r.Usable() && len(r.Data) < 2 {
				t.Errorf("%v", r)
			}
		}
	})
}
