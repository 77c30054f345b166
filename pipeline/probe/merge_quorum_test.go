package probe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// votesOf reads "pass fail(cert.expired) inconclusive"; "-" is a withdrawn vantage, a trailing * another policy. The
// vantages are called a, b, c …, and each has said so an hour longer than the next.
func votesOf(s string) []Vote {
	var votes []Vote
	for i, word := range strings.Fields(s) {
		word, other := strings.CutSuffix(word, "*")
		name, codes, _ := strings.Cut(strings.TrimSuffix(word, ")"), "(")
		v := Vote{Vantage: string(rune('a' + i)), Verdict: Verdict(name), At: noon, Since: noon.Add(time.Duration(i-9) * time.Hour)}
		if codes != "" {
			v.Codes = strings.Split(codes, ",")
		}
		if name == "-" {
			v.Verdict, v.Codes, v.Void = Inconclusive, []string{codeWithdrawn}, codeWithdrawn
		}
		if other {
			v.line.Policy = []byte(`{"mode":"testing","mxs":["other.example"]}`)
		}
		votes = append(votes, v)
	}
	return votes
}

func TestQuorum(t *testing.T) {
	for _, c := range []struct {
		votes   string
		quorum  int
		verdict Verdict
		codes   string
	}{
		{"pass", 1, Pass, ""},
		{"warn(cert.expiring)", 1, Warn, "cert.expiring"},
		{"fail(cert.name)", 1, Fail, "cert.name"},
		{"inconclusive(smtp.timeout)", 1, Inconclusive, "smtp.timeout vantage.quorum"},
		{"pass pass pass", 2, Pass, ""},
		{"pass(cert.key-note) pass", 2, Pass, "cert.key-note"}, // a code that is no fault stands beside a pass
		{"pass pass warn(cert.expiring)", 2, Pass, ""},
		{"pass warn(cert.expiring)", 2, Warn, "cert.expiring"},
		{"pass pass inconclusive(smtp.timeout)", 2, Pass, ""},
		{"pass inconclusive(smtp.timeout)", 2, Inconclusive, "smtp.timeout vantage.quorum"},
		{"pass", 2, Inconclusive, "vantage.quorum"},
		// Disagreement is shown and never a fail by itself.
		{"pass pass fail(starttls.stripped)", 2, Warn, "vantage.disagree"},
		{"pass fail(starttls.stripped)", 2, Inconclusive, "vantage.disagree vantage.quorum"},
		{"pass fail(cert.name)", 1, Inconclusive, "vantage.disagree vantage.quorum"},
		{"pass pass fail(cert.name) fail(cert.name)", 2, Inconclusive, "vantage.disagree vantage.quorum"},
		{"pass fail(cert.name) fail(cert.name)", 2, Fail, "cert.name vantage.disagree"},
		{"fail(cert.name) fail(cert.expired)", 2, Fail, "cert.expired cert.name"},
		{"fail(cert.name) inconclusive(smtp.timeout)", 2, Inconclusive, "smtp.timeout vantage.quorum"},
		{"fail(cert.name) fail(cert.name) inconclusive(smtp.timeout)", 2, Fail, "cert.name"},
		// A withdrawn vantage is absent, whatever it says.
		{"- pass", 2, Inconclusive, "vantage.quorum"},
		{"- pass pass", 2, Pass, ""},
		{"- -", 1, Inconclusive, "vantage.quorum"},
		// So is one that held the domain against another entry; of a tie none counts.
		{"pass pass fail(mx.not-covered)*", 2, Pass, "vantage.other-policy"},
		{"pass fail(mx.not-covered)*", 1, Inconclusive, "vantage.other-policy vantage.quorum"},
		{"pass fail(mx.not-covered)* fail(mx.not-covered)*", 2, Fail, "mx.not-covered vantage.other-policy"},
	} {
		t.Run(fmt.Sprintf("%d of %s", c.quorum, c.votes), func(t *testing.T) {
			m := combine(domain("x.example"), votesOf(c.votes), c.quorum)
			if m.Verdict != c.verdict || strings.Join(m.Codes, " ") != c.codes {
				t.Errorf("%s %q, want %s %q", m.Verdict, m.Codes, c.verdict, c.codes)
			}
		})
	}
}

// TestQuorumNeverInvents tries all votes of up to four vantages: no pass without K that pass or warn, no fail without K
// that fail, and a contradiction is always shown.
func TestQuorumNeverInvents(t *testing.T) {
	words := []string{"pass", "warn(cert.expiring)", "fail(cert.name)", "inconclusive(smtp.timeout)", "-", ""}
	for n := range 6 * 6 * 6 * 6 {
		var said []string
		for k := n; len(said) < 4; k /= 6 {
			said = append(said, words[k%6])
		}
		votes := votesOf(strings.Join(said, " "))
		if len(votes) == 0 {
			continue
		}
		good, bad := 0, 0
		for _, v := range votes {
			if v.Void == "" && v.Verdict.good() {
				good++
			}
			if v.Verdict == Fail {
				bad++
			}
		}
		for quorum := 1; quorum <= 4; quorum++ {
			m := combine(domain("x.example"), slices.Clone(votes), quorum)
			switch {
			case m.Verdict.good() && (good < quorum || bad >= quorum),
				m.Verdict == Fail && (bad < quorum || good >= quorum),
				slices.Contains(m.Codes, codeDisagree) != (good > 0 && bad > 0),
				m.Verdict == Pass && bad > 0,
				m.Since.After(m.At):
				t.Fatalf("%d of %v: %+v", quorum, said, m)
			}
		}
	}
}

func TestQuorumSince(t *testing.T) {
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	for votes, want := range map[string]time.Time{
		"pass pass pass":                        hour(-8), // the second of three came at -8
		"pass fail(cert.name) pass":             hour(-7), // the dissenter does not count
		"pass inconclusive pass":                hour(-7),
		"warn(mx.implicit) pass":                hour(-8),
		"fail(cert.name) pass fail(cert.name)":  hour(-7),
		"pass inconclusive":                     hour(-8), // nothing is decided since the last change
		"pass fail(cert.name) inconclusive - -": hour(-5),
	} {
		if m := combine(domain("x.example"), votesOf(votes), 2); !m.Since.Equal(want) {
			t.Errorf("%s: since %s, want %s", votes, m.Since, want)
		}
	}
}

// TestMergedResult: the findings say who saw what.
func TestMergedResult(t *testing.T) {
	r := combine(domain("x.example"), votesOf("fail(cert.name) fail(cert.expired) pass -"), 2).Result()
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Code+": "+f.Summary)
		if f.Fix == "" || f.Severity == "" || f.Domain != "x.example" {
			t.Errorf("%+v", f)
		}
	}
	want := []string{
		"cert.expired: b: the certificate has expired",
		"cert.name: a: the certificate does not carry the MX host name",
		"vantage.disagree: a fail (cert.name), b fail (cert.expired), c pass, d inconclusive, which does not count (vantage.withdrawn): " +
			effectOf(codeDisagree).Summary,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
