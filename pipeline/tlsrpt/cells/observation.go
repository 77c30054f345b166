package cells

import (
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Loop tells which way a report came. One operator may take both, as nobody can tell; so the contributors of the two are never
// counted together.
type Loop int

const (
	Senders    Loop = iota // contributions of mail servers that use the list: pseudonyms
	Recipients             // reports that enrolled domains pass on: authenticated reporters
)

// Observation is what one contributor reported of one domain on one UTC day.
type Observation struct {
	Loop        Loop
	Contributor string // a pseudonym of the day's month, or a reporter's domain: only ever compared
	Domain      policy.Domain
	Day         tlsrpt.Day
	Sessions    int64
	Failed      map[tlsrpt.Class]int64 // of Sessions; ClassOK plays no part

	// For alerts, of Sessions: those under an MTA-STS policy, those under none and no TLSA either, and those that failed at an MX
	// host that the list does not allow, for its certificate.
	UnderSTS, UnderNone, Unlisted int64
}

// vote is what a contributor says of a row: sums over domains and days.
type vote struct {
	sessions int64
	failed   [classes]int64 // of ClassOK, those that succeeded
}

// classes is the number of classes, in the order of tlsrpt.Classes.
const classes = 7

// most caps sums, as counts come from strangers.
const most = tlsrpt.MaxCount

func (v *vote) add(o Observation) {
	n := min(o.Sessions, most)
	day, left := vote{sessions: n}, n
	for i, c := range tlsrpt.Classes() {
		if c == tlsrpt.ClassOK {
			continue
		}
		day.failed[i] = min(max(o.Failed[c], 0), n)
		left = max(left-day.failed[i], 0)
	}
	day.failed[position(tlsrpt.ClassOK)] = left
	v.join(&day)
}

// join adds what the same contributor says of other days, or of another domain.
func (v *vote) join(o *vote) {
	v.sessions = min(v.sessions+o.sessions, most)
	for i, n := range o.failed {
		v.failed[i] = min(v.failed[i]+n, most)
	}
}

// share is how many of 10,000 sessions were of class i.
func (v *vote) share(i int) int64 {
	if v.sessions == 0 {
		return 0
	}
	// Not a product first: it would overflow for counts that strangers make up.
	return int64(float64(min(v.failed[i], v.sessions)) / float64(v.sessions) * 10_000)
}
