package gate

import (
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// Look is what the vantages together saw of a domain in one scan. The list's own entry plays no part in it: the same
// look can be held against any. Numbers count vantages.
type Look struct {
	At     time.Time
	Voters int // whose word counts; those that withdrew themselves are absent

	Good int // to whom every live MX takes mail over verified TLS
	Bad  int // who saw a fact against the domain; the rest of Voters could not tell
	Hard int // of Bad, who saw one of the faults that keep mail from arriving: see HardFault
	Gone int // of Bad, to whom the domain does not exist

	Live   []LiveMX    // sorted by host
	STS    []STSSeen   // each state once; those that could not tell are in none
	Proofs []ProofSeen // likewise
	Codes  []string    // of Bad, sorted and unique
}

// LiveMX is an MX host at which somebody answers.
type LiveMX struct {
	Host     policy.Domain
	Vantages int // that saw it
}

// STS is what a domain's MTA-STS says; the zero Mode says that the domain has none. One that could not be fetched, or
// is broken, says nothing at all (rule R38).
type STS struct {
	Mode  mtasts.Mode
	MXs   []policy.MXPattern // sorted
	Track mtasts.Track
}

// STSSeen is a state of MTA-STS.
type STSSeen struct {
	STS
	Vantages int
}

// ProofSeen is what the records at _starttls-policy say.
type ProofSeen struct {
	Reading  proof.Reading
	Vantages int
}

// signal is what a look says of a question.
type signal int

const (
	unknown signal = iota
	yes
	no
)

// unanimous: all who voted saw it, and those are enough. Anybody who saw another thing is against it.
func (l Look) unanimous(saw, other, need int) signal {
	switch {
	case other > 0:
		return no
	case saw == l.Voters && saw >= need:
		return yes
	}
	return unknown
}

// sts asks whether MTA-STS says what match wants.
func (l Look) sts(need int, match func(STS) bool) signal {
	saw, other := 0, 0
	for _, s := range l.STS {
		if match(s.STS) {
			saw += s.Vantages
		} else {
			other += s.Vantages
		}
	}
	return l.unanimous(saw, other, need)
}

// proof asks whether the owner's record is one of the wanted; code and detail say what is wrong with one that is not.
func (l Look) proof(need int, used func(proof.Record) proof.Used, wanted ...proof.Record) (s signal, code, detail string) {
	saw, other := 0, 0
	for _, p := range l.Proofs {
		c, d := proof.Judge(p.Reading, used(p.Reading.Record), l.At, wanted...)
		if c == "" {
			saw += p.Vantages
			continue
		}
		if other += p.Vantages; code == "" || code == proof.CodeMissing {
			code, detail = c, d
		}
	}
	return l.unanimous(saw, other, need), code, detail
}

// uncovered is how many vantages at most saw a live MX host that p does not allow, and how many at least.
func (l Look) uncovered(p policy.Policy) (most, least int) {
	for _, h := range l.Live {
		if !p.Allows(h.Host) {
			most += h.Vantages
			least = max(least, h.Vantages)
		}
	}
	return min(most, l.Voters), least
}

// arrives asks whether senders that follow p deliver to every live MX, by quorum.
func (l Look) arrives(p policy.Policy, quorum int) signal {
	most, least := l.uncovered(p)
	switch {
	case max(l.Bad, least) >= quorum:
		return no
	case l.Good-most >= quorum:
		return yes
	}
	return unknown
}

// stuck asks whether mail to the domain cannot arrive at senders' that follow p: hard faults, seen by need vantages.
func (l Look) stuck(p policy.Policy, need int, quorum int) signal {
	_, least := l.uncovered(p)
	switch {
	case max(l.Hard, least) >= need && l.Good-least < quorum:
		return yes
	case l.arrives(p, quorum) == yes:
		return no
	}
	return unknown
}

// gone asks whether the domain does not exist.
func (l Look) gone(need int) signal {
	switch {
	case l.Gone >= need && l.Good == 0:
		return yes
	case l.Voters > l.Gone && (l.Good > 0 || l.Bad > l.Gone):
		return no
	}
	return unknown
}
