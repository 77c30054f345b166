package survey

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// facts are a domain's classes, one for each measure, and who runs its first MX host.
type facts struct {
	classes  [measureCount]string
	provider string
}

// The names of rows for domains that no provider serves. Other names hold a dot and no parenthesis.
const (
	ownHosts   = "(self)"    // its first MX host lies under the domain's own registered name
	noProvider = "(none)"    // it has no MX host with a name
	unknown    = "(unknown)" // its MX hosts could not be found out
)

// factsOf sums up what one vantage saw. trustAD says whether it could tell what DNSSEC vouches for.
func factsOf(domain policy.Domain, r probe.Record, trustAD bool) (facts, error) {
	e, err := r.Encryption()
	if err != nil {
		return facts{}, err
	}
	var f facts
	f.classes[verdictMeasure] = string(r.Verdict)
	f.classes[mxMeasure] = mxClass(r.Observed)
	f.classes[starttlsMeasure], f.classes[certificateMeasure], f.classes[versionMeasure] = noMail, noMail, noMail
	mail := f.classes[mxMeasure] != none && f.classes[mxMeasure] != "null" && f.classes[mxMeasure] != "nxdomain" &&
		e != (probe.Encryption{}) && !slices.Contains(r.Codes, "smtp.dead")
	if mail {
		f.classes[starttlsMeasure], f.classes[certificateMeasure], f.classes[versionMeasure] = starttlsClass(e), certificateClass(e), versionClass(e)
	}
	f.classes[stsMeasure] = stsClass(r)
	f.classes[daneMeasure] = daneClass(r, mail, trustAD)
	f.classes[tlsrptMeasure] = tlsrptClass(r)
	f.provider = providerOf(domain, r.Observed)
	return f, nil
}

func mxClass(o probe.Observation) string {
	switch discovery.RouteKind(o.Route) {
	case discovery.RouteHosts, discovery.RouteImplicit, discovery.RouteNull:
		return o.Route
	case discovery.RouteNone:
		if gone(o) {
			return "nxdomain"
		}
		return none
	}
	return inconclusive
}

// gone reports whether the domain does not exist: then nothing is asked below it.
func gone(o probe.Observation) bool {
	return len(o.Lookups) > 0 && o.Lookups[0].Status == string(discovery.NXDomain)
}

// starttlsClass: a server that could not be seen changes "some" no more, but every other answer.
func starttlsClass(e probe.Encryption) string {
	works := e.Verified + e.Unverified
	switch {
	case works > 0 && e.Clear > 0:
		return "some"
	case e.Unknown > 0 || works+e.Clear == 0:
		return inconclusive
	case works > 0:
		return "all"
	}
	return none
}

func certificateClass(e probe.Encryption) string {
	switch {
	case e.Verified > 0 && e.Unverified > 0:
		return "some"
	case e.Unknown > 0 || e.Verified+e.Unverified+e.Clear == 0:
		return inconclusive
	case e.Verified > 0:
		return "valid"
	case e.Unverified > 0:
		return "invalid"
	}
	return "no-tls"
}

// versionClass is that of the weakest server: who attacks chooses it.
func versionClass(e probe.Encryption) string {
	version, _ := strings.CutPrefix(e.Oldest, "TLS ")
	switch {
	case version != "" && version != "1.3" && version != "1.2":
		return "older"
	case e.Unknown > 0 || e.Verified+e.Unverified+e.Clear == 0:
		return inconclusive
	case version == "":
		return "no-tls"
	}
	return version
}

func stsClass(r probe.Record) string {
	s := r.Observed.STS
	if s == nil {
		return withoutRecords(r.Observed)
	}
	switch status := discovery.STSStatus(s.Status); {
	case status == discovery.STSNone:
		return none
	case status == discovery.STSOK && s.Policy != nil:
		return policyClass(s.Policy.Mode, r.Codes)
	case status == discovery.STSFetchForbidden:
		return "broken" // its addresses are private: a fact, although nobody went there
	case !status.Known(), s.Status == probe.STSOptedOut, s.Status == probe.STSNoName:
		return inconclusive
	}
	return "broken"
}

func policyClass(mode string, codes []string) string {
	switch {
	case mode == none:
		return "off"
	case slices.Contains(codes, "sts.mx-not-covered"):
		return "mismatch"
	case mode == "enforce", mode == "testing":
		return mode
	}
	return inconclusive // no mode of today
}

// withoutRecords is the class of what nobody asked for: below a name that does not exist there is nothing.
func withoutRecords(o probe.Observation) string {
	if gone(o) {
		return none
	}
	return inconclusive
}

func tlsrptClass(r probe.Record) string {
	t := r.Observed.TLSRPT
	if t == nil {
		return withoutRecords(r.Observed)
	}
	switch discovery.TLSRPTStatus(t.Status) {
	case discovery.TLSRPTOK:
		return "valid"
	case discovery.TLSRPTMany, discovery.TLSRPTInvalid:
		return "broken"
	case discovery.TLSRPTNone:
		if len(t.Faults) > 0 {
			return "broken" // misspelt
		}
		return none
	}
	return inconclusive
}

// providerOf is the registered domain of the MX host that mail goes to first.
func providerOf(domain policy.Domain, o probe.Observation) string {
	if mxClass(o) == inconclusive {
		return unknown
	}
	for _, h := range o.Hosts {
		name, err := policy.ParseDomain(h.Name)
		if err != nil {
			continue
		}
		switch registered := policy.RegisteredDomain(name); registered {
		case policy.RegisteredDomain(domain):
			return ownHosts
		case "":
			return name.String()
		default:
			return registered
		}
	}
	return noProvider
}
