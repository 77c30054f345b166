// Package leaveout finds the listed domains that a table for a mail server had better not name, because they say something
// about themselves that comes first.
//
// Where a table answers before the domain's own word is looked at, the list would beat usable DANE (RFC 7672) and a valid
// MTA-STS policy (RFC 8461) that says something else. So each listed domain is asked now and then, and left out while its
// last known answer is
//
//	DANE      usable TLSA records, proved by DNSSEC, for every MX host
//	MTA-STS   a valid policy, fetched over verified HTTPS, that is not the list's: other MX hosts, or not "enforce"
//
// To be left out is to lose the list's protection, so nothing that an attacker on the way can bring about leads to it. A
// lookup that fails changes nothing: neither is a domain left out for it, nor does one come back that was left out. But
// when a week of attempts has not confirmed an answer, or an MTA-STS policy is older than its max_age, the list decides
// again.
//
// A Book remembers the answers. Its file has one domain a line, sorted: when it was asked last, whether it had usable DANE
// and when that was answered last, and when its MTA-STS was; "-" stands for never. The policies themselves are beside it in
// the file of package socketmap.
//
//	a.example 2026-03-01T12:00:00Z dane 2026-03-01T12:00:00Z 2026-03-01T12:00:00Z
//	b.example 2026-03-02T12:00:00Z none 2026-03-01T12:00:00Z -
package leaveout
