package tlsrpt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// secondReader asks testdata/rfc8460/check.py, which was written from the RFC in another language, what it makes of documents:
// "ok" and three sums, or "no" and a reason, for each.
func secondReader(t *testing.T, documents [][]byte) []string {
	t.Helper()
	command := exec.Command(tool.Path(t, "python3"), "testdata/rfc8460/check.py")
	command.Stdin = bytes.NewReader(append(bytes.Join(documents, []byte("\n")), '\n'))
	var fault strings.Builder
	command.Stderr = &fault
	out, err := command.Output()
	if err != nil {
		t.Fatalf("check.py: %v\n%s", err, fault.String())
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(documents) {
		t.Fatalf("%d answers to %d documents:\n%s", len(lines), len(documents), out)
	}
	return lines
}

// pick makes reports out of random numbers.
type pick struct{ *rand.Rand }

func (p pick) of(texts ...string) string { return texts[p.IntN(len(texts))] }

func (p pick) text() string {
	return p.of("", "plain", "two\nlines", `"quoted" \ and <tags> & such`, "Büro ☎ \U0001f4e8", "\x00\x1f\u2028", "a\ufffdb", strings.Repeat("x", 300))
}

func (p pick) address() netip.Addr {
	return netip.MustParseAddr(p.of("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.7", "fe80::1%eth0"))
}

func (p pick) count() int64 {
	return [...]int64{0, 1, 19, 20, 55, 1234, tlsrpt.MaxCount}[p.IntN(7)]
}

func (p pick) domain() policy.Domain {
	d, err := policy.ParseDomain(p.of("d.example", "xn--bcher-kva.example", "a.b.c.d.example", "listed.example", "e.example"))
	if err != nil {
		panic(err)
	}
	return d
}

func (p pick) report() *tlsrpt.Report {
	begin := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC).Add(time.Duration(p.IntN(3)) * 24 * time.Hour)
	r := &tlsrpt.Report{Organization: p.text(), Contact: p.text(), ID: "r" + p.text(), Begin: begin, End: begin.Add(24*time.Hour - time.Second)}
	for range p.IntN(4) {
		entry := tlsrpt.Policy{Type: tlsrpt.PolicyTypes()[p.IntN(3)], Domain: p.domain(), Successful: p.count() / 8, Failed: p.count() / 8}
		for range p.IntN(3) {
			entry.Strings = append(entry.Strings, "s"+p.text())
			entry.MXHosts = append(entry.MXHosts, p.of("", "*.", ".", "MX.")+p.domain().String())
		}
		for range p.IntN(4) {
			d := tlsrpt.Detail{
				Result: tlsrpt.ResultTypes()[p.IntN(11)], Failed: p.count(), Information: p.text(), Reason: p.text(),
				ReceivingMX: p.of("", "mx1.d.example", "MX.Other.Example.", p.text()), ReceivingHELO: p.text(),
			}
			if p.IntN(2) == 0 {
				d.SendingIP, d.ReceivingIP = p.address(), p.address()
			}
			entry.Details = append(entry.Details, d)
		}
		r.Policies = append(r.Policies, entry)
	}
	return r
}

// What Marshal writes is RFC 8460 to a second reader, which counts the same, and reads back without a note.
func TestMarshalSecondReading(t *testing.T) {
	p := pick{rand.New(rand.NewPCG(8, 460))}
	var documents [][]byte
	var want []string
	for range 400 {
		r := p.report()
		b, err := tlsrpt.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again := read(t, string(b))
		ok, failed, details := uint64(0), uint64(0), 0
		for _, e := range r.Policies {
			ok, failed, details = ok+uint64(e.Successful), failed+uint64(e.Failed), details+len(e.Details)
		}
		documents, want = append(documents, b), append(want, fmt.Sprintf("ok %d %d %d", ok, failed, details))
		for _, n := range again.Notes {
			if n.Code != tlsrpt.NoteCount {
				t.Errorf("%s in %s", n, b)
			}
		}
		if b2, err := tlsrpt.Marshal(again); err != nil || !bytes.Equal(b, b2) {
			t.Errorf("%v: it reads back as another report\n%s\n%s", err, b, b2)
		}
	}
	for i, got := range secondReader(t, documents) {
		if got != want[i] {
			t.Errorf("%s, want %s, of %s", got, want[i], documents[i])
		}
	}
}

