package trial

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

// at is Friday noon; the log's machine is an hour ahead of UTC.
var at = time.Date(2026, 11, 27, 12, 0, 0, 0, time.FixedZone("there", 3600))

// listing is a list of testing policies: domain, pattern.
func listing(t testing.TB, policies map[string]string) Listed {
	t.Helper()
	out := map[policy.Domain]policy.Policy{}
	for d, pattern := range policies {
		m, err := policy.ParseMXPattern(pattern)
		must(t, err)
		p, err := policy.NewPolicy(policy.Testing, []policy.MXPattern{m})
		must(t, err)
		out[domain(t, d)] = p
	}
	return func(d policy.Domain) (policy.Policy, bool) {
		p, ok := out[d]
		return p, ok
	}
}

// tlsLine and mailLine are lines of Postfix, of one process.
func tlsLine(stamp string, pid int, level, host string) string {
	return fmt.Sprintf("%s mail postfix/smtp[%d]: %s TLS connection established to %s[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)\n", stamp, pid, level, host)
}

func mailLine(stamp string, pid int, id, to, host, status string) string {
	return fmt.Sprintf("%s mail postfix/smtp[%d]: %s: to=<u@%s>, relay=%s[192.0.2.1]:25, delay=1, dsn=2.0.0, status=%s\n", stamp, pid, id, to, host, status)
}

const today, sent = "Nov 27 10:00:00", "sent (250 Ok)"

// sums are the counts by domain, one line each.
func (t *Tally) sums() string {
	var b strings.Builder
	for _, d := range t.Domains {
		s := d.Sum()
		fmt.Fprintf(&b, "%s %d: %d verified %d trusted %d unknown %v %s\n", d.Domain, s.Deliveries, s.Verified, s.Trusted, s.Unknown, s.Failed, s.Example)
	}
	return b.String()
}

// TestTally: what counts as failed, what nobody can tell, and what says nothing about a policy.
func TestTally(t *testing.T) {
	log := tlsLine(today, 1, "Trusted", "mx.a.example") + mailLine(today, 1, "A1", "A.Example", "mx.a.example", sent) +
		tlsLine(today, 1, "Verified", "mx.a.example") + mailLine(today, 1, "A2", "a.example", "mx.a.example", sent) +
		tlsLine(today, 1, "Untrusted", "mx.a.example") + mailLine(today, 1, "A3", "a.example", "mx.a.example", sent) +
		tlsLine(today, 1, "Anonymous", "mx.a.example") + mailLine(today, 1, "A4", "a.example", "mx.a.example", sent) +
		tlsLine(today, 1, "Trusted", "mx.other.example") + mailLine(today, 1, "A5", "a.example", "mx.other.example", sent) +
		mailLine(today, 1, "A6", "a.example", "mx.a.example", sent) + // in clear
		tlsLine(today, 1, "Untrusted", "mx.a.example") + mailLine(today, 1, "A7", "a.example", "mx.a.example", "deferred (Server certificate not verified)") +
		mailLine(today, 1, "A8", "a.example", "mx.a.example", "deferred (TLS is required, but was not offered by host mx.a.example[192.0.2.1])") +
		tlsLine(today, 1, "Trusted", "mx.thief.example") + mailLine(today, 1, "D0", "c.example", "mx.thief.example", "deferred (Server certificate not verified)") +
		"Nov 27 10:00:00 mail postfix/smtp[2]: warning: MX name 'mx.thief.example' does not match STS MX pattern for 'c.example'\n" +
		"Nov 27 10:00:00 mail postfix/smtp[2]: D1: to=<u@c.example>, relay=none, delay=1, dsn=4.4.4, status=deferred (server unavailable or unable to receive mail)\n" +
		mailLine(today, 1, "A9", "a.example", "mx.a.example", "deferred (host mx.a.example[192.0.2.1] said: 450 later)") +
		mailLine(today, 1, "B1", "a.example", "mx.a.example", "bounced (user unknown)") +
		mailLine(today, 1, "B2", "unlisted.example", "mx.a.example", sent) +
		tlsLine(today, 1, "Trusted", "deep.x.b.example") + mailLine(today, 1, "B3", "b.example", "deep.x.b.example", sent) +
		tlsLine(today, 1, "Trusted", "x.b.example") + mailLine(today, 1, "B4", "b.example", "x.b.example", sent) +
		mailLine("Nov 20 00:30:00", 1, "C1", "a.example", "mx.a.example", sent) + // 19 November in UTC, which is eight days ago
		mailLine("2026-11-20T23:30:00.123456-01:00", 1, "C2", "b.example", "x.b.example", sent) // 21 November
	want := "a.example 8: 1 verified 1 trusted 1 unknown map[testing.certificate:2 testing.clear:2 testing.mx:1] mx.a.example\n" +
		"b.example 3: 0 verified 1 trusted 0 unknown map[testing.clear:1 testing.mx:1] deep.x.b.example\n" +
		"c.example 2: 0 verified 0 trusted 0 unknown map[testing.mx:2] mx.thief.example\n"
	var tally Tally
	s, err := tally.Walk(strings.NewReader(log), at, listing(t, map[string]string{"a.example": "mx.a.example", "b.example": ".b.example", "c.example": "mx.c.example"}))
	must(t, err)
	if tally.sums() != want {
		t.Errorf("got\n%swant\n%s", tally.sums(), want)
	}
	if days := tally.Domains[1].Days; len(days) != 2 || days[0].Date != "2026-11-21" || days[1].Date != "2026-11-27" {
		t.Errorf("%+v", days)
	}
	// A log without lines about TLS says nothing about certificates, but the hosts it does.
	var blind Tally
	bare := mailLine(today, 1, "A1", "a.example", "mx.a.example", sent) + mailLine(today, 1, "A2", "a.example", "mx.other.example", sent)
	_, err = blind.Walk(strings.NewReader(bare), at, listing(t, map[string]string{"a.example": "mx.a.example"}))
	must(t, err)
	if got := blind.sums(); got != "a.example 2: 0 verified 0 trusted 1 unknown map[testing.mx:1] mx.other.example\n" || s.Connections == 0 {
		t.Errorf("%s %+v", got, s)
	}
}

