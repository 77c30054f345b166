package registration

import (
	"errors"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// errNoName is for what lies at a public suffix itself.
var errNoName = errors.New("nobody registers it")

// Name is the name that somebody registered to have a mail domain: one label below the public suffix, of the registries' part
// of the list. A registry is not asked for more than what it sells.
func Name(d policy.Domain) (policy.Domain, error) {
	above, found := strings.CutSuffix(d.String(), "."+policy.PublicSuffix(d))
	if !found || above == "" {
		return policy.Domain{}, errNoName
	}
	labels := strings.Split(above, ".")
	return policy.ParseDomain(labels[len(labels)-1] + "." + policy.PublicSuffix(d))
}

// names are the registered names of domains, sorted, each once.
func names(domains []policy.Domain) []policy.Domain {
	var out []policy.Domain
	for _, d := range domains {
		if n, err := Name(d); err == nil {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, byName)
	return slices.Compact(out)
}

func byName(a, b policy.Domain) int { return strings.Compare(a.String(), b.String()) }
