package proof_test

import (
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

var testTime = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

// digest is of some entry.
var digest = strings.Repeat("0123456789abcdef", 4)

// TestParse reads records on the noon of 2026-01-10.
func TestParse(t *testing.T) {
	change := "change=" + digest
	for _, c := range []struct {
		txts   []string
		status proof.Status
		kind   proof.Kind
	}{
		{[]string{"v=STP1; " + change + "; exp=2026-02-01"}, proof.OK, proof.Change},
		{[]string{"v=STP1; remove; exp=2026-02-01"}, proof.OK, proof.Remove},
		{[]string{"v=STP1; emergency; exp=2026-02-01"}, proof.OK, proof.Emergency},
		{[]string{"v=STP1;remove;exp=2026-02-01;"}, proof.OK, proof.Remove},
		{[]string{"v=STP1 ;\texp=2026-02-01 ; remove ; "}, proof.OK, proof.Remove},
		{[]string{"v=spf1 -all", "v=STP1; remove; exp=2026-02-01", "v=STP2; x"}, proof.OK, proof.Remove},
		{nil, proof.None, ""},
		{[]string{"v=spf1 -all"}, proof.None, ""},
		{[]string{"v=STP10; remove; exp=2026-02-01"}, proof.None, ""},
		{[]string{" v=STP1; remove; exp=2026-02-01"}, proof.None, ""},
		{[]string{"V=STP1; remove; exp=2026-02-01"}, proof.None, ""},
		{[]string{"v=STP1"}, proof.None, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01", "v=STP1; remove; exp=2026-02-01"}, proof.Many, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01", "v=STP1; nonsense"}, proof.Many, ""},

		{[]string{"v=STP1; remove; exp=2026-01-10"}, proof.OK, proof.Remove}, // the day itself counts
		{[]string{"v=STP1; remove; exp=2026-01-09"}, proof.Expired, proof.Remove},
		{[]string{"v=STP1; remove; exp=2026-03-11"}, proof.OK, proof.Remove}, // 60 days
		{[]string{"v=STP1; remove; exp=2026-03-12"}, proof.TooFar, proof.Remove},
		{[]string{"v=STP1; remove; exp=9999-12-31"}, proof.TooFar, proof.Remove},

		{[]string{"v=STP1;"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove"}, proof.Invalid, ""},
		{[]string{"v=STP1; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; emergency; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; " + change + "; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; " + change + "; " + change + "; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01; exp=2026-02-02"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-30"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp=2026-2-1"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01T00:00:00Z"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp="}, proof.Invalid, ""},
		{[]string{"v=STP1; remove=; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; change=remove; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; change; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; change=" + digest[2:] + "; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; change=" + strings.ToUpper(digest) + "; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01; note=hello"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove;; exp=2026-02-01"}, proof.Invalid, ""},
		{[]string{"v=STP1; remove\x1b[2J; exp=2026-02-01"}, proof.Invalid, ""},
	} {
		p := proof.Parse(c.txts, testTime)
		if p.Status != c.status || p.Kind != c.kind {
			t.Errorf("%q: %s, %q, %s; want %s, %q", c.txts, p.Status, p.Kind, p.Detail, c.status, c.kind)
		}
		if quiet := p.Status == proof.OK || p.Status == proof.None; quiet != (p.Detail == "") || strings.Contains(p.Detail, "\x1b") {
			t.Errorf("%q: %s, detail %q", c.txts, p.Status, p.Detail)
		}
		if (p.Kind == proof.Change) != (p.Change == digest) || (p.Kind == "") != p.Expires.IsZero() {
			t.Errorf("%q: %+v", c.txts, p)
		}
	}
}

// TestDays: a record counts through its last day everywhere in UTC, and from the 60th day before it.
func TestDays(t *testing.T) {
	txts := []string{"v=STP1; remove; exp=2026-03-11"}
	for now, want := range map[string]proof.Status{
		"2026-01-09T23:59:59Z": proof.TooFar, "2026-01-10T00:00:00Z": proof.OK,
		"2026-03-11T23:59:59Z": proof.OK, "2026-03-12T00:00:00Z": proof.Expired,
		"2026-03-11T20:00:00-05:00": proof.Expired,
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if p := proof.Parse(txts, at); p.Status != want {
			t.Errorf("at %s: %s, want %s", now, p.Status, want)
		}
	}
}

// TestDigest: the digest of FORMATS.md is that of the entry as the list has it.
func TestDigest(t *testing.T) {
	pattern, err := policy.ParseMXPattern("mx.a.example")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{pattern})
	if err != nil {
		t.Fatal(err)
	}
	const wantDigest = "4284839158406485f3e0a8522c4c7521697053a7c899472b1bc6f0825ea2b526"
	// printf '{"mode":"enforce","mxs":["mx.a.example"]}' | sha256sum
	if got := proof.Digest(entry); got != wantDigest {
		t.Errorf("%s, want %s", got, wantDigest)
	}
}

// FuzzParse: what is accepted reads back from its canonical form.
func FuzzParse(f *testing.F) {
	for _, txt := range []string{"v=STP1; remove; exp=2026-02-01", "v=STP1;change=" + digest + ";exp=2026-01-31;", "v=STP1; emergency; exp=0001-01-01", "v=STP1;;"} {
		f.Add(txt, "v=spf1")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		p := proof.Parse([]string{one, two}, testTime)
		again := proof.Parse([]string{p.Record.String()}, testTime)
		if p.Kind != "" && (again.Kind != p.Kind || again.Change != p.Change || !again.Expires.Equal(p.Expires) || again.Status != p.Status) {
			t.Errorf("%+v, read back %+v", p, again)
		}
		if (p.Kind == "") != (p.Record.String() == "") || p.Status == proof.OK && p.Kind == "" {
			t.Errorf("%+v", p)
		}
	})
}