// story is a log in pieces, each with one delivery more to a.example, the TLS line of which is in the piece before.
func story(n int) (pieces []string) {
	for i := range n {
		pieces = append(pieces, mailLine(today, 100+i, fmt.Sprintf("Q%d", i), "a.example", "mx.a.example", sent)+strings.Repeat("another program's line\n", 50)+
			tlsLine(today, 101+i, "Trusted", "mx.a.example"))
	}
	pieces[0] = strings.Repeat(fmt.Sprintf("the beginning of log %d\n", n), 100) + tlsLine(today, 100, "Trusted", "mx.a.example") + pieces[0]
	return pieces
}

// logFile is a log on a disk that grows.
type logFile struct {
	t    *testing.T
	path string
}

func (l logFile) add(text string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(l.t, err)
	_, err = f.WriteString(text)
	must(l.t, err)
	must(l.t, f.Close())
}

// TestTallyReadsOn: each line is counted once, whatever happens to the file between two readings, and over a restart.
func TestTallyReadsOn(t *testing.T) {
	pack := func(t *testing.T, from, to string) {
		data, err := os.ReadFile(from)
		must(t, err)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err = z.Write(data)
		must(t, err)
		must(t, z.Close())
		must(t, os.WriteFile(to, b.Bytes(), 0o644))
		must(t, os.Remove(from))
	}
	for name, rotate := range map[string]func(t *testing.T, path string){
		"grown":                  func(*testing.T, string) {},
		"renamed":                func(t *testing.T, p string) { must(t, os.Rename(p, p+".1")) },
		"renamed by date":        func(t *testing.T, p string) { must(t, os.Rename(p, p+"-20261127")) },
		"renamed and compressed": func(t *testing.T, p string) { pack(t, p, p+".1.gz") },
		"copied and truncated": func(t *testing.T, p string) {
			data, err := os.ReadFile(p)
			must(t, err)
			must(t, os.WriteFile(p+".1", data, 0o644))
			must(t, os.Truncate(p, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log, book := logFile{t, filepath.Join(dir, "mail.log")}, filepath.Join(dir, "tally.json")
			must(t, os.WriteFile(log.path+".old", []byte("another log"), 0o644))
			listed := listing(t, map[string]string{"a.example": "mx.a.example"})
			read := func(want int64, rotated bool) {
				t.Helper()
				tally, err := LoadTally(book)
				must(t, err)
				r, err := tally.Read(log.path, at, listed)
				must(t, err)
				must(t, tally.Save(book))
				sum := tally.Domains[0].Sum()
				if sum.Deliveries != want || sum.Trusted != want || r.Rotated != rotated || r.Gap {
					t.Errorf("%s%+v, want %d", tally.sums(), r, want)
				}
			}
			pieces := story(6)
			log.add(pieces[0])
			read(1, false)
			read(1, false)
			log.add(pieces[1] + pieces[2][:60]) // a line that is being written
			read(2, false)
			log.add(pieces[2][60:])
			read(3, false)
			log.add(pieces[3])
			rotate(t, log.path)
			log.add(pieces[4])
			read(5, name != "grown")
			log.add(pieces[5])
			read(6, false)
		})
	}
}

// TestTallyGap: when the log's rest is not to be found, that is told, and what is there is counted.
func TestTallyGap(t *testing.T) {
	log := logFile{t, filepath.Join(t.TempDir(), "mail.log")}
	listed := listing(t, map[string]string{"a.example": "mx.a.example"})
	var tally Tally
	log.add(story(2)[0])
	_, err := tally.Read(log.path, at, listed)
	must(t, err)
	must(t, os.Remove(log.path))
	log.add(story(3)[0])
	r, err := tally.Read(log.path, at, listed)
	if must(t, err); !r.Gap || !r.Rotated || tally.Domains[0].Sum().Deliveries != 2 {
		t.Errorf("%+v %s", r, tally.sums())
	}
	before := tally
	must(t, os.Remove(log.path))
	if _, err := tally.Read(log.path, at, listed); err == nil || !reflect.DeepEqual(tally, before) {
		t.Errorf("without a log: %v, %s", err, tally.sums())
	}
	// After a week nothing is left.
	log.add("nothing\n")
	_, err = tally.Read(log.path, at.AddDate(0, 0, Days), listed)
	if must(t, err); len(tally.Domains) != 0 {
		t.Errorf("%s", tally.sums())
	}
}

// TestTallyIsBounded: more domains than are counted are told, not kept.
func TestTallyIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range maxDomains + 50 {
		b.WriteString(mailLine(today, 1, "A", fmt.Sprintf("d%d.example", i), "mx.a.example", sent))
	}
	m, err := policy.ParseMXPattern("mx.a.example")
	must(t, err)
	all := policy.Policy{Mode: policy.Testing, MXs: []policy.MXPattern{m}}
	var tally Tally
	_, err = tally.Walk(strings.NewReader(b.String()), at, func(policy.Domain) (policy.Policy, bool) { return all, true })
	if must(t, err); len(tally.Domains) != maxDomains || tally.Omitted != 50 {
		t.Errorf("%d domains, %d omitted", len(tally.Domains), tally.Omitted)
	}
}

