package socketmap

import (
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// domainOf is the recipient domain that a key stands for. Postfix asks with the next hop as it is: in whatever letters the
// sender typed, for socketmap does not fold them as file maps do ("STS.Test"), and after NOTFOUND again with each
// parent, a dot in front (".test"). The list knows exact domains only, so such keys have no domain, nor have those of
// a relay ("[192.0.2.1]:25", "[mx.a.test]") or with a port ("a.test:587").
func domainOf(key string) (policy.Domain, bool) {
	if key == "" || key[0] == '.' || key[0] == '[' {
		return policy.Domain{}, false
	}
	if d, err := policy.ParseDomain(key); err == nil { // by far the most
		return d, true
	}
	if strings.HasSuffix(key, "..") {
		return policy.Domain{}, false
	}
	d, err := policy.NormalizeDomain(key)
	return d, err == nil
}
