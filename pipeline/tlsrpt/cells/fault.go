package cells

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// hard are the classes for which the list's senders cannot deliver, and the share from which they count. The others touch who
// follows DANE or MTA-STS.
func hard() []tlsrpt.Class {
	return []tlsrpt.Class{tlsrpt.ClassNoSTARTTLS, tlsrpt.ClassCertificate, tlsrpt.ClassHostMismatch}
}

// counts reports whether a share of a class is a fault that somebody should look at: more than 1 in 100 sessions of a hard
// class, more than 10 of another.
func counts(c tlsrpt.Class, b Bucket) bool {
	switch {
	case c == tlsrpt.ClassOK:
		return false
	case slices.Contains(hard(), c):
		return b >= Some
	}
	return b >= Many
}

// worst is the class of a row with the largest share that counts; of equal ones the first.
func (c Cells) worst() (class tlsrpt.Class, b Bucket, ok bool) {
	for _, k := range tlsrpt.Classes() {
		if s := c.Of(k); counts(k, s) && s > b {
			class, b, ok = k, s, true
		}
	}
	return class, b, ok
}

// Against says what the table has against a domain whose MX hosts a provider runs, "" for nothing: of its own row, or where it has
// none, of its provider's, if more than 10 in 100 sessions fail there.
func (t Table) Against(d policy.Domain, provider string) string {
	row, own := t.Row(d)
	what := "to the domain"
	if !own {
		var ok bool
		if row, ok = t.Provider(provider); !ok {
			return ""
		}
		what = "to " + provider
	}
	class, b, bad := row.worst()
	if !bad || !own && b < Many {
		return ""
	}
	return fmt.Sprintf("from %s to %s of the sessions %s %s failed for %s", t.Week.First(), t.Week.Last(), what, b, class)
}

// Incident is a fault that the table shows: of a domain, or of a provider, and then it stands for all of that one's domains.
type Incident struct {
	Name     string // of the domain or the provider
	Provider bool
	Class    tlsrpt.Class
	Share    Bucket
	Domains  int // of the provider's that show it in rows of their own
}

// IncidentDomains is how many domains of one provider with the same fault, or the same alert, are one incident of the provider's.
const IncidentDomains = 3

// Incidents are the faults of a table, sorted by name: one of a provider instead of many of its domains.
func (t Table) Incidents(listed Listed) []Incident {
	type key struct {
		provider string
		class    tlsrpt.Class
	}
	groups := map[key][]Incident{}
	for _, r := range t.Domains {
		d, err := policy.ParseDomain(r.Name)
		class, b, bad := r.Cells.worst()
		if err != nil || !bad {
			continue
		}
		p, ok := listed(d)
		if !ok {
			continue // has left the list since
		}
		groups[key{p, class}] = append(groups[key{p, class}], Incident{Name: r.Name, Class: class, Share: b})
	}
	var out []Incident
	for _, r := range t.Providers {
		if class, b, bad := r.Cells.worst(); bad {
			k := key{r.Name, class}
			out = append(out, Incident{r.Name, true, class, b, len(groups[k])})
			delete(groups, k)
		}
	}
	for k, of := range groups {
		if len(of) < IncidentDomains {
			out = append(out, of...)
			continue
		}
		share := None
		for _, i := range of {
			share = max(share, i.Share)
		}
		out = append(out, Incident{k.provider, true, k.class, share, len(of)})
	}
	slices.SortFunc(out, func(a, b Incident) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Class, b.Class)) })
	return out
}
