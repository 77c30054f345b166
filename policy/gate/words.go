package gate

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// tally is "1 of 3 vantages sees mail arrive, 2 do not: cert.expired".
func (l Look) tally() string {
	s := fmt.Sprintf("of %s %d see mail arrive, %d a fault", plural(l.Voters, "vantage"), l.Good, l.Bad)
	if len(l.Codes) > 0 {
		s += " (" + strings.Join(l.Codes, " ") + ")"
	}
	return s
}

// String is "enforce mx.a.example .b.example".
func (s STS) String() string {
	if s.Mode == "" {
		return "there is none"
	}
	words := []string{string(s.Mode)}
	for _, m := range s.MXs {
		words = append(words, m.String())
	}
	return strings.Join(words, " ")
}

// saysMode tells what modes of MTA-STS make a signal.
func saysMode(modes ...mtasts.Mode) func(STS) bool {
	return func(s STS) bool {
		for _, m := range modes {
			if s.Mode == m {
				return true
			}
		}
		return false
	}
}

// binding reports whether senders act on the policy.
func binding(s STS) bool { return s.Mode == mtasts.Enforce || s.Mode == mtasts.Testing }

// allowsSame asks for an MTA-STS policy that allows the hosts that p allows.
func allowsSame(p policy.Policy) func(STS) bool {
	return func(s STS) bool { return binding(s) && policy.SameHosts(s.MXs, p.MXs) }
}
