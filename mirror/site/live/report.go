package live

import (
	"context"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// Prober looks at domains. It must contact no address that a visitor should not make this machine contact, keep its manners
// across calls, and respect who asked to be left alone. It is safe for concurrent use.
type Prober interface {
	// Probe looks at a domain as it is now. The error is ctx's, or says that nobody could look.
	Probe(context.Context, policy.Domain) (Report, error)
}

// Report is what a look found. Texts may hold what somebody's server said.
type Report struct {
	Domain     string           `json:"domain"`
	At         string           `json:"at"`      // RFC 3339, UTC
	Verdict    string           `json:"verdict"` // "pass", "warn", "fail", "inconclusive"; "" with Unfinished
	Silent     bool             `json:"unanswered,omitempty"`
	Alone      bool             `json:"left-alone,omitempty"` // its owner asked not to be probed
	Unfinished bool             `json:"unfinished,omitempty"` // it took too long, or something here went wrong
	Findings   []policy.Finding `json:"findings"`
	Omitted    int              `json:"omitted,omitempty"` // findings beyond what is kept
	Records    []records.Record `json:"publish"`
	Entry      *Entry           `json:"entry,omitempty"` // what a pull request brings; nil with NoEntry
	NoEntry    string           `json:"no-entry,omitempty"`
	Proof      []string         `json:"proof,omitempty"` // lines of a zone file
	Way        string           `json:"way,omitempty"`   // how the owner's word reaches the list, and why
}

// Entry is a change of the list's source.
type Entry struct {
	Path string `json:"path"` // in the repository
	File string `json:"file"`
	New  bool   `json:"new"` // there is no such file yet
	Link string `json:"link,omitempty"`
	// TooLong says that there would be a link, but not for a file of this size.
	TooLong bool `json:"too-long,omitempty"`
}

// What is kept of a report, whatever a domain brings about; texts are cut by site.Harmless.
const (
	keptFindings = 100
	keptRecords  = 80
	keptNow      = 40
)

// clean makes a report small and harmless.
func (r *Report) clean() {
	r.Omitted = max(0, len(r.Findings)-keptFindings)
	r.Findings = append([]policy.Finding{}, r.Findings[:len(r.Findings)-r.Omitted]...)
	for i := range r.Findings {
		r.Findings[i].Summary = site.Harmless(r.Findings[i].Summary)
	}
	r.Records = append([]records.Record{}, r.Records[:min(len(r.Records), keptRecords)]...)
	for i, rec := range r.Records {
		rec.Note = site.Harmless(rec.Note)
		rec.Now = append([]string(nil), rec.Now[:min(len(rec.Now), keptNow)]...)
		for k, text := range rec.Now {
			rec.Now[k] = site.Harmless(text)
		}
		r.Records[i] = rec
	}
	r.NoEntry, r.Way = site.Harmless(r.NoEntry), site.Harmless(r.Way)
}

// Sentence is the plain answer.
func (r Report) Sentence() string {
	switch {
	case r.Unfinished:
		return "The look at " + r.Domain + " was not finished: its servers may be slow, or turn visitors away at first."
	case r.Alone:
		return r.Domain + " asked not to be probed, and was left alone."
	case r.Silent:
		return "No mail server of " + r.Domain + " answered here, which may be for a fault between it and this server."
	}
	switch r.Verdict {
	case "pass":
		return "Senders that verify TLS deliver to " + r.Domain + "."
	case "warn":
		return "Senders that verify TLS deliver to " + r.Domain + ", but not all is as it should be."
	case "fail":
		return "Senders that verify TLS do not deliver to " + r.Domain + "."
	}
	return "From here nothing certain can be said about " + r.Domain + "."
}

// stamp is how times are written.
func stamp(t time.Time) string { return t.UTC().Format(policy.TimeFormat) }
