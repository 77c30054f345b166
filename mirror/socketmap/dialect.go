package socketmap

import (
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// dialect is how much a Postfix understands; the map's name says it.
type dialect struct{ mta.Dialect }

// usualReply is enough for most policies, in bytes.
const usualReply = 256

func dialectOf(mapName string) dialect {
	d, _ := mta.MapDialect(mapName)
	return dialect{d}
}

// reply says a decision in the dialect.
func (d dialect) reply(c Decision) (Reply, error) {
	switch {
	case c.Temp != "":
		return Reply{Temp: c.Temp}, nil
	case c.Source == SourceDANE:
		return Reply{Value: "dane-only"}, nil
	case len(c.Policy.MXs) == 0 || c.Policy.Mode != policy.Enforce:
		return Reply{}, nil
	}
	p := c.Policy
	if !d.Exact() && len(c.Exact) > 0 {
		p.MXs = c.Exact
	}
	value, err := mta.AppendPostfixValue(make([]byte, 0, usualReply), c.Domain, p, d.Dialect)
	if err != nil {
		return Reply{}, err
	}
	// There is also policy_failure, for reports of a policy that could not be had. Postfix 3.10.13 then takes no certificate
	// ("external policy failure"): mail to a listed domain would wait for as long as somebody disturbs its web server.
	return Reply{Value: string(value)}, nil
}
