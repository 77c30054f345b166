package tlsrpt

import (
	"fmt"
	"time"
)

const daySeconds = 24 * 60 * 60

// Day is a UTC day, in days since 1970-01-01. Days compare and subtract as numbers. Its text form, also as a JSON string or map
// key, is "2026-01-10".
type Day int32

// DayOf returns the UTC day of t.
func DayOf(t time.Time) Day {
	s := t.Unix()
	return Day((s - (s%daySeconds+daySeconds)%daySeconds) / daySeconds)
}

// ParseDay reads "2026-01-10" and no other form.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no day as 2026-01-10 is", s)
	}
	return DayOf(t), nil
}

// Begin is the day's first second, UTC.
func (d Day) Begin() time.Time { return time.Unix(int64(d)*daySeconds, 0).UTC() }

// End is the day's last second, UTC, as reports write it ("T23:59:59Z"; RFC 8460 section 4.1).
func (d Day) End() time.Time { return d.Begin().Add(24*time.Hour - time.Second) }

// String returns "2026-01-10".
func (d Day) String() string { return d.Begin().Format(time.DateOnly) }

// MarshalText writes the form of String.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it.
func (d *Day) UnmarshalText(text []byte) error {
	parsed, err := ParseDay(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// Day is the UTC day that the report is about: that of the middle of its range, since some senders' days are local ones, and
// some ranges end at the next midnight. ok is false when the report has no usable range.
func (r *Report) Day() (day Day, ok bool) {
	switch {
	case r.Begin.IsZero() && r.End.IsZero():
		return 0, false
	case r.Begin.IsZero():
		return DayOf(r.End.Add(-time.Second)), true // the range's end may be the next midnight
	case r.End.Before(r.Begin): // also where there is no end
		return DayOf(r.Begin), true
	}
	return DayOf(r.Begin.Add(r.End.Sub(r.Begin) / 2)), true
}
