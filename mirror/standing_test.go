package mirror

import (
	"testing"
	"time"
)

// The page of the log tells when clients will say stale, and they do.
func TestFreshUntil(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct{ quorum, want time.Time }{
		"no witnesses":              {time.Time{}, made.Add(freshFor)},
		"they cosigned later":       {made.Add(time.Hour), made.Add(freshFor)},
		"they are behind by a day":  {made.Add(-24 * time.Hour), made.Add(freshFor - 24*time.Hour)},
		"they cosigned at the time": {made, made.Add(freshFor)},
	} {
		if got := FreshUntil(&ReleaseLeaf{Timestamp: made}, tt.quorum); !got.Equal(tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		o := Outcome{View: View{Release: &ReleaseLeaf{Timestamp: made, Expires: made.AddDate(0, 0, 14)}, Freshness: Fresh}, QuorumTime: tt.quorum}
		if tt.quorum.IsZero() {
			o.QuorumTime = made // as the client has it
		}
		if o.At(tt.want) != Fresh || o.At(tt.want.Add(time.Second)) != Stale {
			t.Errorf("%s: clients say otherwise", name)
		}
	}
}

// An outcome that stays in memory grows old as the list on disk does.
func TestOutcomeAt(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fresh := Outcome{View: View{Freshness: Fresh, Release: &ReleaseLeaf{Timestamp: made, Expires: made.AddDate(0, 0, 14)}}, QuorumTime: made}
	behind, stale, unwitnessed := fresh, fresh, fresh
	behind.ClockBehind = 5 * 24 * time.Hour // believed for a day of it
	stale.Freshness = Stale
	unwitnessed.QuorumTime = made.Add(-time.Hour)
	for _, c := range []struct {
		name  string
		o     Outcome
		after time.Duration
		want  Freshness
	}{
		{"nothing held", Outcome{}, 0, None},
		{"made now", fresh, 0, Fresh},
		{"two days", fresh, freshFor, Fresh},
		{"a second more", fresh, freshFor + time.Second, Stale},
		{"the log's word is older", unwitnessed, freshFor, Stale},
		{"was stale when it was read", stale, 0, Stale},
		{"before the end", fresh, 14*24*time.Hour - time.Second, Stale},
		{"the end", fresh, 14 * 24 * time.Hour, Expired},
		{"a clock that lags, two days", behind, freshFor, Stale},
		{"a clock that lags, a day before the end", behind, 13 * 24 * time.Hour, Expired},
		{"a clock that lags, more than a day", behind, 13*24*time.Hour - time.Second, Stale},
	} {
		if got := c.o.At(made.Add(c.after)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
