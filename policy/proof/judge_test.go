package proof_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

func entry(t *testing.T, mode policy.Mode, mx string) policy.Policy {
	t.Helper()
	pattern, err := policy.ParseMXPattern(mx)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.NewPolicy(mode, []policy.MXPattern{pattern})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestJudge: what speaks for a change, and with which code each that does not is refused.
func TestJudge(t *testing.T) {
	wanted := entry(t, policy.Enforce, "mx.a.example")
	other := entry(t, policy.Testing, "mx.a.example")
	exp := testTime.AddDate(0, 0, 30)
	good := proof.For(wanted, exp).String()
	if good != "v=STP1; change="+proof.Digest(wanted)+"; exp=2026-02-09" {
		t.Fatal(good)
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		name string
		txts []string
		used proof.Used
		code string
	}{
		{"the record for this change", []string{good}, proof.Used{}, ""},
		{"beside unrelated records", []string{"v=spf1 -all", good, "hello"}, proof.Used{}, ""},
		{"no record", nil, proof.Used{}, "proof.missing"},
		{"unrelated records only", []string{"v=spf1 -all", "v=STP2; remove"}, proof.Used{}, "proof.missing"},
		{"the record for another change", []string{proof.For(other, exp).String()}, proof.Used{}, "proof.other"},
		{"another kind of wish", []string{"v=STP1; remove; exp=2026-02-01"}, proof.Used{}, "proof.other"},
		{"stale", []string{proof.For(wanted, testTime.Add(-day)).String()}, proof.Used{}, "proof.expired"},
		{"too far", []string{proof.For(wanted, testTime.AddDate(0, 0, 61)).String()}, proof.Used{}, "proof.too-far"},
		{"malformed", []string{"v=STP1; change=1234; exp=2026-02-01"}, proof.Used{}, "proof.invalid"},
		{"doubled", []string{good, good}, proof.Used{}, "proof.many"},
		{"replayed", []string{good}, proof.Used{Seen: testTime.Add(-3 * day), Made: testTime.Add(-2 * day)}, "proof.replayed"},
		{"a new word after the old", []string{good}, proof.Used{Made: testTime.Add(-2 * day), Seen: testTime.Add(-day)}, ""},
	} {
		code, detail := proof.Judge(proof.Parse(c.txts, testTime), c.used, testTime, proof.Record{Kind: proof.Change, Change: proof.Digest(wanted)})
		if code != c.code {
			t.Errorf("%s: %q (%s), want %q", c.name, code, detail, c.code)
		}
	}
	late := proof.Parse([]string{good}, testTime)
	if code, _ := proof.Judge(late, proof.Used{}, testTime.AddDate(0, 0, 31), proof.For(wanted, exp)); code != "proof.expired" {
		t.Errorf("read in time, judged after its day: %q", code)
	}
}
