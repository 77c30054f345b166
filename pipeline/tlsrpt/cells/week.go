package cells

import (
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	weekDays = 7
	weeks    = 4 // of a month
)

// dueDays is how long after a week's last day its table is made: so long the store takes contributions.
const dueDays = tlsrpt.MaxContributionAge

// Week is seven UTC days, named by the first: the 1st, 8th, 15th or 22nd of a month. Weeks never overlap, so that no two
// tables can be subtracted from each other, and none begins in one month and ends in the next, since a contributor's pseudonym
// lives for a month: across its end one contributor would count as two. The price is that days 29 to 31 are in no table.
type Week struct{ first tlsrpt.Day }

// WeekOf returns the week of a day; ok is false for a day that has none.
func WeekOf(d tlsrpt.Day) (w Week, ok bool) {
	n := d.Begin().Day() - 1
	if n >= weeks*weekDays {
		return Week{}, false
	}
	return Week{d - tlsrpt.Day(n%weekDays)}, true
}

// ParseWeek reads the first day of a week, "2026-11-08".
func ParseWeek(s string) (Week, error) {
	d, err := tlsrpt.ParseDay(s)
	if err != nil {
		return Week{}, err
	}
	if w, ok := WeekOf(d); ok && w.first == d {
		return w, nil
	}
	return Week{}, fmt.Errorf("%s begins no week: weeks begin on the 1st, 8th, 15th and 22nd", s)
}

// First is the week's first day.
func (w Week) First() tlsrpt.Day { return w.first }

// Last is the week's last day.
func (w Week) Last() tlsrpt.Day { return w.first + weekDays - 1 }

// Has reports whether d is one of the seven days.
func (w Week) Has(d tlsrpt.Day) bool { return d >= w.first && d <= w.Last() }

// Due is when the week's table is made: nothing that comes later counts.
func (w Week) Due() time.Time { return (w.Last() + 1 + dueDays).Begin() }

// Month is the month that the week lies in.
func (w Week) Month() Month { return MonthOf(w.first) }

// String is the first day.
func (w Week) String() string { return w.first.String() }
