package socketmap

import (
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Override is what this machine's administrator says of one domain, whatever anybody else says.
type Override struct {
	Domain policy.Domain
	// Policy is the policy to follow; without MXs none is: the domain is delivered to as if nobody had one for it.
	Policy policy.Policy
	Reason string
	Until  time.Time // when it ends; zero: never
}

// Overrides are by domain. Nobody changes them once they are in use.
type Overrides map[policy.Domain]Override

// Find returns the override that holds at now.
func (o Overrides) Find(d policy.Domain, now time.Time) (Override, bool) {
	found, ok := o[d]
	if !ok || !found.Until.IsZero() && !now.Before(found.Until) {
		return Override{}, false
	}
	return found, true
}
