// Package cells makes of what contributors reported the table that is published: how often TLS failed on the way to which
// domains, so that faults are seen and contributors are not. It is pure: no clock, network, log or store.
//
//	week, ok := cells.WeekOf(day)
//	chosen := cells.Choose(week.Month(), lastMonths, listed, secret)
//	table := cells.Make(week, observations, listed, chosen)
//	table.Bytes()    // canonical JSON, format feedback/1
//	table.Row(d)     // the cells of a domain; ok is false for "insufficient data", which never says why
//
// A cell is a domain, a week and a class. It is published from three contributors and 50 sessions on, never below. Which domains
// senders' contributions may be published of is chosen once a month, by the month before and a bound that nobody knows: else a
// row that appears would tell who has come. Domains that are not chosen are rolled up by MX provider, by the same bound. Each
// contributor has one vote, its share of sessions, however much mail it sends; a cell is the median of votes, in five buckets,
// and at least three contributors stand behind any share above none.
//
// README.md says what an observer of the tables can find out, and how that was measured.
package cells
