package discovery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestProof reads records on the noon of 2026-01-10.
func TestProof(t *testing.T) {
	change := "change=" + digest
	for _, c := range []struct {
		txts   []string
		status discovery.ProofStatus
		kind   discovery.ProofKind
	}{
		{[]string{"v=STP1; " + change + "; exp=2026-02-01"}, discovery.ProofOK, discovery.ProofChange},
		{[]string{"v=STP1; remove; exp=2026-02-01"}, discovery.ProofOK, discovery.ProofRemove},
		{[]string{"v=STP1; emergency; exp=2026-02-01"}, discovery.ProofOK, discovery.ProofEmergency},
		{[]string{"v=STP1;remove;exp=2026-02-01;"}, discovery.ProofOK, discovery.ProofRemove},
		{[]string{"v=STP1 ;\texp=2026-02-01 ; remove ; "}, discovery.ProofOK, discovery.ProofRemove},
		{[]string{"v=spf1 -all", "v=STP1; remove; exp=2026-02-01", "v=STP2; x"}, discovery.ProofOK, discovery.ProofRemove},
		{nil, discovery.ProofNone, ""},
		{[]string{"v=spf1 -all"}, discovery.ProofNone, ""},
		{[]string{"v=STP10; remove; exp=2026-02-01"}, discovery.ProofNone, ""},
		{[]string{" v=STP1; remove; exp=2026-02-01"}, discovery.ProofNone, ""},
		{[]string{"V=STP1; remove; exp=2026-02-01"}, discovery.ProofNone, ""},
		{[]string{"v=STP1"}, discovery.ProofNone, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01", "v=STP1; remove; exp=2026-02-01"}, discovery.ProofMany, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01", "v=STP1; nonsense"}, discovery.ProofMany, ""},

		{[]string{"v=STP1; remove; exp=2026-01-10"}, discovery.ProofOK, discovery.ProofRemove}, // the day itself counts
		{[]string{"v=STP1; remove; exp=2026-01-09"}, discovery.ProofExpired, discovery.ProofRemove},
		{[]string{"v=STP1; remove; exp=2026-03-11"}, discovery.ProofOK, discovery.ProofRemove}, // 60 days
		{[]string{"v=STP1; remove; exp=2026-03-12"}, discovery.ProofTooFar, discovery.ProofRemove},
		{[]string{"v=STP1; remove; exp=9999-12-31"}, discovery.ProofTooFar, discovery.ProofRemove},

		{[]string{"v=STP1;"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; emergency; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; " + change + "; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; " + change + "; " + change + "; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01; exp=2026-02-02"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-30"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp=2026-2-1"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01T00:00:00Z"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp="}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove=; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; change=remove; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; change; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; change=" + digest[2:] + "; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; change=" + strings.ToUpper(digest) + "; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove; exp=2026-02-01; note=hello"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove;; exp=2026-02-01"}, discovery.ProofInvalid, ""},
		{[]string{"v=STP1; remove\x1b[2J; exp=2026-02-01"}, discovery.ProofInvalid, ""},
	} {
		p := discovery.ParseProof(c.txts, testTime)
		if p.Status != c.status || p.Kind != c.kind {
			t.Errorf("%q: %s, %q, %s; want %s, %q", c.txts, p.Status, p.Kind, p.Detail, c.status, c.kind)
		}
		if quiet := p.Status == discovery.ProofOK || p.Status == discovery.ProofNone; quiet != (p.Detail == "") || strings.Contains(p.Detail, "\x1b") {
			t.Errorf("%q: %s, detail %q", c.txts, p.Status, p.Detail)
		}
		if (p.Kind == discovery.ProofChange) != (p.Change == digest) || (p.Kind == "") != p.Expires.IsZero() {
			t.Errorf("%q: %+v", c.txts, p)
		}
	}
}

// TestProofDays: a record counts through its last day everywhere in UTC, and from the 60th day before it.
func TestProofDays(t *testing.T) {
	txts := []string{"v=STP1; remove; exp=2026-03-11"}
	for now, want := range map[string]discovery.ProofStatus{
		"2026-01-09T23:59:59Z": discovery.ProofTooFar, "2026-01-10T00:00:00Z": discovery.ProofOK,
		"2026-03-11T23:59:59Z": discovery.ProofOK, "2026-03-12T00:00:00Z": discovery.ProofExpired,
		"2026-03-11T20:00:00-05:00": discovery.ProofExpired,
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if p := discovery.ParseProof(txts, at); p.Status != want {
			t.Errorf("at %s: %s, want %s", now, p.Status, want)
		}
	}
}

// TestChangeDigest: the digest of FORMATS.md is that of the entry as the list has it.
func TestChangeDigest(t *testing.T) {
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
	if got := discovery.ChangeDigest(entry); got != wantDigest {
		t.Errorf("%s, want %s", got, wantDigest)
	}
}

// TestFindProof: the lookup's own failure is not the absence of a record, and its CNAMEs and security stay visible.
func TestFindProof(t *testing.T) {
	z := serveZone(t, lines(`_starttls-policy.a.example. CNAME a.p.example.;a.p.example. TXT "v=STP1\; remove\; exp=2026-02-01"`)...)
	z.change(func() { z.liar = true })
	c := client(t, z, func(o *discovery.Options) { o.TrustAD = true })
	p := discovery.FindProof(t.Context(), c, domainA(t), testTime)
	if p.Status != discovery.ProofOK || !p.Answer.Secure || len(p.Answer.Chain) != 1 || p.Record() != "v=STP1; remove; exp=2026-02-01" {
		t.Errorf("%+v", p)
	}
	z.change(func() { z.rcode["_starttls-policy.a.example."] = "SERVFAIL" })
	if p := discovery.FindProof(t.Context(), c, domainA(t), testTime); p.Status != discovery.ProofFailed || p.Kind != "" || p.Detail == "" {
		t.Errorf("%+v", p)
	}
}

// FuzzParseProof: what is accepted reads back from its canonical form.
func FuzzParseProof(f *testing.F) {
	for _, txt := range []string{"v=STP1; remove; exp=2026-02-01", "v=STP1;change=" + digest + ";exp=2026-01-31;", "v=STP1; emergency; exp=0001-01-01", "v=STP1;;"} {
		f.Add(txt, "v=spf1")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		p := discovery.ParseProof([]string{one, two}, testTime)
		again := discovery.ParseProof([]string{p.Record()}, testTime)
		if p.Kind != "" && (again.Kind != p.Kind || again.Change != p.Change || !again.Expires.Equal(p.Expires) || again.Status != p.Status) {
			t.Errorf("%+v, read back %+v", p, again)
		}
		if (p.Kind == "") != (p.Record() == "") || p.Status == discovery.ProofOK && p.Kind == "" {
			t.Errorf("%+v", p)
		}
	})
}
