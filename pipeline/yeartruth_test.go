package pipeline_test

import (
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// yearTruth is what was so and when, by the scenario's own word: what the probe saw, and what the gate made of it, plays
// no part here.
type yearTruth struct {
	start   time.Time
	domains map[string][]yearOwner // oldest first
	hosts   map[string][]yearHost
	away    []yearSpan // of the operator
	attacks []yearAttack
	curated map[string]bool // whom the operator added
}

type yearSpan struct{ from, to time.Time }

type yearAttack struct {
	domain string
	yearSpan
}

// yearOwner is a domain from a time on.
type yearOwner struct {
	from   time.Time
	exists bool
	mx     []string
	sts    string // mode, "" for no policy
	stsMX  []string
	txt    string // "testing", "enforce", "remove", "emergency", "" for no proof
	txtMX  []string
	exp    time.Time // the proof counts until then
}

// yearHost is a mail server from a time on.
type yearHost struct {
	from      time.Time
	behaviour lab.Behaviour
	made      time.Time // its certificate
}

// certLife is how long the lab's certificates are valid after they were made.
const certLife = 89 * 24 * time.Hour

const yearStep = 6 * time.Hour // in which the past is looked at

func (y *yearTruth) owner(domain string, t time.Time) yearOwner {
	all := y.domains[domain]
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].from.After(t) {
			return all[i]
		}
	}
	return yearOwner{}
}

func (y *yearTruth) host(name string, t time.Time) yearHost {
	all := y.hosts[name]
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].from.After(t) {
			return all[i]
		}
	}
	return yearHost{behaviour: lab.Refusing}
}

// change notes that a domain is otherwise from t on.
func (y *yearTruth) change(domain string, t time.Time, how func(*yearOwner)) {
	o := y.owner(domain, t)
	o.from = t
	how(&o)
	y.domains[domain] = append(y.domains[domain], o)
}

func (y *yearTruth) changeHost(name string, t time.Time, how func(*yearHost)) {
	h := yearHost{made: t}
	if len(y.hosts[name]) > 0 {
		h = y.host(name, t)
	}
	h.from = t
	how(&h)
	y.hosts[name] = append(y.hosts[name], h)
}

// delivers tells whether a sender that follows mxs delivers to the domain, whichever server that answers it meets; and
// whether one that follows no list would.
func (y *yearTruth) delivers(domain string, mxs []string, t time.Time) (ok, plain bool) {
	o := y.owner(domain, t)
	ok = o.exists
	for _, mx := range o.mx {
		h := y.host(mx, t)
		if h.behaviour == lab.Refusing {
			continue
		}
		plain = o.exists
		if h.behaviour != lab.Good || t.After(h.made.Add(certLife)) || !slices.ContainsFunc(mxs, func(p string) bool { return covers(p, mx) }) {
			ok = false
		}
	}
	return ok && plain, plain
}

// covers is the matching of MX names by RFC 8461 section 4.1, in the list's spelling: ".x" stands for one label.
func covers(pattern, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return pattern == host || pattern == "."+parent
}

// stood is for how long something was so until t, without a break.
func (y *yearTruth) stood(t time.Time, so func(time.Time) bool) time.Duration {
	at := t
	for ; so(at) && at.After(y.start); at = at.Add(-yearStep) {
	}
	if at.Equal(t) {
		return 0
	}
	return t.Sub(at) - yearStep
}

// proven reports whether the owner's proof says what it says at t.
func (y *yearTruth) proven(domain, txt string, mxs []string, t time.Time) bool {
	o := y.owner(domain, t)
	return o.exists && o.txt == txt && t.Before(o.exp) && (mxs == nil || sameSet(o.txtMX, mxs))
}

// serves reports whether the domain's MTA-STS policy has one of the modes; mxs nil: for any servers.
func (y *yearTruth) serves(domain string, mxs []string, t time.Time, modes ...string) bool {
	o := y.owner(domain, t)
	return o.exists && slices.Contains(modes, o.sts) && (mxs == nil || sameSet(o.stsMX, mxs))
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// idle is for how long, of the time between from and to, the operator did nothing.
func (y *yearTruth) idle(from, to time.Time) (d time.Duration) {
	for _, s := range y.away {
		begin, end := latestOf(s.from, from), to
		if s.to.Before(to) {
			end = s.to
		}
		d += max(0, end.Sub(begin))
	}
	return d
}

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
