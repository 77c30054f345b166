package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// track is what the publisher remembers of a domain for the gate.
type track struct {
	Domain   string           `json:"domain"`
	Managed  policy.ManagedBy `json:"managed,omitempty"`  // as the source said last
	Override string           `json:"override,omitempty"` // when list and source last agreed
	Listed   json.RawMessage  `json:"listed,omitempty"`   // the policy by the log, as far as it was read

	Registered time.Time `json:"registered,omitzero"` // as a registry said last
	Reviewed   time.Time `json:"reviewed,omitzero"`   // that of Registered for which the owner vouched

	Log   []loggedLine `json:"log,omitempty"`   // oldest first
	Spans []span       `json:"looks,omitempty"` // oldest first
}

type loggedLine struct {
	At     time.Time       `json:"at"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Reason string          `json:"reason"`
}

// span is looks one after the other that show the same.
type span struct {
	At     []int64   `json:"at"` // seconds: the first since 1970, each other since the one before
	Voters int       `json:"voters"`
	Good   int       `json:"good,omitempty"`
	Bad    int       `json:"bad,omitempty"`
	Hard   int       `json:"hard,omitempty"`
	Gone   int       `json:"gone,omitempty"`
	Live   []spanMX  `json:"live,omitempty"`
	STS    []spanSTS `json:"sts,omitempty"`
	Proofs []spanTXT `json:"proofs,omitempty"`
	Codes  []string  `json:"codes,omitempty"`
}

type spanMX struct {
	Host string `json:"host"`
	By   int    `json:"by"`
}

type spanSTS struct {
	Mode  mtasts.Mode  `json:"mode,omitempty"`
	MXs   []string     `json:"mxs,omitempty"`
	Track mtasts.Track `json:"track,omitempty"`
	By    int          `json:"by"`
}

type spanTXT struct {
	Status  proof.Status `json:"status"`
	Kind    proof.Kind   `json:"kind,omitempty"`
	Change  string       `json:"change,omitempty"`
	Expires int64        `json:"expires,omitempty"` // seconds since 1970
	By      int          `json:"by"`
}

const (
	// maxLogged is how many changes of a domain are remembered: the last decides, those before show repeated proofs.
	maxLogged = 16
	// maxTrack is the most that one domain's line may have: one that shows something new at every look loses its oldest.
	maxTrack = 128 << 10
	// thin is how close looks that show the same may be: of three within it the middle one says nothing.
	thin = 12 * time.Hour
)

// add appends a look that is later than all others. One of the same second is the same scan once more: a merge is as old as
// its newest vote, so a vantage whose file came late adds to what that second showed. The fuller one stands, and of two
// with as many voters the later word. One that is older was overtaken.
func (t *track) add(l gate.Look) {
	if l.Voters == 0 {
		return // nobody looked
	}
	s, at := spanOf(l), l.At.Unix()
	last := len(t.Spans) - 1
	if last < 0 {
		t.Spans = append(t.Spans, s)
		return
	}
	end := t.Spans[last].end()
	switch same := t.Spans[last].shows(s); {
	case at < end, at == end && (same || s.Voters < t.Spans[last].Voters):
	case at == end:
		t.dropLast()
		t.add(l)
	case same:
		t.Spans[last].extend(at)
	default:
		t.Spans = append(t.Spans, s)
	}
}

// dropLast takes the newest look away.
func (t *track) dropLast() {
	s := &t.Spans[len(t.Spans)-1]
	if len(s.At) > 1 {
		s.At = s.At[:len(s.At)-1]
		return
	}
	t.Spans = t.Spans[:len(t.Spans)-1]
}

func (s span) end() (at int64) {
	for _, d := range s.At {
		at += d
	}
	return at
}

// extend adds a look at a later time.
func (s *span) extend(at int64) {
	n, end := len(s.At), s.end()
	if n >= 2 && at-(end-s.At[n-1]) < int64(thin/time.Second) {
		s.At[n-1] += at - end
		return
	}
	s.At = append(s.At, at-end)
}

// shows reports whether both are of looks that show the same.
func (s span) shows(q span) bool {
	s.At, q.At = nil, nil
	a, err1 := json.Marshal(s)
	b, err2 := json.Marshal(q)
	return err1 == nil && err2 == nil && string(a) == string(b)
}

// forget drops what is too old to be of use, and what is too much.
func (t *track) forget(now time.Time) {
	old := now.Add(-gate.Keep).Unix()
	t.Spans = slices.DeleteFunc(t.Spans, func(s span) bool { return s.end() < old })
	for i := range t.Spans {
		s := &t.Spans[i]
		for len(s.At) > 1 && s.At[0] < old {
			s.At[1] += s.At[0]
			s.At = s.At[1:]
		}
	}
	if n := len(t.Log); n > maxLogged {
		t.Log = slices.Clone(t.Log[n-maxLogged:])
	}
	for len(t.Spans) > 1 {
		line, err := json.Marshal(t)
		if err != nil || len(line) <= maxTrack {
			return
		}
		t.Spans = slices.Clone(t.Spans[1+len(t.Spans)/4:])
	}
}

// idle reports whether there is nothing to remember.
func (t *track) idle() bool { return len(t.Log) == 0 && len(t.Spans) == 0 && t.Listed == nil }

func spanOf(l gate.Look) span {
	s := span{At: []int64{l.At.Unix()}, Voters: l.Voters, Good: l.Good, Bad: l.Bad, Hard: l.Hard, Gone: l.Gone, Codes: l.Codes}
	for _, h := range l.Live {
		s.Live = append(s.Live, spanMX{h.Host.String(), h.Vantages})
	}
	for _, v := range l.STS {
		x := spanSTS{Mode: v.Mode, Track: v.Track, By: v.Vantages}
		for _, m := range v.MXs {
			x.MXs = append(x.MXs, m.String())
		}
		s.STS = append(s.STS, x)
	}
	for _, p := range l.Proofs {
		x := spanTXT{Status: p.Reading.Status, Kind: p.Reading.Kind, Change: p.Reading.Change, By: p.Vantages}
		if !p.Reading.Expires.IsZero() {
			x.Expires = p.Reading.Expires.Unix()
		}
		s.Proofs = append(s.Proofs, x)
	}
	return s
}

// looks are the looks of a span.
func (s span) looks() ([]gate.Look, error) {
	l := gate.Look{Voters: s.Voters, Good: s.Good, Bad: s.Bad, Hard: s.Hard, Gone: s.Gone, Codes: s.Codes}
	for _, h := range s.Live {
		host, err := policy.ParseDomain(h.Host)
		if err != nil {
			return nil, err
		}
		l.Live = append(l.Live, gate.LiveMX{Host: host, Vantages: h.By})
	}
	for _, x := range s.STS {
		v := gate.STSSeen{STS: gate.STS{Mode: x.Mode, Track: x.Track}, Vantages: x.By}
		for _, m := range x.MXs {
			p, err := policy.ParseMXPattern(m)
			if err != nil {
				return nil, err
			}
			v.MXs = append(v.MXs, p)
		}
		l.STS = append(l.STS, v)
	}
	for _, x := range s.Proofs {
		r := proof.Reading{Status: x.Status, Record: proof.Record{Kind: x.Kind, Change: x.Change}}
		if x.Expires != 0 {
			r.Expires = time.Unix(x.Expires, 0).UTC()
		}
		l.Proofs = append(l.Proofs, gate.ProofSeen{Reading: r, Vantages: x.By})
	}
	var out []gate.Look
	at := int64(0)
	for _, d := range s.At {
		if at += d; d < 0 || at > 1<<40 {
			return nil, fmt.Errorf("a look at %d", at)
		}
		l.At = time.Unix(at, 0).UTC()
		out = append(out, l)
	}
	return out, nil
}
