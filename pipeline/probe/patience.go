package probe

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// endurance is how long a server may be in trouble that could be over any moment, before it counts as a fact. A sender's
// queue holds mail for about as long (RFC 5321 section 4.5.4.1: four to five days).
const endurance = 3 * 24 * time.Hour

// Waiting is such trouble. It is carried from scan to scan as long as each sees the same, so that the judgement about it
// rests on this line alone.
type Waiting struct {
	Code  string `json:"code"`  // "smtp.unreachable": of all hosts; "starttls.refused-temp"
	Since string `json:"since"` // the first scan in a row that saw it
}

// lasting are the codes of trouble that went on for too long.
func lasting() map[string]string {
	return map[string]string{"smtp.unreachable": "smtp.dead", "starttls.refused-temp": "starttls.refused-long"}
}

// wait adds the trouble that j found to o, with the time that the last scan knows of.
func (p *Prober) wait(o *Observation, domain policy.Domain, j Judgement) {
	now := p.opts.Clock.Now().UTC().Truncate(time.Second)
	for code := range lasting() {
		if j.Verdict != Inconclusive || !troubled(j.Codes, code) {
			continue
		}
		if o.Waiting != nil && o.Waiting.Code < code {
			continue // of two kinds the first in the alphabet, whatever the order of the map
		}
		o.Waiting = &Waiting{Code: code, Since: formatTime(now)}
		if old := p.opts.Previous[domain]; old.Waiting == code && old.WaitingSince.Before(now) {
			o.Waiting.Since = formatTime(old.WaitingSince)
		}
	}
}

// troubled reports whether codes tell of that trouble. That nobody is there must be all that keeps us from a judgement: a
// host that turns us away may have good reasons.
func troubled(codes []string, code string) bool {
	if !slices.Contains(codes, code) {
		return false
	}
	return code != "smtp.unreachable" || !slices.ContainsFunc(codes, func(id string) bool {
		return id != code && effectOf(id).verdict == Inconclusive
	})
}

// waited judges trouble that has lasted.
func (j *judge) waited(w *Waiting) {
	if w == nil {
		return
	}
	since, err := time.Parse(timeFormat, w.Since)
	if id := lasting()[w.Code]; err == nil && id != "" && troubled(j.codes, w.Code) && j.now.Sub(since) >= endurance {
		j.add(id, "%s (since %s)", j.domain, w.Since)
	}
}

// waitingOf reads the trouble that a vantage's own line tells of; the zero values for none.
func waitingOf(line Line) (code string, since time.Time) {
	var r struct {
		Observed struct{ Waiting Waiting }
	}
	if !slices.ContainsFunc(line.Codes, func(id string) bool { return lasting()[id] != "" }) || json.Unmarshal(line.Raw, &r) != nil {
		return "", time.Time{}
	}
	since, err := time.Parse(timeFormat, r.Observed.Waiting.Since)
	if err != nil {
		return "", time.Time{}
	}
	return r.Observed.Waiting.Code, since
}
