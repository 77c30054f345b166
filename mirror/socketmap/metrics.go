package socketmap

import (
	"sync/atomic"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// Metrics count answers and connections. Its zero value is ready, a nil one counts nothing. There are no domains in it:
// who exchanges mail with whom is nobody's business.
type Metrics struct {
	lookups                      [len(sources)][len(results)][len(dialectKinds)]atomic.Int64
	foreign, downgrades, refused atomic.Int64
	open, accepted, acceptErrors atomic.Int64
	waiting                      atomic.Int64
}

// Result is what a mail server was told about a domain.
type Result string

const (
	ResultPolicy   Result = "policy"   // it has to be kept to
	ResultNotFound Result = "notfound" // no policy, or one that is not to be applied
	ResultTemp     Result = "temp"     // the mail waits
)

// The dimensions of a lookup; their places are the counters'.
var (
	sources      = [...]Source{SourceOff, SourceOverride, SourceDANE, SourceSTS, SourceList, SourceNone}
	results      = [...]Result{ResultPolicy, ResultNotFound, ResultTemp}
	dialectKinds = [...]string{mta.Legacy: "legacy", mta.SNI: "sni", mta.Floor: "floor", mta.TLSRPT: "tlsrpt"}
)

// possible tells which results a source can have.
func possible(s Source, r Result) bool {
	switch s {
	case SourceOff, SourceNone:
		return r == ResultNotFound
	case SourceDANE:
		return r == ResultPolicy || r == ResultTemp
	}
	return r != ResultTemp
}

// Lookups is how many questions about a domain were answered in one way.
type Lookups struct {
	Source  Source
	Result  Result
	Dialect string // "legacy", "sni", "floor" or "tlsrpt", by whichever of its names the map was asked
	Count   int64
}

// Lookups counts in every way that there can be, in a fixed order.
func (m *Metrics) Lookups() []Lookups {
	var out []Lookups
	for i, s := range sources {
		for j, r := range results {
			for k, d := range dialectKinds {
				if n := m.lookups[i][j][k].Load(); n > 0 || possible(s, r) {
					out = append(out, Lookups{s, r, d, n})
				}
			}
		}
	}
	return out
}

// Answers is how many answers came from s, the keys without a domain among those from none.
func (m *Metrics) Answers(s Source) int64 {
	n := int64(0)
	for _, l := range m.Lookups() {
		if l.Source == s {
			n += l.Count
		}
	}
	if s == SourceNone {
		n += m.Foreign()
	}
	return n
}

// Foreign is how many keys stood for no recipient domain: after each NOTFOUND Postfix asks for the parents, too.
func (m *Metrics) Foreign() int64 { return m.foreign.Load() }

// Downgrades is how many answers came with a warning of a possible downgrade.
func (m *Metrics) Downgrades() int64 { return m.downgrades.Load() }

// Refused is how often a policy was not told because it is none: a name or a mode in its line of the list is not one.
func (m *Metrics) Refused() int64 { return m.refused.Load() }

// Connections is how many there are, how many there have been, and how often one could not be accepted.
func (m *Metrics) Connections() (open, accepted, errors int64) {
	return m.open.Load(), m.accepted.Load(), m.acceptErrors.Load()
}

// Crowded reports whether a connection has been waiting for a place for a while, and with it all that come after.
func (m *Metrics) Crowded() bool { return m.waiting.Load() > 0 }

func (m *Metrics) count(s Source, r Reply, d dialect) {
	if m != nil {
		m.lookups[place(s)][r.result()][d.kind()].Add(1)
	}
}

func place(s Source) int {
	for i, other := range sources {
		if s == other {
			return i
		}
	}
	return len(sources) - 1
}

// result is the place in results.
func (r Reply) result() int {
	switch {
	case r.Temp != "":
		return 2
	case r.Value != "":
		return 0
	}
	return 1
}

// kind is the place in dialectKinds.
func (d dialect) kind() int { return int(d.Dialect) }

func (m *Metrics) stranger() {
	if m != nil {
		m.foreign.Add(1)
	}
}

func (m *Metrics) refuse() {
	if m != nil {
		m.refused.Add(1)
	}
}

func (m *Metrics) downgrade() {
	if m != nil {
		m.downgrades.Add(1)
	}
}

// connected counts a connection until the returned function is called.
func (m *Metrics) connected() (ended func()) {
	if m == nil {
		return func() {}
	}
	m.accepted.Add(1)
	m.open.Add(1)
	return func() { m.open.Add(-1) }
}

// crowd counts a connection that waits for a place until the returned function is called.
func (m *Metrics) crowd() (ended func()) {
	if m == nil {
		return func() {}
	}
	m.waiting.Add(1)
	return func() { m.waiting.Add(-1) }
}

func (m *Metrics) notAccepted() {
	if m != nil {
		m.acceptErrors.Add(1)
	}
}

// Cached is how many domains' MTA-STS policies and MX hosts are remembered.
func (l *Live) Cached() (policies, routes int) { return l.policies.len(), l.routes.len() }
