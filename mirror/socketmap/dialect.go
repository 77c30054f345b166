package socketmap

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// dialect is how much a Postfix understands; the map's name says it.
type dialect struct {
	mta.Dialect
	tlsrpt bool // Postfix 3.10: attributes for reports, and MX patterns that mean one label
}

// dialects are by map name. The last three are those of postfix-tlspol and postfix-mta-sts-resolver, so that changing
// over is one line in main.cf; both send SNI.
var dialects = map[string]dialect{
	"legacy":          {Dialect: mta.Legacy},
	"sni":             {Dialect: mta.SNI},
	"floor":           {Dialect: mta.Floor},
	"tlsrpt":          {Dialect: mta.Floor, tlsrpt: true},
	"QUERY":           {Dialect: mta.SNI},
	"QUERYwithTLSRPT": {Dialect: mta.Floor, tlsrpt: true},
	"postfix":         {Dialect: mta.SNI},
}

// dialectOf is legacy for a name that nobody knows: every Postfix reads it, and NOTFOUND would switch the list off for a
// slip of the finger.
func dialectOf(mapName string) dialect { return dialects[mapName] }

// reply says a decision in the dialect.
func (d dialect) reply(c Decision) (Reply, error) {
	switch {
	case c.Temp != "":
		return Reply{Temp: c.Temp}, nil
	case c.Source == SourceDANE:
		return Reply{Value: "dane-only" + d.reports(c, "")}, nil
	case len(c.Policy.MXs) == 0 || c.Policy.Mode != policy.Enforce:
		return Reply{}, nil
	}
	p := c.Policy
	if !d.tlsrpt && len(c.Exact) > 0 {
		p.MXs = c.Exact
	}
	value, err := mta.AppendPostfixValue(nil, p, d.Dialect)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Value: string(value) + d.reports(c, "sts")}, nil
}

// reports are the attributes for TLSRPT (smtp_tls_policy_maps in postconf(5), Postfix 3.10). Of the policy types only
// "sts" lets a Postfix take mx_host_pattern, which makes it skip MX hosts that match none, one label for the star.
func (d dialect) reports(c Decision, kind string) string {
	if !d.tlsrpt || kind == "" {
		return ""
	}
	out := fmt.Sprintf(" policy_type=%s policy_domain=%s", kind, c.Domain)
	for _, mx := range c.Policy.MXs {
		out += " mx_host_pattern=" + mx.STS()
	}
	if c.Failure != "" {
		out += " policy_failure=" + string(c.Failure)
	}
	return out
}
