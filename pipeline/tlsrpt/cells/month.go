package cells

import (
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Month is a calendar month, UTC: the life of a contributor's pseudonym, and of the choice of rows.
type Month struct{ first tlsrpt.Day }

// MonthOf is the month of a day.
func MonthOf(d tlsrpt.Day) Month { return Month{d - tlsrpt.Day(d.Begin().Day()-1)} }

// ParseMonth reads "2026-11" and no other form.
func ParseMonth(s string) (Month, error) {
	d, err := tlsrpt.ParseDay(s + "-01")
	if err != nil {
		return Month{}, fmt.Errorf("%q is no month as 2026-01 is", s)
	}
	return Month{d}, nil
}

// Before is the month before.
func (m Month) Before() Month { return MonthOf(m.first - 1) }

// Next is the month after.
func (m Month) Next() Month { return MonthOf(m.first + 31) }

// First is the month's first day.
func (m Month) First() tlsrpt.Day { return m.first }

// Last is the month's last day.
func (m Month) Last() tlsrpt.Day { return m.Next().first - 1 }

// Weeks are the four weeks of the month.
func (m Month) Weeks() []Week {
	var out []Week
	for i := range weeks {
		out = append(out, Week{m.first + tlsrpt.Day(i*weekDays)})
	}
	return out
}

// Has reports whether d is in one of the four weeks; the last days of most months are in none.
func (m Month) Has(d tlsrpt.Day) bool { return d >= m.first && d < m.first+weeks*weekDays }

// String is "2026-11".
func (m Month) String() string { return m.first.Begin().Format("2006-01") }

// Due is when the rows of the month can be chosen: when the last week before it is complete.
func (m Month) Due() time.Time { return m.Before().Weeks()[weeks-1].Due() }
