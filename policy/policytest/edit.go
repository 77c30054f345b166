// Package policytest writes edits of a list as short as a test's story needs them. Only tests import it.
package policytest

import "github.com/starttls-everywhere/policylist/policy"

// Set lists a domain, or changes its policy. Without MX names it is mx.<domain>. It panics where one is none: a test's own text
// is wrong.
func Set(name string, mode policy.Mode, mxs ...string) policy.Edit {
	if len(mxs) == 0 {
		mxs = []string{"mx." + name}
	}
	var patterns []policy.MXPattern
	for _, m := range mxs {
		patterns = append(patterns, must(policy.ParseMXPattern(m)))
	}
	p := must(policy.NewPolicy(mode, patterns))
	return policy.Edit{Domain: must(policy.ParseDomain(name)), Policy: &p}
}

// Del takes a domain off the list.
func Del(name string) policy.Edit { return policy.Edit{Domain: must(policy.ParseDomain(name))} }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
