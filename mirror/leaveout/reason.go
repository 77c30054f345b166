package leaveout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// Sources are those of a domain's own policies that count, because the mail server looks at them itself.
type Sources struct{ DANE, STS bool }

// Any reports whether any of them counts.
func (s Sources) Any() bool { return s.DANE || s.STS }

// Reason is why a domain is left out. Text is a sentence without its subject, the domain.
type Reason struct {
	Source string // "dane" or "mta-sts"
	Text   string
}

// Reason tells whether d, which the list has with the policy p, is to be left out. It asks nobody.
func (b *Book) Reason(d policy.Domain, p policy.Policy, s Sources) (why Reason, out bool) {
	a, ok := b.answers[d]
	if !ok {
		return Reason{}, false
	}
	if s.DANE && a.DANE && a.confirmed(a.DANEAt) {
		return Reason{"dane", "has usable TLSA records for all its MX hosts" + a.since(stamp(a.DANEAt))}, true
	}
	if !s.STS || !a.confirmed(a.STSAt) {
		return Reason{}, false
	}
	own := b.live.Held(d)
	if own == nil || same(*own, p) {
		return Reason{}, false
	}
	says := string(own.Mode)
	if own.Mode == mtasts.Enforce {
		says += " " + strings.Join(spell(own.MXs), " ")
	}
	return Reason{"mta-sts", "says by MTA-STS: " + says + a.since(stamp(a.STSAt))}, true
}

// since says how old an answer is, and whether it is the last.
func (a Answer) since(at string) string {
	if last := stamp(a.Asked); last != at {
		return fmt.Sprintf(" (answered %s, and no more when asked %s)", at, last)
	}
	return " (asked " + at + ")"
}

// same reports whether both mean the same for mail.
func same(own mtasts.Policy, listed policy.Policy) bool {
	return own.Mode == mtasts.Enforce && listed.Mode == policy.Enforce && slices.Equal(spell(own.MXs), spell(listed.MXs))
}

func spell(mxs []policy.MXPattern) []string {
	out := make([]string, len(mxs))
	for i, m := range mxs {
		out[i] = m.String()
	}
	slices.Sort(out)
	return out
}
