package mta

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s\nwant:\n%s", path, got, want)
	}
}

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.NormalizeDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rule(t testing.TB, mode policy.Mode, mxs ...string) policy.Policy {
	t.Helper()
	var patterns []policy.MXPattern
	for _, mx := range mxs {
		p, err := policy.NormalizeMXPattern(mx)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	p, err := policy.NewPolicy(mode, patterns)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func list(t testing.TB, entries ...policy.Entry) policy.List {
	t.Helper()
	l, err := policy.NewList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var header = Header{Origin: "list.example", Release: 124,
	Expires: time.Date(2026, 12, 9, 6, 0, 0, 0, time.UTC), Digest: [32]byte{0xab, 0xcd}}

// example has one entry of each sort, two domains behind the same hosts among them, given in the old list's spellings.
func example(t testing.TB) policy.List {
	return list(t,
		policy.Entry{Domain: domain(t, "bücher.example"), Policy: rule(t, policy.Enforce, "MX.Bücher.example.")},
		policy.Entry{Domain: domain(t, "exact.example"), Policy: rule(t, policy.Enforce, "mx2.exact.example", "mx1.exact.example")},
		policy.Entry{Domain: domain(t, "hosted-a.example"), Policy: rule(t, policy.Enforce, "ASPMX.L.PROVIDER.EXAMPLE")},
		policy.Entry{Domain: domain(t, "hosted-b.example"), Policy: rule(t, policy.Testing, "aspmx.l.provider.example")},
		policy.Entry{Domain: domain(t, "mixed.example"), Policy: rule(t, policy.Enforce, "mx.mixed.example", ".mail.mixed.example")},
		policy.Entry{Domain: domain(t, "star.example"), Policy: rule(t, policy.Enforce, "*.star.example")},
		policy.Entry{Domain: domain(t, "watched.example"), Policy: rule(t, policy.Testing, ".watched.example")})
}

func render(t testing.TB, l policy.List, o Options) (string, Report) {
	t.Helper()
	var out bytes.Buffer
	report, err := Postfix(&out, l.All(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := report.Emitted + report.Testing + len(report.Omitted) + len(report.Refused); n != l.Len() {
		t.Errorf("%d of %d entries accounted for", n, l.Len())
	}
	return out.String(), report
}

func TestEachDialect(t *testing.T) {
	for d := range dialectNames {
		o := Options{Dialect: Dialect(d), Header: header}
		text, report := render(t, example(t), o)
		golden(t, "postfix-"+o.Dialect.String()+".golden", []byte(text))
		if again, _ := render(t, example(t), o); again != text {
			t.Errorf("%s: two runs, two texts", o.Dialect)
		}
		if report.Emitted != 5 || report.Testing != 2 || len(report.SuffixWide) != map[bool]int{true: 0, false: 2}[o.Dialect.Exact()] {
			t.Errorf("%s: %+v", o.Dialect, report)
		}
	}
	text, report := render(t, example(t), Options{Dialect: Floor, Header: header, ExactOnly: true})
	golden(t, "postfix-exact.golden", []byte(text))
	if report.Emitted != 3 || len(report.Omitted) != 2 || len(report.SuffixWide) != 0 {
		t.Errorf("exact only: %+v", report)
	}
}

func TestEmptyAndExpiredListsGiveCommentsOnly(t *testing.T) {
	empty, _ := render(t, policy.List{}, Options{Header: header})
	var out bytes.Buffer
	if err := PostfixExpired(&out, Options{Header: header}); err != nil {
		t.Fatal(err)
	}
	golden(t, "postfix-expired.golden", out.Bytes())
	// A line "may" for an entry that is testing would take the place of a stricter line in a map that is asked later.
	testing, _ := render(t, list(t, policy.Entry{Domain: domain(t, "watched.example"), Policy: rule(t, policy.Testing, ".watched.example")}), Options{Header: header})
	for name, text := range map[string]string{"empty": empty, "testing": testing, "expired": out.String()} {
		if lines := table(t, text); len(lines) > 0 {
			t.Errorf("%s list has lines: %v", name, lines)
		}
	}
}

// table reads text as postmap(1) does: comments and blank lines are skipped, a line that begins with white space
// continues the one before (none may), the key ends at the first white space.
func table(t testing.TB, text string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == ' ' || line[0] == '\t':
			t.Errorf("continuation line %q", line)
		}
		key, value, _ := strings.Cut(line, " ")
		if _, twice := lines[key]; twice {
			t.Errorf("%s twice", key)
		}
		lines[key] = strings.TrimLeft(value, " ")
	}
	return lines
}

func TestWhatNoLineMayHold(t *testing.T) {
	for d := range dialectNames {
		text, _ := render(t, example(t), Options{Dialect: Dialect(d), Header: header})
		lines := table(t, text)
		for key, value := range lines {
			for _, bad := range []string{"*", "match= ", "match=:", "::", "may", "policy_ttl", "policy_type", "\r"} {
				if Dialect(d) == TLSRPT && (bad == "*" || bad == "policy_type") {
					continue
				}
				if strings.Contains(value, bad) {
					t.Errorf("%s: %q holds %q", key, value, bad)
				}
			}
			if key[0] == '.' {
				t.Errorf("key %s would answer for subdomains", key)
			}
			if Dialect(d) == Legacy && strings.Contains(value, "servername") {
				t.Errorf("%s: a Postfix before 3.4 would defer over %q", key, value)
			}
		}
		// Two domains share a host; the testing one must not inherit the other's line.
		if _, ok := lines["hosted-b.example"]; ok || lines["hosted-a.example"] == "" {
			t.Errorf("policies are mixed up: %v", lines)
		}
		if _, ok := lines["xn--bcher-kva.example"]; !ok {
			t.Error("the IDN is not there as an A-label")
		}
	}
}

// spoiled are entries that only a broken caller can make, and a good one among them, f.example.
func spoiled(t *testing.T) []policy.Entry {
	good := rule(t, policy.Enforce, "mx.example.org")
	return []policy.Entry{
		{Domain: domain(t, "a.example"), Policy: policy.Policy{Mode: policy.Enforce}},
		{Domain: domain(t, "b.example"), Policy: policy.Policy{Mode: policy.Enforce, MXs: []policy.MXPattern{{}}}},
		{Domain: domain(t, "c.example"), Policy: policy.Policy{Mode: policy.Enforce, MXs: append([]policy.MXPattern{{}}, good.MXs...)}},
		{Domain: domain(t, "d.example"), Policy: policy.Policy{MXs: good.MXs}},
		{Domain: domain(t, "e.example"), Policy: policy.Policy{}},
		{Domain: domain(t, "f.example"), Policy: good},
		{Policy: good},
	}
}

// Values that only a broken caller can make are counted and left out; the rest of the table stands.
func TestRefusedEntriesKeepTheOthers(t *testing.T) {
	cases := spoiled(t)
	var out bytes.Buffer
	report, err := Postfix(&out, func(yield func(policy.Domain, policy.Policy) bool) {
		for _, e := range cases {
			if !yield(e.Domain, e.Policy) {
				return
			}
		}
	}, Options{Dialect: Floor, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	lines := table(t, out.String())
	if len(lines) != 1 || lines["f.example"] == "" || report.Emitted != 1 || len(report.Refused) != 6 {
		t.Fatalf("%v, %+v", lines, report)
	}
	for _, r := range report.Refused {
		if !errors.Is(r.Err, ErrUnusable) {
			t.Errorf("%s: %v", r.Domain, r.Err)
		}
	}
}

// What would inject attributes or lines never becomes a name, so it cannot come here.
func TestInjectionIsNoName(t *testing.T) {
	for _, s := range []string{
		"mx.a.example protocols=!TLSv1.3", "mx.a.example\nb.example  secure match=evil.example", "mx.a.example:mx.evil.example",
		"{mx.a.example}", "mx.a.example\t", "mx.a.example\x00", "mx.a.example,evil.example", "192.0.2.1", "[192.0.2.1]",
		"2001:db8::1", "", ".", "..a.example", "*.*.a.example", "#a.example", "a_b.example", "mx.a.example\u2028"} {
		if d, err := policy.ParseDomain(s); err == nil {
			t.Errorf("%q is a domain: %s", s, d)
		}
		if p, err := policy.NormalizeMXPattern(s); err == nil {
			t.Errorf("%q is a pattern: %s", s, p)
		}
	}
}

func TestHeaderCannotBecomeALine(t *testing.T) {
	for _, origin := range []string{"", "list.example\nevil.example  may", "list.example\r", "liste\u0301.example", "a\x00"} {
		o := Options{Header: Header{Origin: origin}}
		var out bytes.Buffer
		if _, err := Postfix(&out, policy.List{}.All(), o); !errors.Is(err, ErrHeader) || out.Len() > 0 {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err := PostfixExpired(&out, o); !errors.Is(err, ErrHeader) || out.Len() > 0 {
			t.Errorf("expired, origin %q: %v", origin, err)
		}
	}
}

func TestUnsortedEntriesAreAnError(t *testing.T) {
	p := rule(t, policy.Enforce, "mx.example.org")
	for _, names := range [][]string{{"b.example", "a.example"}, {"a.example", "a.example"}} {
		_, err := Postfix(&bytes.Buffer{}, func(yield func(policy.Domain, policy.Policy) bool) {
			for _, name := range names {
				if !yield(domain(t, name), p) {
					return
				}
			}
		}, Options{Header: header})
		if !errors.Is(err, ErrOrder) {
			t.Errorf("%v: %v", names, err)
		}
	}
}

// fullDisk takes so many bytes.
type fullDisk int

func (d *fullDisk) Write(b []byte) (int, error) {
	if *d -= fullDisk(len(b)); *d < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

func TestWriteErrorsComeBack(t *testing.T) {
	for _, room := range []fullDisk{0, flushSize + 10000} {
		if _, err := Postfix(&room, many(t, 3000).All(), Options{Header: header}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	none := fullDisk(0)
	if err := PostfixExpired(&none, Options{Header: header}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
