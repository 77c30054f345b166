package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// listReport is how one list stands. Times are in policy.TimeFormat, "" where there is none.
type listReport struct {
	Name         string           `json:"name"`
	Origin       string           `json:"origin,omitempty"`
	Freshness    mirror.Freshness `json:"freshness"`
	Release      int64            `json:"release"` // in force, 0 if none
	Previous     int64            `json:"previous"`
	Method       string           `json:"method"` // "none", "delta", "snapshot", "" when no mirror gave anything
	Mirror       string           `json:"mirror,omitempty"`
	Domains      int              `json:"domains"` // in force
	Timestamp    string           `json:"timestamp,omitempty"`
	Expires      string           `json:"expires,omitempty"`
	QuorumTime   string           `json:"quorum_time,omitempty"`
	Checked      string           `json:"checked,omitempty"` // when a mirror last confirmed it
	LogSize      int64            `json:"log_size"`
	Trust        int64            `json:"trust"`
	TrustExpired bool             `json:"trust_expired"`
	TrustExpires string           `json:"trust_expires,omitempty"`
	Witnessed    bool             `json:"witnessed"`
	Ended        bool             `json:"ended"` // the operator has ended the list
	Kept         bool             `json:"kept"`  // expired, and in force all the same
	HeldRelease  int64            `json:"held_release,omitempty"`
	Held         string           `json:"held,omitempty"`
	Pinned       *pinReport       `json:"pinned,omitempty"` // why an earlier list is in force
	Repaired     string           `json:"repaired,omitempty"`
	Problems     []string         `json:"problems,omitempty"`
	Alarms       []string         `json:"alarms,omitempty"`
	MoreAlarms   int              `json:"more_alarms,omitempty"`
	Evidence     string           `json:"evidence,omitempty"` // file
	Error        string           `json:"error,omitempty"`
	Exit         int              `json:"exit"`
}

func describe(l list, o mirror.Outcome, domains int) listReport {
	r := listReport{
		Name: l.name, Freshness: o.Freshness, Previous: o.Previous, Method: o.Method, Mirror: o.Mirror, Domains: domains,
		QuorumTime: stamp(o.QuorumTime), Checked: stamp(o.Checked), LogSize: o.LogSize, Trust: o.TrustVersion,
		TrustExpired: o.TrustExpired, Witnessed: o.Witnessed, HeldRelease: o.HeldRelease, Held: o.Held,
		Problems: o.Problems, MoreAlarms: o.MoreAlarms, Evidence: o.EvidenceFile, Pinned: pinOf(o),
	}
	if o.Release != nil {
		r.Origin, r.Release = o.Release.Origin, o.Release.Release
		r.Timestamp, r.Expires = stamp(o.Release.Timestamp), stamp(o.Release.Expires)
		r.Ended = o.Release.Override == mirror.OverrideFinal
		r.Kept = o.Freshness == mirror.Expired && l.client.KeepStale
	}
	if chain, err := l.client.Chain(); err == nil {
		r.TrustExpires = stamp(chain.Newest().Expires)
	}
	if o.Damaged != nil {
		r.Repaired = flat{o.Damaged}.Error()
	}
	for _, a := range o.Alarms {
		r.Alarms = append(r.Alarms, a.String())
	}
	return r
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(policy.TimeFormat)
}

// exitOf is a list's exit code.
func exitOf(o mirror.Outcome, err error) int {
	switch {
	case errors.Is(err, mirror.ErrSecurity):
		return exitSecurity
	case err != nil && !errors.Is(err, mirror.ErrNoMirror):
		return exitFailed
	case o.Freshness == mirror.Expired:
		return exitExpired
	case errors.Is(err, mirror.ErrTrustExpired) && o.Release != nil:
		return exitStale
	case err != nil:
		return exitNoMirror
	case o.Freshness == mirror.None || o.Release == nil:
		return exitExpired
	case o.Freshness == mirror.Stale || o.TrustExpired:
		return exitStale
	}
	return 0
}

// worse returns the code that matters more.
func worse(a, b int) int {
	for _, c := range []int{exitSecurity, exitFailed, exitOff, exitExpired, exitNoMirror, exitStale} {
		if a == c || b == c {
			return c
		}
	}
	return 0
}

// print tells about the list what a person has to know, one line each.
func (r listReport) print(w io.Writer, now time.Time) {
	how := ""
	switch {
	case r.Method == "none" && r.Mirror == "":
		how = ", nobody was asked: the list has ended"
	case r.Method == "none":
		how = ", nothing new at " + r.Mirror
	case r.Method != "":
		how = fmt.Sprintf(" by %s from %s", r.Method, r.Mirror)
	}
	if r.Release == 0 {
		line(w, "%s: no list yet", r.Name)
	} else {
		line(w, "%s: release %d%s; %s, %s in force", r.Name, r.Release, how, r.Freshness, term.Plural(r.Domains, "domain"))
		line(w, "  made %s (%s ago), expires %s (%s)", r.Timestamp, since(r.Timestamp, now), r.Expires, until(r.Expires, now))
	}
	r.printState(w)
	for _, p := range r.Problems {
		line(w, "  mirror not usable: %s", p)
	}
	r.printAlarms(w)
}

func (r listReport) printState(w io.Writer) {
	switch {
	case r.Pinned != nil:
		r.Pinned.print(w, r.Name)
	case r.Ended:
		line(w, "  ENDED: its operator has ended this list and every policy with it; take it out of the configuration")
	case r.Kept:
		line(w, "  EXPIRED, and in force all the same (expired = \"keep\"): nobody has confirmed these policies since")
	case r.Freshness == mirror.Expired:
		line(w, "  EXPIRED: none of its policies is in force")
	case r.Freshness == mirror.Stale:
		line(w, "  STALE: no newer release for two days; the policies stay in force until the list expires")
	}
	switch {
	case r.Trust == 0:
	case r.TrustExpired:
		line(w, "  TRUST EXPIRED: no release made after the end of trust version %d counts until the operator signs a new one", r.Trust)
	case !r.Witnessed:
		line(w, "  not witnessed: trust version %d asks for no witness, so a copy made for you alone would go unnoticed", r.Trust)
	default:
		line(w, "  witnesses vouch for the log at %s", r.QuorumTime)
	}
}

func (r listReport) printAlarms(w io.Writer) {
	for _, a := range r.Alarms {
		line(w, "  ALARM: %s", a)
	}
	if r.MoreAlarms > 0 {
		line(w, "  ALARM: %d more entries without effect", r.MoreAlarms)
	}
	if r.Held != "" {
		line(w, "  HELD: %s; release %d stays in force", r.Held, r.Release)
		line(w, "    if you know why: starttls-policy update --list %s --accept %d", r.Name, r.HeldRelease)
	}
	if r.Repaired != "" {
		line(w, "  damaged: %s", r.Repaired)
	}
	if r.Evidence != "" {
		line(w, "  EVIDENCE: %s", r.Evidence)
		line(w, "    anybody can check it: starttls-policy verify --evidence %s", r.Evidence)
	}
}

// since and until are for people: whole minutes, hours or days.
func since(at string, now time.Time) string {
	t, _ := policy.ParseTime(at)
	return span(now.Sub(t))
}

func until(at string, now time.Time) string {
	t, _ := policy.ParseTime(at)
	if !now.Before(t) {
		return span(now.Sub(t)) + " ago"
	}
	return "in " + span(t.Sub(now))
}

func span(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func (r tableReport) print(w io.Writer) {
	if r.Warning != "" {
		line(w, "WARNING: %s", r.Warning)
	}
	if r.Unanswered != "" {
		line(w, "WARNING: %s", r.Unanswered)
	}
	switch {
	case r.Error != "":
		line(w, "postfix: FAILED, the old table stays: %s", r.Error)
		return
	case r.Off != "":
		line(w, "postfix: %s is EMPTY, everything is switched off until \"starttls-policy enable\": %s", r.Map, r.Off)
		return
	case r.Incomplete && r.Lines > 0:
		line(w, "postfix: %s has the overrides of this machine and nothing else, for what the lists say is not known", r.Map)
		return
	case r.Incomplete:
		line(w, "postfix: %s was left as it is, for what belongs there is not known", r.Map)
		return
	}
	state := "as it was"
	if r.Written {
		state = "written"
	}
	line(w, "postfix: %s:%s %s, dialect %s: %s%s", r.Type, r.Map, state, r.Dialect, term.Plural(r.Lines, "line"), r.remarks())
	for _, f := range r.Refused {
		line(w, "  refused: %s", f)
	}
}

func (r tableReport) remarks() string {
	s := ""
	if len(r.Wider) > 0 {
		s += fmt.Sprintf(", %d wider than the list", len(r.Wider))
	}
	if len(r.Omitted) > 0 {
		s += fmt.Sprintf(", %d left out (exact-only)", len(r.Omitted))
	}
	if r.OwnFirst > 0 {
		s += fmt.Sprintf(", %d left out (own policies)", r.OwnFirst)
	}
	if r.Testing > 0 {
		s += fmt.Sprintf("; %d testing", r.Testing)
	}
	return s
}

// lastUpdate is the file in the state folder that keeps an update's report for status.
const lastUpdate = "update.json"

func (r updateReport) save(state string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(state, lastUpdate), append(data, '\n'), 0o644)
}

// loadLastUpdate returns the zero report when there is none that can be read: status can do without.
func loadLastUpdate(state string) updateReport {
	var r updateReport
	data, err := durable.ReadFile(filepath.Join(state, lastUpdate))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return updateReport{}
	}
	return r
}
