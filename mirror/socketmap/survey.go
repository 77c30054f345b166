package socketmap

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// State is how it went with one source. That a domain has no policy and that nobody knows whether it has one are two things:
// the second is what an attacker can bring about.
type State string

const (
	StatePolicy   State = "policy"        // it has one for the domain, whatever that says
	StateNone     State = "no policy"     // it was asked, and there is none
	StateFailed   State = "lookup failed" // it was asked, and nobody knows
	StateNotAsked State = "not asked"     // another source had decided
	StateVoid     State = "not in force"  // a list that expired, or was never fetched
)

// Word is what one source says of a domain. Times are in policy.TimeFormat, "" where there is none.
type Word struct {
	Source  Source   `json:"source"`
	List    string   `json:"list,omitempty"` // its name, for SourceList
	State   State    `json:"state"`
	Mode    string   `json:"mode,omitempty"` // "enforce", "testing", "none"; "dane-only" for SourceDANE
	MXs     []string `json:"mxs,omitempty"`
	Cached  bool     `json:"cached,omitempty"` // known from before, and still valid
	Fetched string   `json:"fetched,omitempty"`
	Until   string   `json:"until,omitempty"` // when it ends
	Detail  string   `json:"detail,omitempty"`
}

// Survey is what all sources say of a domain, those included that do not count, and what is decided by it.
type Survey struct {
	Domain    string   `json:"domain"`
	Words     []Word   `json:"sources"` // in the order in which they count
	Source    Source   `json:"source"`  // whose word counts
	List      string   `json:"list,omitempty"`
	Mode      string   `json:"mode,omitempty"`
	MXs       []string `json:"mxs,omitempty"`
	Exact     []string `json:"exact,omitempty"` // MX hosts behind the patterns at the moment
	Downgrade string   `json:"downgrade,omitempty"`
	Why       []string `json:"why"`
	Map       string   `json:"map"`   // the map's name that Reply is for
	Reply     string   `json:"reply"` // what a Postfix is answered
}

// Survey asks everybody about d, for a Postfix that names its map so.
func (r *Decider) Survey(ctx context.Context, d policy.Domain, mapName string) Survey {
	c := r.Decide(ctx, d)
	s := Survey{
		Domain: d.String(), Source: c.Source, List: c.List, MXs: texts(c.Policy.MXs), Exact: texts(c.Exact),
		Downgrade: c.Downgrade, Why: c.Why, Map: mapName,
	}
	switch {
	case c.Source == SourceDANE:
		s.Mode = "dane-only"
	case len(c.Policy.MXs) > 0:
		s.Mode = c.Policy.Mode.String()
	}
	reply, err := dialectOf(mapName).reply(c)
	if s.Reply = reply.String(); err != nil {
		s.Why = append(s.Why, "it cannot be told to the mail server: "+err.Error())
	}
	now := r.Now()
	s.Words = append(s.Words, r.Overrides.word(d, now))
	s.Words = append(s.Words, r.Live.words(ctx, d)...)
	for _, h := range r.Lists() {
		s.Words = append(s.Words, h.word(d, now))
	}
	return s
}

func (o Overrides) word(d policy.Domain, now time.Time) Word {
	w := Word{Source: SourceOverride, State: StateNone}
	held, ok := o[d]
	if !ok {
		return w
	}
	w.Detail, w.Until = held.Reason, timeText(held.Until)
	if _, holds := o.Find(d, now); !holds {
		w.Detail = "ended: " + held.Reason
		return w
	}
	w.State, w.Mode = StatePolicy, "none"
	if len(held.Policy.MXs) > 0 {
		w.Mode, w.MXs = held.Policy.Mode.String(), texts(held.Policy.MXs)
	}
	return w
}

// words are those of DANE and MTA-STS; a nil Live asks nobody.
func (l *Live) words(ctx context.Context, d policy.Domain) []Word {
	dane, sts := Word{Source: SourceDANE, State: StateNotAsked}, Word{Source: SourceSTS, State: StateNotAsked}
	if l == nil {
		return []Word{dane, sts}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Patience, livePatience))
	defer cancel()
	if l.DANE && !l.Silent {
		dane = l.route(ctx, d).word()
	}
	if l.Fetcher != nil || l.Silent {
		before := l.Now()
		sts = l.sts(ctx, d).word(before, l.Now())
		if l.Silent && sts.State != StatePolicy {
			sts = Word{Source: SourceSTS, State: StateNotAsked}
		}
	}
	return []Word{dane, sts}
}

func (r route) word() Word {
	w := Word{Source: SourceDANE, State: StateNone}
	count := make(map[discovery.DANEKind]int)
	for _, h := range r.dane {
		count[h.Kind]++
	}
	switch all := len(r.dane); {
	case !r.Answer.Status.Known():
		w.State, w.Detail = StateFailed, fmt.Sprintf("MX lookup: %s", r.Answer.Status)
	case all > 0 && count[discovery.DANEUsable] == all:
		w.State, w.Mode = StatePolicy, "dane-only"
		for _, h := range r.Hosts {
			w.MXs = append(w.MXs, h.Domain.String())
		}
	case count[discovery.DANEFailed] > 0:
		w.State, w.Detail = StateFailed, fmt.Sprintf("TLSA lookups of %d of %d MX hosts", count[discovery.DANEFailed], all)
	case count[discovery.DANEUsable] > 0:
		w.Detail = fmt.Sprintf("only %d of %d MX hosts have usable TLSA records", count[discovery.DANEUsable], all)
	case r.Answer.Secure:
		w.Detail = "no usable TLSA records"
	default:
		w.Detail = "the MX records are not signed"
	}
	return w
}

// word says what is known at now; what was fetched before the question is cached.
func (p stsPolicy) word(before, now time.Time) Word {
	w := Word{Source: SourceSTS, State: StateNone, Detail: p.trouble}
	switch {
	case p.valid(now):
		w.State, w.Mode, w.MXs = StatePolicy, string(p.policy.Mode), texts(p.policy.MXs)
		w.Cached, w.Fetched, w.Until = p.fetched.Before(before), timeText(p.fetched), timeText(p.fetched.Add(p.policy.MaxAge))
	case p.trouble != "":
		w.State = StateFailed
	}
	return w
}

func (h Held) word(d policy.Domain, now time.Time) Word {
	w := Word{Source: SourceList, List: h.Name, State: StateNone}
	if h.Release == nil {
		w.State, w.Detail = StateVoid, "never fetched"
		return w
	}
	w.Detail, w.Until = fmt.Sprintf("release %d", h.Release.Release), timeText(h.Release.Expires)
	if h.Expired(now) {
		w.State, w.Detail = StateVoid, w.Detail+" expired"
		return w
	}
	switch p, ok, err := h.lookup(d, now); {
	case err != nil:
		w.State, w.Detail = StateFailed, err.Error()
	case ok:
		w.State, w.Mode, w.MXs = StatePolicy, p.Mode.String(), texts(p.MXs)
	}
	return w
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(policy.TimeFormat)
}

func texts(mxs []policy.MXPattern) []string {
	var out []string
	for _, m := range mxs {
		out = append(out, m.String())
	}
	return out
}

// Listed is what the first list in force says that names d.
func (r *Decider) Listed(d policy.Domain) (p policy.Policy, ok bool) {
	for _, h := range r.Lists() {
		if p, ok, err := h.lookup(d, r.Now()); ok && err == nil {
			return p, true
		}
	}
	return policy.Policy{}, false
}
