package main

// updateCounts outlive an update, which is a process of its own. They stand in its report, so that a lost file starts them
// at zero, as a restart does with any counter.
type updateCounts struct {
	Outcomes     map[string]int64 `json:"outcomes"`                // by outcomes
	MirrorErrors map[string]int64 `json:"mirror_errors,omitempty"` // by list
}

// outcomes name what an update ended with, by its exit code.
var outcomes = map[int]string{
	0: "fresh", exitStale: "stale", exitExpired: "expired", exitNoMirror: "no_mirror", exitSecurity: "security", exitFailed: "failed",
}

// plus is c with one more update.
func (c updateCounts) plus(r updateReport) updateCounts {
	next := updateCounts{Outcomes: map[string]int64{}, MirrorErrors: map[string]int64{}}
	for _, name := range outcomes {
		next.Outcomes[name] = max(0, c.Outcomes[name]) // by a file that somebody wrote into; a counter is none below zero
	}
	next.Outcomes[outcomes[r.Exit]]++
	for list, n := range c.MirrorErrors {
		next.MirrorErrors[list] = max(0, n)
	}
	for _, l := range r.Lists {
		next.MirrorErrors[l.Name] += int64(len(l.Problems))
	}
	return next
}
