// Package policy is what a list says about mail domains: names, patterns, modes, entries, the files of a source, the published
// policy.json, and the rules by which people's edits are judged. It is pure: bytes and values in, values and findings out. It
// knows no clock, no network, no log and no signature; times arrive as arguments.
//
// Text becomes values at the border, which then cannot be wrong:
//
//	Domain     a.example                 lower-case A-labels (RFC 5890), two or more, no final dot
//	MXPattern  mx.a.example, .a.example  a host, or any one label in front of a suffix (RFC 8461 section 4.1 writes "*.")
//	Mode       testing, enforce          RFC 8461 section 5
//	Policy     a mode and 1 to 16 sorted patterns
//	List       domains with their policies, sorted bytewise: what policy.json holds
//	Source     what people write in Git: fragments with aliases, reasons and notes (schema/README.md)
//
// Parse… takes the one form that is published and refuses everything else; Normalize… takes what people write. What is
// published has one byte string for each value: ParseList(data) gives a list whose Bytes are data.
//
//	h, l, err := policy.ParseList(data)                  // err wraps ErrList, with line and column
//	d, err := policy.ParseDomain("a.example")            // err wraps ErrName
//	p, listed := l.Lookup(d)
//	ok := p.Allows(host)                                 // may this MX host receive the domain's mail?
//
// A fault of somebody's file is no error but a Finding: a stable code (Codes, RULES.md), where, and how to mend it. An error
// means that nothing could be decided. Rules about one source are in ParseSource, those about a change in CompareSources.
//
// Packages below it each know one thing more: canonical the byte form of JSON, mtasts and tlsrpt what RFC 8461 and RFC 8460 say,
// proof and records what owners publish in DNS, gate what has to be proven before an entry changes, mta how mail servers are told.
package policy
