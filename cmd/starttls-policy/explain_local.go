package main

import (
	"context"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// local corrects what a table says of d, listed with the policy p, by what comes before the lists on this machine.
func (e *explanation) local(ctx context.Context, l localSay, c config, d policy.Domain, p policy.Policy) {
	if c.Postfix != nil {
		l.sources, _, _ = c.Postfix.neglected(ctx, l.sources, c.daneMap())
	}
	if p.Mode == policy.Testing && l.adopt.has(d) {
		p.Mode = policy.Enforce
		e.table(d, p, c.Postfix, dialectOr(ctx, c))
		e.Why = append(e.Why, "the list says testing; early-adopter in the configuration enforces it")
	}
	if left, out := l.leaves(d, p); out {
		e.Postfix, e.Why = "", []string{"left out of the table: the domain " + left.why.Text}
		e.Why = append(e.Why, ownRule[left.why.Source])
	}
	if o, ok := l.overrides.Find(d, l.now); ok {
		e.Postfix, e.Why = "", nil
		if len(o.Policy.MXs) > 0 {
			value, err := mta.AppendPostfixValue(nil, d, o.Policy, dialectOr(ctx, c))
			if e.Postfix = string(value); err != nil {
				e.Why = append(e.Why, err.Error())
			}
		}
		e.Why = append(e.Why, fmt.Sprintf("an override of this machine comes before the lists: %s", o.Reason))
	}
	if off := readSwitch(c.State); off != nil {
		e.Postfix, e.Why = "", []string{"all policies are off, until \"starttls-policy enable\": " + off.Reason}
	}
}

// ownRule says what happens to a domain that is left out, by the source of its own policy.
var ownRule = map[string]string{
	"dane":    "so the mail server's own DANE decides (RFC 7672), which a list must not weaken (RFC 8461 section 2)",
	"mta-sts": "so the MTA-STS resolver behind the table decides (RFC 8461 section 5)",
}