// The second reader refuses, so that its word is worth something: documents with one flaw each.
func TestSecondReaderRefuses(t *testing.T) {
	good := strings.Join(strings.Fields(strings.ReplaceAll(plain, "\n", "")), " ")
	flaw := func(old, new string) []byte {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in %s", old, good)
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	flaws := [][]byte{
		flaw(`"report-id"`, `"id"`), flaw(`"report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be"`, `"report-id": ""`), flaw(`5326`, `"5326"`), flaw(`5326`, `-1`), flaw(`5326`, `53.5`),
		flaw(`00:00Z`, `00:00`), flaw(`2026-01-10T00`, `2026-01-11T00`), flaw(`2026-01-10T00`, `2026-13-10T00`), flaw(`"sts"`, `"STS"`),
		flaw(`"certificate-expired"`, `"dane-mismatch"`), flaw(`"policy-domain": "c`, `"policy-domain": "C`), flaw(`["*.mail.company-y.example"]`, `"*.mail.company-y.example"`),
		flaw(`203.0.113.56`, `203.0.113`), flaw(`203.0.113.56`, ``), flaw(`"failed-session-count": 100`, `"count": 100`), flaw(`"summary"`, `"sum"`), flaw(`"contact-info": "sts-reporting@company-x.example"`, `"contact-info": null`),
		flaw(`"policies": [`, `"policies": [], "policies": [`), flaw(`"failed-session-count": 3,`, `"failed-session-count": 3, "x": 1,`), []byte(good[:len(good)/2]), flaw(`5326`, `NaN`),
	}
	for i, got := range secondReader(t, append(flaws, []byte(good))) {
		if i < len(flaws) && !strings.HasPrefix(got, "no ") {
			t.Errorf("it took %s", flaws[i])
		}
		if i == len(flaws) && got != "ok 5326 303 3" {
			t.Errorf("of a good report it says %s", got)
		}
	}
}

// What RFC 8460 demands and a report lacks is told with its place.
func TestMarshalRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*tlsrpt.Report){
		"/report-id":                                   func(r *tlsrpt.Report) { r.ID = "" },
		"/date-range":                                  func(r *tlsrpt.Report) { r.Begin, r.End = r.End, r.Begin },
		"/date-range: it has no start":                 func(r *tlsrpt.Report) { r.End = time.Time{} },
		"its text":                                     func(r *tlsrpt.Report) { r.Organization = "\xff" },
		"/policies/0/policy/policy-type":               func(r *tlsrpt.Report) { r.Policies[0].Type = tlsrpt.OtherPolicy },
		"/policies/0/policy/policy-domain":             func(r *tlsrpt.Report) { r.Policies[0].Domain = policy.Domain{} },
		"/policies/0/policy/policy-string":             func(r *tlsrpt.Report) { r.Policies[0].Strings = []string{"\xc3", "\xa9"} },
		"/policies/0/policy/mx-host":                   func(r *tlsrpt.Report) { r.Policies[0].MXHosts[0] = "*" },
		"/policies/0/summary":                          func(r *tlsrpt.Report) { r.Policies[0].Successful = -1 },
		"/policies/0/failure-details/1/result-type":    func(r *tlsrpt.Report) { r.Policies[0].Details[1].Result = tlsrpt.OtherResult },
		"/policies/0/failure-details/2/failed-session": func(r *tlsrpt.Report) { r.Policies[0].Details[2].Failed = tlsrpt.MaxCount + 1 },
		"/policies/0/failure-details/0: its text":      func(r *tlsrpt.Report) { r.Policies[0].Details[0].ReceivingHELO = "\xff" },
	} {
		r := read(t, plain)
		spoil(r)
		if _, err := tlsrpt.Marshal(r); !errors.Is(err, tlsrpt.ErrUnwritable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// FuzzRead: whatever comes, nothing panics, notes are printable, counts stay within their bounds, and what can be written reads
// back the same.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		plain, ranged(""), entries("sts d.example 7/2 certificate-expired=2", "tlsa mx.d.example 7/0"), `{"report-id":"\ud83d\u0000","policies":{"policy":{},"summary":null}}`,
		"\ufeff[{\"report-id\":1e9,}]\x00", `{"date-range":{"start-datetime":"2026-01-10T00:00:00","end-datetime":1768003200},"policies":[{"failure-details":{"sending-mta-ip":"[::1]:25"}}]}`,
	} {
		f.Add([]byte(seed))
		f.Add(zip(f, seed))
	}
	f.Add(append(zip(f, plain), "\r\n"...))
	limits := tlsrpt.DefaultLimits()
	limits.Size, limits.Compressed = 1<<20, 1<<20
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := tlsrpt.Read(data, limits)
		if err != nil {
			if !errors.Is(err, tlsrpt.ErrFormat) && !errors.Is(err, tlsrpt.ErrLimit) || strings.ContainsFunc(err.Error(), unprintable) {
				t.Fatalf("%q", err)
			}
			return
		}
		r.Attribute(tlsrpt.Hint{FileName: r.ID, Received: time.Unix(1768003200, 0)})
		for _, n := range r.Notes {
			if strings.ContainsFunc(n.String(), unprintable) {
				t.Fatalf("%q", n)
			}
		}
		for _, tally := range tlsrpt.Tallies(r) {
			if tally.Failed > tally.Sessions || tally.Failed < 0 || tally.Sessions > tlsrpt.MaxCount {
				t.Fatalf("%+v", tally)
			}
			for class, n := range tally.ByClass() {
				if n < 0 || n > tlsrpt.MaxCount {
					t.Fatalf("%d sessions of %s", n, class)
				}
			}
		}
		b, err := tlsrpt.Marshal(r)
		if err != nil {
			return
		}
		again, err := tlsrpt.Read(b, tlsrpt.DefaultLimits())
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		r.Notes, again.Notes, r.Unnoted, again.Unnoted, again.Recipient = nil, nil, 0, 0, r.Recipient
		b2, err := tlsrpt.Marshal(again)
		if err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%v\n%s\n%s", err, b, b2)
		}
		if !reflect.DeepEqual(tlsrpt.Tallies(r), tlsrpt.Tallies(again)) {
			t.Fatalf("%+v\n%+v", tlsrpt.Tallies(r), tlsrpt.Tallies(again))
		}
	})
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }
