package survey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// Options say how domains are counted.
type Options struct {
	Tool string // name and version of the program, for the report
	Min  int    // rows of fewer domains are told together; 0 means DefaultMin
	// List is the policy list that domains may be on; nil: the entries that the evidence was held against count, if any.
	List map[policy.Domain]policy.Policy
}

// DefaultMin is the least number of domains that a row of a table tells of. Below it a row tells of single domains.
const DefaultMin = 10

// maxRows caps the names of a table while it is counted, so that a hostile zone with a million providers costs no more
// than 100 MB or so; domains of further names are told together.
const maxRows = 1 << 18

// Tally counts domains. It holds no evidence: its memory grows with the rows of its tables.
type Tally struct {
	opts      Options
	measures  [measureCount]Measure
	codes     map[string]string // each code that was seen, once
	total     cell
	tables    [tableCount]table
	vantages  map[string]bool
	from, to  time.Time // of the looks
	listed    bool      // there is a list
	withoutAD bool      // a vantage could not tell what DNSSEC vouches for
}

// New returns an empty tally.
func New(o Options) *Tally {
	if o.Min == 0 {
		o.Min = DefaultMin
	}
	t := &Tally{opts: o, measures: measureTable(), codes: make(map[string]string), vantages: make(map[string]bool), listed: o.List != nil}
	for i := range t.tables {
		t.tables[i].cells = make(map[string]*cell)
	}
	return t
}

// Add counts a line of the evidence that r reads, merged or of one vantage; see probe.ReadSorted. Errors wrap
// probe.ErrEvidence.
func (t *Tally) Add(r *probe.Reader, l probe.Line) error {
	if !r.Merged() {
		return t.AddLine(l, r.TrustAD(l.Vantage))
	}
	f, err := merged(l, r.TrustAD)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", probe.ErrEvidence, l.Domain, err)
	}
	for _, own := range l.Seen {
		t.saw(own.Vantage, own.At, r.TrustAD(own.Vantage))
	}
	return t.count(l.Domain, f, entryMode(l.Policy), l.Codes)
}

// AddLine counts one vantage's line: of Domain and Raw alone, as a probe.Result has them. trustAD says whether the vantage
// can tell what DNSSEC vouches for.
func (t *Tally) AddLine(l probe.Line, trustAD bool) error {
	r, err := l.Record()
	if err != nil {
		return err
	}
	f, err := factsOf(l.Domain, r, trustAD)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", probe.ErrEvidence, l.Domain, err)
	}
	at, err := policy.ParseTime(r.At)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", probe.ErrEvidence, l.Domain, err)
	}
	t.saw(r.Vantage, at, trustAD)
	mode := ""
	if r.Policy != nil {
		mode = r.Policy.Mode
	}
	return t.count(l.Domain, f, mode, r.Codes)
}

// saw notes who looked and when.
func (t *Tally) saw(vantage string, at time.Time, trustAD bool) {
	if vantage != "" {
		t.vantages[vantage] = true
	}
	if t.from.IsZero() || at.Before(t.from) {
		t.from = at
	}
	if at.After(t.to) {
		t.to = at
	}
	t.withoutAD = t.withoutAD || !trustAD
}

// WithoutDNSSEC reports whether a vantage could not tell what DNSSEC vouches for, so that it says nothing about DANE.
func (t *Tally) WithoutDNSSEC() bool { return t.withoutAD }

// Conclusive reports whether anything could be told of any domain.
func (t *Tally) Conclusive() bool {
	k := slices.Index(t.measures[verdictMeasure].Classes, inconclusive)
	return t.total.classes[verdictMeasure][k] < t.total.domains
}

// membership is the domain's mode on the list; seen is that of the entry that the evidence was held against.
func (t *Tally) membership(d policy.Domain, seen string) string {
	mode := seen
	if t.opts.List != nil {
		mode = ""
		if entry, ok := t.opts.List[d]; ok {
			mode = entry.Mode.String()
		}
	}
	if mode == "" {
		return "unlisted"
	}
	t.listed = true
	return mode
}

// entryMode is the mode of an entry of the list in evidence: {"mode":"testing","mxs":[…]}.
func entryMode(entry []byte) string {
	rest, found := strings.CutPrefix(string(entry), `{"mode":"`)
	if !found {
		return ""
	}
	mode, _, _ := strings.Cut(rest, `"`)
	return mode
}

// count adds a domain to the total and to its row of each table.
func (t *Tally) count(d policy.Domain, f facts, seenMode string, codes []string) error {
	f.classes[listMeasure] = t.membership(d, seenMode)
	var at places
	for i, class := range f.classes {
		k := slices.Index(t.measures[i].Classes, class)
		if k < 0 {
			return fmt.Errorf("%w: %s: %s %q is none of today", probe.ErrEvidence, d, t.measures[i].Name, class)
		}
		at[i] = uint8(k)
	}
	codes = t.known(codes)
	name := d.String()
	t.total.add(at, codes)
	t.tables[tldTable].cell(name[strings.LastIndexByte(name, '.')+1:]).add(at, codes)
	t.tables[suffixTable].cell(policy.PublicSuffix(d)).add(at, codes)
	t.tables[providerTable].cell(f.provider).add(at, codes)
	return nil
}

// maxCodes caps the codes that are counted each by itself. There are fewer; evidence may name any.
const maxCodes = 256

// otherCode stands for further codes.
const otherCode = "other"

// known returns the codes that are counted, in memory of our own.
func (t *Tally) known(codes []string) []string {
	out := make([]string, len(codes))
	for i, code := range codes {
		own, ok := t.codes[code]
		if !ok {
			if own = otherCode; len(t.codes) < maxCodes && !strings.ContainsFunc(code, notOfCode) {
				own = strings.Clone(code)
				t.codes[own] = own
			}
		}
		out[i] = own
	}
	return slices.Compact(out)
}

// notOfCode: evidence may have codes in any printable characters; what goes into tables of others' has none to obey.
func notOfCode(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.'
}

// The tables of a survey.
const (
	tldTable = iota
	suffixTable
	providerTable
	tableCount
)

// table holds the cells of one kind of name.
type table struct {
	cells map[string]*cell
	rest  cell // of the names beyond maxRows
}

func (t *table) cell(name string) *cell {
	if c := t.cells[name]; c != nil {
		return c
	}
	if len(t.cells) >= maxRows {
		return &t.rest
	}
	c := new(cell)
	t.cells[strings.Clone(name)] = c
	return c
}