// Times of every form that syslog has, and none that is far ahead.
func TestStamps(t *testing.T) {
	for s, want := range map[string]string{
		"Nov 27 10:00:00":                  "2026-11-27T09:00:00Z",
		"Nov  7 10:00:00":                  "2026-11-07T09:00:00Z",
		"Dec 24 10:00:00":                  "2025-12-24T09:00:00Z", // that of this year is to come
		"2026-11-27T10:00:00+02:00":        "2026-11-27T08:00:00Z",
		"2026-11-27T10:00:00.123456+01:00": "2026-11-27T09:00:00Z",
		"yesterday":                        "", "": "", "Feb 30 10:00:00": "",
	} {
		got, ok := parseStamp(s, at)
		if text := got.UTC().Truncate(time.Second).Format(time.RFC3339); ok != (want != "") || ok && text != want {
			t.Errorf("%q: %s, %v, want %s", s, text, ok, want)
		}
	}
}

// Whatever stands in a log, no count is more than the deliveries, and what is saved reads back.
func FuzzTally(f *testing.F) {
	f.Add(tlsLine(today, 1, "Trusted", "mx.a.example") + mailLine(today, 1, "A1", "a.example", "mx.a.example", sent))
	f.Add(mailLine("2026-11-27T10:00:00Z", 1, "A1", "a.example", "mx.b.example", "deferred (Cannot start TLS: handshake failure)"))
	listed := listing(f, map[string]string{"a.example": ".a.example"})
	path := filepath.Join(f.TempDir(), "tally.json")
	f.Fuzz(func(t *testing.T, log string) {
		var tally Tally
		s, err := tally.Walk(strings.NewReader(log), at, listed)
		if err != nil {
			return
		}
		for _, d := range tally.Domains {
			if sum := d.Sum(); sum.Deliveries > s.Attempts || sum.Verified+sum.Trusted+sum.Unknown+sum.Failures() != sum.Deliveries {
				t.Errorf("%+v of %+v", sum, s)
			}
		}
		must(t, tally.Save(path))
		back, err := LoadTally(path)
		if must(t, err); back.sums() != tally.sums() {
			t.Errorf("%s reads back as %s", tally.sums(), back.sums())
		}
	})
}

// What a reading counts shows at its end alone: one that fails in between has changed nothing.
func TestTallyCountsOnACopy(t *testing.T) {
	log := tlsLine(today, 1, "Untrusted", "mx.a.example") + mailLine(today, 1, "A1", "a.example", "mx.a.example", sent)
	listed := listing(t, map[string]string{"a.example": "mx.a.example"})
	var tally Tally
	_, err := tally.Walk(strings.NewReader(log), at, listed)
	must(t, err)
	before := tally.sums()
	next := tally
	c := next.begin(at, listed)
	c.take(maillog.Attempt{Stamp: today, Domain: domain(t, "a.example"), Host: domain(t, "mx.a.example"), Level: maillog.Untrusted, Status: maillog.Sent})
	if tally.sums() != before {
		t.Errorf("%s became %s", before, tally.sums())
	}
	if c.end(1); next.sums() == before {
		t.Errorf("nothing was counted: %s", next.sums())
	}
}
