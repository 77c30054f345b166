package probe

import (
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Codes that only several vantages together can give, and the one of a vantage that withdrew itself.
const (
	codeDisagree    = "vantage.disagree"
	codeQuorum      = "vantage.quorum"
	codeOtherPolicy = "vantage.other-policy"
	codeWithdrawn   = "vantage.withdrawn"
)

func mergeCodes() []effect {
	return []effect{
		warns(codeDisagree, "R36", "mail would arrive as one vantage sees it and would not as another does",
			"compare what they saw: servers behind one name that differ, name servers that differ, or a network that strips STARTTLS"),
		leavesOpen(codeQuorum, "R36", "too few vantages agree, so nothing is decided",
			"see what each vantage says, and whether all of them ran; the next scans decide"),
		notes(codeOtherPolicy, "R36", "a vantage held the domain against another entry of the list than most did",
			"let all vantages scan the same revision of the list; the next scan usually does"),
	}
}

// Vote is what one vantage says of a domain.
type Vote struct {
	Vantage string
	Verdict Verdict
	Codes   []string
	At      time.Time
	Since   time.Time
	Void    string // why it does not count, "vantage.withdrawn" or "vantage.other-policy"; "" when it does

	line Line
}

// Record decodes what the vantage saw. It can be asked for until the function that was given the Merged returns.
func (v Vote) Record() (Record, error) { return v.line.Record() }

// Merged is what several vantages together say of a domain.
type Merged struct {
	Domain  policy.Domain
	Verdict Verdict
	Codes   []string // sorted, unique
	At      time.Time
	Since   time.Time
	Policy  []byte // the list's entry that most vantages held it against, canonical; nil for none
	Votes   []Vote // sorted by vantage
}

// good reports whether mail would arrive.
func (v Verdict) good() bool { return v == Pass || v == Warn }

// combine decides by quorum. It is a pure function.
//
// A vantage that withdrew itself is absent, and so is one that held the domain against another entry of the list than
// most did (a tie leaves none). Of the others: a quorum of passes is a pass, a quorum of passes and warnings a warning, a
// quorum of fails a fail; all else is inconclusive, and so are two quorums that contradict each other. When some say
// that mail arrives and others that it does not, the code vantage.disagree stands there: it makes a warning of a pass,
// and never decides anything else.
//
// The codes are those of the vantages on the verdict's side. Since is when the quorum came together: the K-th earliest
// of what its members say, or, where nothing is decided, the last change of any. So what each vantage carries on from
// its own last scan is carried on here.
func combine(d policy.Domain, votes []Vote, quorum int) Merged {
	m := Merged{Domain: d, Votes: votes}
	m.Policy = voidOtherPolicies(votes)
	var passes, good, bad, open []Vote
	for _, v := range votes {
		switch {
		case v.Void != "":
			continue
		case v.Verdict == Pass:
			passes, good = append(passes, v), append(good, v)
		case v.Verdict == Warn:
			good = append(good, v)
		case v.Verdict == Fail:
			bad = append(bad, v)
		default:
			open = append(open, v)
		}
	}
	side := m.decide(passes, good, bad, open, quorum)
	for _, v := range side {
		m.Codes = append(m.Codes, v.Codes...)
	}
	for _, v := range votes {
		if v.Void == codeOtherPolicy {
			m.Codes = append(m.Codes, codeOtherPolicy)
		}
	}
	slices.Sort(m.Codes)
	m.Codes = slices.Compact(m.Codes)
	m.times(side, quorum)
	return m
}

// decide sets the verdict and the codes of the merge itself; it returns the votes that the verdict rests on.
func (m *Merged) decide(passes, good, bad, open []Vote, quorum int) (side []Vote) {
	switch enough, against := len(good) >= quorum, len(bad) >= quorum; {
	case enough && against, !enough && !against:
		m.Verdict, side = Inconclusive, open
		m.Codes = append(m.Codes, codeQuorum)
	case against:
		m.Verdict, side = Fail, bad
	case len(passes) >= quorum:
		m.Verdict, side = Pass, passes
	default:
		m.Verdict, side = Warn, good
	}
	if len(good) > 0 && len(bad) > 0 {
		m.Codes = append(m.Codes, codeDisagree)
		if m.Verdict == Pass {
			m.Verdict = Warn
		}
	}
	return side
}

// voidOtherPolicies marks the votes about another entry of the list than most, and returns that of most.
func voidOtherPolicies(votes []Vote) []byte {
	counts := make(map[string]int)
	for _, v := range votes {
		if v.Void == "" {
			counts[string(v.line.Policy)]++
		}
	}
	best, most, tie := "", 0, false
	for p, n := range counts {
		switch {
		case n > most:
			best, most, tie = p, n, false
		case n == most:
			tie = true
		}
	}
	for i, v := range votes {
		if v.Void == "" && (tie || string(v.line.Policy) != best) {
			votes[i].Void = codeOtherPolicy
		}
	}
	if tie || best == "" {
		return nil
	}
	return []byte(best)
}

// times sets At and Since. side are the votes that the verdict rests on.
func (m *Merged) times(side []Vote, quorum int) {
	var sinces, all []time.Time
	for _, v := range m.Votes {
		if v.At.After(m.At) {
			m.At = v.At
		}
		all = append(all, v.Since)
	}
	for _, v := range side {
		sinces = append(sinces, v.Since)
	}
	slices.SortFunc(sinces, time.Time.Compare)
	if m.Verdict != Inconclusive && len(sinces) >= quorum {
		m.Since = sinces[quorum-1]
	} else {
		m.Since = slices.MaxFunc(all, time.Time.Compare)
	}
}

// Result is the merged line in the words of a probe: each code once, with who gave it.
func (m Merged) Result() Result {
	r := Result{Domain: m.Domain, Judgement: Judgement{Verdict: m.Verdict, Codes: m.Codes}, Since: m.Since}
	for _, id := range m.Codes {
		e := effectOf(id)
		f := policy.Finding{Code: id, Severity: e.Severity, Domain: m.Domain.String(), Summary: e.Summary, Fix: e.Fix}
		if who := m.witnesses(id); who != "" {
			f.Summary = who + ": " + f.Summary
		}
		r.Findings = append(r.Findings, f)
	}
	return r
}

// witnesses tells who gave a code; for the codes of the merge itself, who said what.
func (m Merged) witnesses(code string) string {
	var names, all []string
	for _, v := range m.Votes {
		all = append(all, v.String())
		if v.Void == "" && slices.Contains(v.Codes, code) || v.Void == code {
			names = append(names, v.Vantage)
		}
	}
	if code == codeDisagree || code == codeQuorum {
		return strings.Join(all, ", ")
	}
	return strings.Join(names, ", ")
}

// String is "north pass", "south fail (cert.expired)", "west fail, which does not count (vantage.withdrawn)".
func (v Vote) String() string {
	s := v.Vantage + " " + string(v.Verdict)
	switch {
	case v.Void != "":
		s += ", which does not count (" + v.Void + ")"
	case len(v.Codes) > 0:
		s += " (" + strings.Join(v.Codes, " ") + ")"
	}
	return s
}
