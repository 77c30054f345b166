package site

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// statistics is what the page of that name tells. Each table is one pass over domains or changes. Nothing is counted from
// now: entries are told by the month since which they stand, so that a release without changes, or another day, gives the
// same numbers.
type statistics struct {
	Days      []dayCount  // of the days that had a change, oldest first
	Joined    []monthRow  // entries of today by the month since which they are listed, oldest first
	TLDs      []rankRow   // entries by top-level domain
	Suffixes  []rankRow   // entries by public suffix, those that registries sell under
	Providers []rankRow   // entries by who runs their MX hosts
	Verdicts  []verdictOf // of the newest evidence about entries
	Codes     []codeRow   // entries with each code
	Failing   []monthRow  // entries that fail, by the month since which they do
	Fixes     []fixRow
}

// dayCount is the list after the last release of a day.
type dayCount struct {
	Day              string // YYYY-MM-DD
	Enforce, Testing int
}

// monthRow counts by month, YYYY-MM, or "unknown".
type monthRow struct {
	Month            string
	Enforce, Testing int
}

// Total is of both modes.
func (r monthRow) Total() int { return r.Enforce + r.Testing }

// rankRow counts the entries that share a name.
type rankRow struct {
	Name             string
	Enforce, Testing int
}

// Total is of both modes.
func (r rankRow) Total() int { return r.Enforce + r.Testing }

// verdictOf counts entries by what the vantages decided; "unseen" are those of which the evidence does not speak.
type verdictOf struct {
	Verdict string
	Domains int
}

// codeRow counts the entries with a code of the probe's.
type codeRow struct {
	policy.Code
	Domains int
}

const (
	selfHosted = "(self)" // the MX hosts lie under the domain's own registered name
	unseen     = "unseen"
	noMonth    = "unknown"
)

// statistics counts.
func (b *builder) statistics() statistics {
	s := statistics{Days: countDays(b.events), Fixes: countFixes(b.Domains, b.Model.Evidence.Findings, b.Pending)}
	joined, failing := map[string]*monthRow{}, map[string]*monthRow{}
	tlds, suffixes, providers := tally{}, tally{}, newProviders()
	codes, verdicts := map[string]int{}, map[string]int{}
	for i := range b.Domains {
		d := &b.Domains[i]
		p := d.Policy()
		if p == nil {
			continue
		}
		name := d.Name.String()
		inMonth(joined, d.Added().Time.UTC().Format("2006-01")).add(p.Mode)
		tlds.add(name[strings.LastIndexByte(name, '.')+1:], p.Mode)
		suffixes.add(policy.PublicSuffix(d.Name), p.Mode)
		providers.add(d.Name, p)
		f, ok := b.Model.Evidence.Findings[name]
		if !ok {
			verdicts[unseen]++
			continue
		}
		verdicts[f.Verdict]++
		if f.Verdict == "fail" {
			month := noMonth
			if f.Since != "" {
				month = f.Since[:len("2006-01")]
			}
			inMonth(failing, month).add(p.Mode)
		}
		for _, code := range slices.Compact(slices.Sorted(slices.Values(f.Codes))) {
			codes[code]++
		}
	}
	s.Joined, s.Failing = months(joined), months(failing)
	s.TLDs, s.Suffixes, s.Providers = tlds.rows(), suffixes.rows(), providers.rows()
	for _, v := range []string{"pass", "warn", "fail", "inconclusive", unseen} {
		s.Verdicts = append(s.Verdicts, verdictOf{v, verdicts[v]})
	}
	for code, n := range codes {
		s.Codes = append(s.Codes, codeRow{b.Code(code), n})
	}
	slices.SortFunc(s.Codes, func(x, y codeRow) int { return cmp.Or(cmp.Compare(y.Domains, x.Domains), cmp.Compare(x.ID, y.ID)) })
	return s
}

// countDays follows the list through its changes, which come newest first.
func countDays(events []Event) []dayCount {
	var out []dayCount
	var now dayCount
	count := func(p *policy.Policy, n int) {
		switch {
		case p == nil:
		case p.Mode == policy.Enforce:
			now.Enforce += n
		default:
			now.Testing += n
		}
	}
	var at time.Time
	for _, e := range slices.Backward(events) {
		if !e.Time.Equal(at) { // changes of one release have one time, and there may be a million of them
			at = e.Time
			if day := at.UTC().Format(time.DateOnly); day != now.Day {
				if now.Day != "" {
					out = append(out, now)
				}
				now.Day = day
			}
		}
		count(e.Before, -1)
		count(e.After, +1)
	}
	if now.Day == "" {
		return nil
	}
	return append(out, now)
}

func inMonth(rows map[string]*monthRow, month string) *monthRow {
	r := rows[month]
	if r == nil {
		r = &monthRow{Month: month}
		rows[month] = r
	}
	return r
}

func (r *monthRow) add(m policy.Mode) {
	if m == policy.Enforce {
		r.Enforce++
		return
	}
	r.Testing++
}

// months are the rows in order of time; "unknown" sorts behind all digits.
func months(rows map[string]*monthRow) []monthRow {
	var out []monthRow
	for _, month := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[month])
	}
	return out
}

// median is the month since which half of the entries stand, or longer; "" without entries.
func median(rows []monthRow) string {
	all, n := 0, 0
	for _, r := range rows {
		all += r.Total()
	}
	for _, r := range rows {
		if n += r.Total(); 2*n >= all {
			return r.Month
		}
	}
	return ""
}

// tally counts entries by a name.
type tally map[string]*rankRow

func (t tally) add(name string, m policy.Mode) {
	r := t[name]
	if r == nil {
		r = &rankRow{Name: name}
		t[name] = r
	}
	if m == policy.Enforce {
		r.Enforce++
		return
	}
	r.Testing++
}

// rows are the largest first; of equal ones the name decides.
func (t tally) rows() []rankRow {
	var out []rankRow
	for _, r := range t {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b rankRow) int {
		return cmp.Or(cmp.Compare(b.Total(), a.Total()), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// providers counts entries by the registered names of their MX patterns. An entry counts once for each name that it has.
type providers struct {
	tally
	registered map[policy.MXPattern]string // most entries have the same few
	own        []string                    // names of the entry at hand
}

func newProviders() *providers {
	return &providers{tally: tally{}, registered: map[policy.MXPattern]string{}}
}

// maxRegistered bounds what is remembered: names that a single domain uses need not be.
const maxRegistered = 100_000

func (p *providers) add(d policy.Domain, entry *policy.Policy) {
	self := policy.RegisteredDomain(d)
	p.own = p.own[:0]
	for _, mx := range entry.MXs {
		name, ok := p.registered[mx]
		if !ok {
			name = policy.RegisteredDomain(mx.Base())
			if name == "" {
				name = mx.Base().String() // a public suffix that has hosts itself
			}
			if len(p.registered) < maxRegistered {
				p.registered[mx] = name
			}
		}
		if name == self {
			name = selfHosted
		}
		if !slices.Contains(p.own, name) {
			p.own = append(p.own, name)
			p.tally.add(name, entry.Mode)
		}
	}
}
