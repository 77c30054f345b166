package probe

import (
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Verdict answers: would a validating sender deliver to every live MX host?
type Verdict string

const (
	Pass         Verdict = "pass"         // mail would be delivered as the policy says
	Warn         Verdict = "warn"         // it would, but something is not as it should be
	Fail         Verdict = "fail"         // it would not, and that is a fact about the domain
	Inconclusive Verdict = "inconclusive" // it could not be found out
)

// rank orders verdicts: a fact against the domain outweighs what could not be seen, and that outweighs a warning.
func (v Verdict) rank() int {
	return slices.Index([]Verdict{Pass, Warn, Inconclusive, Fail}, v)
}

// Judgement is a verdict with its reasons.
type Judgement struct {
	Verdict  Verdict
	Codes    []string         // sorted, unique
	Findings []policy.Finding // sorted; one a place, so a code may come several times
}

// Judge decides over what was seen. It is a pure function: now says what is expired, expiry is how long before its end
// a certificate's holder is warned, pol is the list's policy or the zero value for none.
func Judge(domain policy.Domain, o Observation, pol policy.Policy, now time.Time, expiry time.Duration) Judgement {
	j := &judge{domain: domain, policy: pol, now: now, expiry: expiry, alone: len(o.Hosts) == 1, verdict: Pass}
	if o.OptedOut > 0 {
		j.add("probe.opted-out", "%s", domain)
		return Judgement{Verdict: j.verdict, Codes: j.codes, Findings: j.findings}
	}
	j.route(o)
	hosts := make([]hostState, len(o.Hosts))
	for i, h := range o.Hosts {
		hosts[i] = j.host(h)
	}
	j.unreached(o.Hosts, hosts)
	names := mxNames(o.Hosts, hosts)
	j.coverage(names)
	for _, h := range o.Hosts {
		j.dane(h)
	}
	j.sts(o.STS, names)
	j.listed(o.STS)
	j.tlsrpt(o.TLSRPT)
	j.proof(o.Proof)
	if j.verdict.rank() < Inconclusive.rank() && !slices.Contains(hosts, hostGood) {
		j.add("mx.unresolvable", "no MX host of the domain can be reached")
	}
	j.waited(o.Waiting)
	slices.SortFunc(j.findings, policy.Finding.Compare)
	slices.Sort(j.codes)
	return Judgement{Verdict: j.verdict, Codes: slices.Compact(j.codes), Findings: slices.Compact(j.findings)}
}

// hostState sums up an MX host.
type hostState int

const (
	hostUnknown     hostState = iota // nothing can be said: lookups failed, or the server turned us away
	hostGood                         // at least one address went all the way, and no address is at fault
	hostBad                          // a fact against it
	hostDead                         // nobody can reach it: no address, or none that is public
	hostUnreachable                  // nobody answers, as far as this vantage can tell
)

type judge struct {
	domain   policy.Domain
	policy   policy.Policy
	now      time.Time
	expiry   time.Duration
	alone    bool // there is a single MX record
	verdict  Verdict
	codes    []string
	findings []policy.Finding
}

// add notes a finding; what says where and what exactly.
func (j *judge) add(id, format string, args ...any) {
	e := effectOf(id)
	j.note(e, e.verdict, format, args...)
}

// soften is add for a place where the fault is seen but does not keep mail from arriving.
func (j *judge) soften(id, format string, args ...any) {
	j.note(effectOf(id), Warn, format, args...)
}

func (j *judge) note(e effect, v Verdict, format string, args ...any) {
	if v.rank() > j.verdict.rank() {
		j.verdict = v
	}
	j.codes = append(j.codes, e.ID)
	j.findings = append(j.findings, policy.Finding{
		Code: e.ID, Severity: e.Severity, Domain: j.domain.String(),
		Summary: fmt.Sprintf(format, args...) + ": " + e.Summary, Fix: e.Fix,
	})
}

// lookupFailed adds the code of a lookup that says nothing about the name; ok is true when there was none.
func (j *judge) lookupFailed(l Lookup) bool {
	codes := map[discovery.Status]string{
		discovery.ServFail: "dns.servfail", discovery.Refused: "dns.refused",
		discovery.Timeout: "dns.timeout", discovery.Malformed: "dns.malformed",
	}
	id, failed := codes[discovery.Status(l.Status)]
	if l.Bogus > 0 {
		id, failed = "dns.bogus", true
	}
	if failed {
		j.add(id, "%s of %s", l.Type, l.Name)
	}
	return failed
}

// route judges how mail finds its way: RFC 5321 section 5.1, RFC 7505.
func (j *judge) route(o Observation) {
	name := j.domain.String()
	for _, l := range o.Lookups {
		j.lookupFailed(l)
	}
	switch discovery.RouteKind(o.Route) {
	case discovery.RouteNull:
		j.add("mx.null", "%s", name)
	case discovery.RouteImplicit:
		j.add("mx.implicit", "%s", name)
	case discovery.RouteNone:
		if len(o.Lookups) > 0 && o.Lookups[0].Status == string(discovery.NXDomain) {
			j.add("dns.nxdomain", "%s", name)
		} else {
			j.add("mx.none", "%s", name)
		}
	}
	if o.Omitted > 0 {
		j.add("mx.too-many", "%d not looked at", o.Omitted)
	}
}

// host judges one MX host without regard to the others.
func (j *judge) host(h Host) hostState {
	if h.Flaw != "" {
		return j.flaw(h)
	}
	state, broken := hostDead, false
	for _, l := range h.Lookups {
		if len(l.CNAME) > 0 {
			j.add("mx.cname", "%s is an alias of %s", h.Name, l.CNAME[0])
		}
		broken = j.lookupFailed(l) || broken
	}
	if len(h.Sessions) == 0 {
		if broken || slices.ContainsFunc(h.Lookups, func(l Lookup) bool { return len(l.Records) > 0 }) {
			return hostUnknown // for a failed lookup, or beyond our limits (mx.too-many)
		}
		j.add("mx.no-address", "%s", h.Name)
		return hostDead
	}
	for _, s := range h.Sessions {
		state = merge(state, j.server(h, s))
	}
	if broken && state != hostBad {
		return hostUnknown
	}
	return state
}

// merge combines the states of a host's addresses.
func merge(a, b hostState) hostState {
	order := []hostState{hostDead, hostUnreachable, hostGood, hostUnknown, hostBad}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

func (j *judge) flaw(h Host) hostState {
	switch discovery.Flaw(h.Flaw) {
	case discovery.FlawLiteral:
		j.add("mx.ip-literal", "%s", h.Name)
		return hostDead
	case discovery.FlawUnderscore:
		j.add("mx.underscore", "%s", h.Name)
	case discovery.FlawRoot:
		if j.alone {
			j.add("mx.null-malformed", "%s, preference %d", j.domain, h.Preference)
		} else {
			j.add("mx.null-mixed", "%s", j.domain)
		}
	default:
		j.add("mx.bad-name", "%q", h.Name)
	}
	return hostBad
}

// unreached weighs addresses that nobody answers at: a warning beside a good host, since a sender goes on to the next
// (RFC 5321 section 5.1); else nothing is known.
func (j *judge) unreached(hosts []Host, states []hostState) {
	note := j.add
	if slices.Contains(states, hostGood) {
		note = j.soften
	}
	for i, h := range hosts {
		for _, s := range h.Sessions {
			switch {
			case s.Failure == FailUnreachable:
				note("smtp.unreachable", "%s [%s]", h.Name, s.Address)
			case s.Failure == FailNoRoute && states[i] != hostGood && states[i] != hostBad:
				j.add("smtp.no-route", "%s [%s]", h.Name, s.Address)
			}
		}
	}
}

// mxName is an MX host by the name that policies must allow.
type mxName struct {
	policy.Domain
	dead bool // nobody answers for it
}

// mxNames leaves out hosts with a flawed name: that is told already.
func mxNames(hosts []Host, states []hostState) []mxName {
	var names []mxName
	for i, h := range hosts {
		if name, err := policy.ParseDomain(h.Name); err == nil {
			dead := states[i] == hostDead || states[i] == hostUnreachable || states[i] == hostUnknown && len(h.Sessions) == 0
			names = append(names, mxName{name, dead})
		}
	}
	return names
}

// coverage holds the MX names against the list's policy, both ways (R42, R27).
func (j *judge) coverage(names []mxName) {
	if len(j.policy.MXs) == 0 {
		return
	}
	for _, n := range names {
		switch {
		case j.policy.Allows(n.Domain):
		case n.dead:
			j.add("mx.not-covered-dead", "%s", n)
		default:
			j.add("mx.not-covered", "%s", n)
		}
	}
	j.unused(names, j.policy.MXs, "mx.unused-pattern", "")
}

// unused tells of patterns that match no MX host, of whose policy says; those that lie under somebody else's registered
// domain need a person (R53).
func (j *judge) unused(names []mxName, patterns []policy.MXPattern, id, whose string) {
	if len(names) == 0 {
		return
	}
	var live []policy.Domain
	for _, n := range names {
		live = append(live, n.Domain)
	}
	for _, p := range patterns {
		switch {
		case slices.ContainsFunc(live, p.Matches):
		case len(policy.ForeignUnused(j.domain, policy.Policy{MXs: []policy.MXPattern{p}}, live, policy.Position{})) > 0:
			j.add("mx.foreign-unused", "%s%s", whose, p)
		default:
			j.add(id, "%s%s", whose, p)
		}
	}
}

// session judges one address of a host; unreachable ones are weighed later, by unreached.
func (j *judge) session(h Host, s Session) hostState {
	at := fmt.Sprintf("%s [%s]", h.Name, s.Address)
	switch s.Failure {
	case FailForbidden:
		j.add("mx.private-address", "%s", at)
		return hostDead
	case FailNoName:
		j.add("probe.no-ehlo", "%s", at)
		return hostUnknown
	case FailOptedOut:
		j.add("probe.opted-out", "%s", at)
		return hostUnknown
	case FailUnreachable:
		return hostUnreachable
	case FailNoRoute:
		return hostUnreachable
	}
	id, detail := j.fault(s)
	if id == "" {
		return j.certificate(at, s)
	}
	j.add(id, "%s", join(at, detail))
	if effectOf(id).verdict == Fail {
		return hostBad
	}
	return hostUnknown
}

func join(at, detail string) string {
	if detail == "" {
		return at
	}
	return at + " (" + detail + ")"
}

// Worse returns the verdict that weighs more: fail, then inconclusive, then warn, then pass.
func Worse(a, b Verdict) Verdict {
	if b.rank() > a.rank() {
		return b
	}
	return a
}
