package cells

import "github.com/starttls-everywhere/policylist/policy"

// ListOf tells of the domains of a list by which provider they are run, as their entries say it.
func ListOf(entries []policy.Entry) Listed {
	of := make(map[policy.Domain]string, len(entries))
	for _, e := range entries {
		of[e.Domain] = Provider(e.Domain, e.Policy)
	}
	return func(d policy.Domain) (provider string, ok bool) {
		provider, ok = of[d]
		return provider, ok
	}
}

// Provider is the registered domain of the first of the MX hosts that the policy allows, the domain itself where that is its own.
func Provider(d policy.Domain, p policy.Policy) string {
	if len(p.MXs) == 0 {
		return d.String()
	}
	base := p.MXs[0].Base()
	registered := policy.RegisteredDomain(base)
	switch registered {
	case policy.RegisteredDomain(d):
		return d.String()
	case "":
		return base.String()
	}
	return registered
}
