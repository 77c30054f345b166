package mirror

import "time"

// At is how the list of an outcome stands at now, by the local clock: for those who keep the outcome in memory while time
// goes on. What was stale stays so until it is read again, for time alone makes nothing fresh.
func (o Outcome) At(now time.Time) Freshness {
	if o.Release == nil {
		return None
	}
	now = now.Add(min(o.ClockBehind, maxAhead))
	switch {
	case !now.Before(o.Release.Expires):
		return Expired
	case o.Freshness == Stale, now.Sub(o.QuorumTime) > freshFor, now.Sub(o.Release.Timestamp) > freshFor:
		return Stale
	}
	return Fresh
}

// FreshUntil is when clients begin to call a release stale: 48 hours after its timestamp or its quorum time, whichever is
// earlier. quorum is zero where no witness is asked for.
func FreshUntil(r *ReleaseLeaf, quorum time.Time) time.Time {
	at := r.Timestamp
	if !quorum.IsZero() && quorum.Before(at) {
		at = quorum
	}
	return at.Add(freshFor)
}
