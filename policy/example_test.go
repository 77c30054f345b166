package policy_test

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// A published list says which hosts may receive a domain's mail.
func ExampleParseList() {
	header, list, err := policy.ParseList([]byte(`{
"timestamp":"2026-11-01T14:00:00Z",
"expires":"2026-11-15T14:00:00Z",
"version":"0.1",
"author":"An operator",
"policy-aliases":{},
"policies":{
"a.example":{"mode":"enforce","mxs":[".mail.a.example","mx.a.example"]}
}
}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	domain, _ := policy.ParseDomain("a.example")
	entry, listed := list.Lookup(domain)
	fmt.Println(list.Len(), header.Expires.Format(policy.TimeFormat), listed, entry.Mode)
	for _, name := range []string{"mx.a.example", "mx1.mail.a.example", "mail.a.example", "mx.evil.example"} {
		host, _ := policy.ParseDomain(name)
		fmt.Println(name, entry.Allows(host))
	}
	// Output:
	// 1 2026-11-15T14:00:00Z true enforce
	// mx.a.example true
	// mx1.mail.a.example true
	// mail.a.example false
	// mx.evil.example false
}
