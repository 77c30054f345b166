package socketmap

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// Source is whose policy counts.
type Source string

// In the order in which they count.
const (
	SourceOff      Source = "off"      // the kill switch: nobody's
	SourceOverride Source = "override" // this machine's administrator
	SourceDANE     Source = "dane"     // the domain's DNS, signed (RFC 7672)
	SourceSTS      Source = "mta-sts"  // the domain's web server, live or cached (RFC 8461)
	SourceList     Source = "list"
	SourceNone     Source = "none" // the mail server's own settings decide
)

// Decision is what is to be done with mail for one domain, and why.
type Decision struct {
	Domain policy.Domain
	Source Source
	List   string // name of the list, for SourceList
	// Policy is the policy that counts. Without MXs, or in testing mode, mail goes out as if there were none.
	Policy policy.Policy
	// Exact are the domain's MX hosts of the moment that Policy allows: for a Postfix that takes ".suffix" for any depth.
	Exact []policy.MXPattern
	// Downgrade says what may be an attack: somebody suppresses what the domain publishes; "" if nothing does.
	Downgrade string
	Temp      string   // see Reply
	Why       []string // a sentence for each source that was asked, in order

	brief   bool   // nobody asks why
	trouble string // why the domain's own MTA-STS policy is not known
}

func (c *Decision) because(format string, args ...any) {
	if c.brief {
		return
	}
	c.Why = append(c.Why, fmt.Sprintf(format, args...))
}
