// Package probe answers one question about a mail domain: would a sender that validates certificates deliver to every
// live MX host, from everywhere?
//
// It looks up the MX hosts and all their addresses (package discovery), holds lock-step SMTP sessions with each, one
// or, where there is doubt, a few, upgrades them with STARTTLS and writes down what it saw: an Observation. It also
// reads what senders go by, the domain's MTA-STS policy and, where DNSSEC vouches for them, its hosts' TLSA records,
// and where reports about TLS are to go. Judge, a pure function, turns the observation into a verdict with codes, and
// holds the list's entry, the MX records, MTA-STS and DANE against each other; so a verdict can be disputed and
// repeated without asking the servers again.
//
//	p, err := probe.New(probe.Options{Resolver: resolver, EHLO: "probe.operator.example"})
//	results, err := p.Probe(ctx, []probe.Target{{Domain: domain, Policy: policy}})
//	results[0].Verdict  // probe.Pass
//	results[0].Codes    // []string, sorted: "cert.expiring"
//	results[0].Line     // one line of evidence, canonical JSON
//
// Pass and warn say that at least one server went all the way and none is at fault. Fail is a fact about the domain.
// Inconclusive says nothing: a lookup failed, a server turned us away, greylisted or kept silent. One vantage point can
// be wrong (its provider blocks port 25, its firewall strips STARTTLS); a canary tells (Options.Canary), and several
// vantage points are merged elsewhere.
//
// An evidence file is JSON lines: a Header, one Record a domain, and the vantage's signature. README.md beside this
// file lists every check with its code and the clause of the RFC that it stands on.
package probe
