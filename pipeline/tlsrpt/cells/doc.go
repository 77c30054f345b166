// Package cells makes of what contributors reported the table that is published: how often TLS failed on the way to which
// domains, so that faults are seen and contributors are not. It is pure: no clock, network, log or store.
//
//	week, _ := cells.WeekOf(day)
//	table := cells.Make(week, observations, listed, secret)
//	table.Bytes()    // canonical JSON, format feedback/1
//	table.Row(d)     // the cells of a domain; ok is false for "insufficient data", which never says why
//
// A cell is a domain, a week and a class. Its domain is published when in that week three contributors or more reported at least
// 50 sessions together, and as many more contributors as the month's secret asks for: else nobody could be among the three whose
// arrival would not be seen. Domains that are not published are rolled up by MX provider, and the roll-up has to be large enough
// in the same way. Each contributor has one vote, its share of sessions, however much mail it sends; a cell is the median of
// votes, in five buckets, and at least three contributors stand behind any share above none.
//
// README.md says what an observer of the tables can find out, and how that was measured.
package cells
