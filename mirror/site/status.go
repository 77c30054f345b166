package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// What a domain's status can be.
const (
	StatusEnforce = "enforce"
	StatusTesting = "testing"
	StatusRemoved = "removed" // was listed
	StatusPending = "pending" // was never listed, and a change that adds it is held
)

// Status is what the site says of one domain: schema/status.schema.json.
type Status struct {
	Status      string         `json:"status"`
	Sentence    string         `json:"sentence"`         // the plain answer, in English
	Since       string         `json:"since,omitempty"`  // of the status; RFC 3339
	Listed      string         `json:"listed,omitempty"` // on the list without a break since
	MXs         []string       `json:"mxs,omitempty"`
	Preloadable string         `json:"preloadable"` // "yes", "no" or "unknown": whether the last probe saw what enforce needs
	Removable   string         `json:"removable"`   // "yes" for what is on the list
	Pending     []Held         `json:"pending"`
	Probe       *Finding       `json:"probe,omitempty"`
	Feedback    FeedbackStatus `json:"feedback"`
	History     []Change       `json:"history"` // newest first

	name   string
	domain *Domain // nil for what was never listed
}

// FeedbackStatus is what senders reported about one domain.
type FeedbackStatus struct {
	State string            `json:"state"` // "reported", "insufficient data", or "not yet" where there is no table
	Cells map[string]string `json:"cells,omitempty"`
}

// Change is an event as the API writes it: schema/status-change.schema.json.
type Change struct {
	Domain  string   `json:"domain"`
	Op      string   `json:"op"`
	Class   string   `json:"class"`
	Reason  string   `json:"reason"`
	Release int64    `json:"release"`
	Time    string   `json:"time"`
	Index   int64    `json:"index"`            // of the change leaf in the log
	Source  string   `json:"source,omitempty"` // of the release: "git:<commit>", "import:<sha256>" or "renew"
	Before  *Setting `json:"before,omitempty"`
	After   *Setting `json:"after,omitempty"`
}

// Setting is a policy as the API writes it.
type Setting struct {
	Mode string   `json:"mode"`
	MXs  []string `json:"mxs"`
}

func newSetting(p *policy.Policy) *Setting {
	if p == nil {
		return nil
	}
	s := &Setting{Mode: p.Mode.String(), MXs: []string{}}
	for _, mx := range p.MXs {
		s.MXs = append(s.MXs, mx.String())
	}
	return s
}

func newChange(e Event) Change {
	return Change{e.Domain.String(), e.Op(), e.Class().String(), e.Reason, e.Release, stamp(e.Time), e.Index, e.Source, newSetting(e.Before), newSetting(e.After)}
}

func stamp(t time.Time) string { return t.UTC().Format(policy.TimeFormat) }

// statuses makes those of all domains, sorted: what was ever listed, and what is held.
func (m *Model) statuses() []Status {
	out := make([]Status, 0, len(m.Domains))
	for i := range m.Domains {
		out = append(out, m.status(&m.Domains[i]))
	}
	if m.Pending == nil {
		return out
	}
	known := len(out)
	for _, h := range m.Pending.Held {
		_, ok := slices.BinarySearchFunc(out[:known], h.Domain, func(s Status, d string) int { return strings.Compare(s.name, d) })
		if ok || len(out) > known && out[len(out)-1].name == h.Domain {
			continue
		}
		s := Status{Status: StatusPending, Since: h.Since, Preloadable: "unknown", Removable: "no", History: []Change{}, name: h.Domain}
		m.fill(&s)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.name, b.name) })
	return out
}

func (m *Model) status(d *Domain) Status {
	s := Status{Status: StatusRemoved, Since: stamp(d.ModeSince().Time), Preloadable: "unknown", Removable: "no", name: d.Name.String(), domain: d}
	if p := d.Policy(); p != nil {
		s.Status, s.Listed, s.MXs, s.Removable = p.Mode.String(), stamp(d.Added().Time), newSetting(p).MXs, "yes"
	}
	for _, e := range slices.Backward(d.Events) {
		s.History = append(s.History, newChange(e))
	}
	m.fill(&s)
	return s
}

// fill adds what is not from the log.
func (m *Model) fill(s *Status) {
	s.Sentence = s.say()
	s.Pending = append([]Held{}, m.Pending.of(s.name)...)
	if f, ok := m.Evidence.Findings[s.name]; ok {
		s.Probe = &f
		switch f.Verdict {
		case "pass", "warn":
			s.Preloadable = "yes"
		case "fail":
			s.Preloadable = "no"
		}
	}
	s.Feedback.State = "not yet"
	if fb := m.Evidence.Feedback; fb != nil {
		s.Feedback.State = "insufficient data"
		if cells, ok := fb.Domains[s.name]; ok {
			s.Feedback.State, s.Feedback.Cells = "reported", cells
		}
	}
}

// day is a time as sentences have it.
func day(at string) string {
	t, err := policy.ParseTime(at)
	if err != nil {
		return "an unknown day"
	}
	return t.Format("2 January 2006")
}

// say is the plain answer that stands first.
func (s Status) say() string {
	switch s.Status {
	case StatusRemoved:
		return fmt.Sprintf("%s is not on the list: it was removed on %s.", s.name, day(s.Since))
	case StatusPending:
		return fmt.Sprintf("%s is not on the list yet: its entry is held.", s.name)
	}
	return fmt.Sprintf("%s is on the list: %s since %s.", s.name, s.Status, day(s.Since))
}
