package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// Limits of a file of domains: nobody proposes more in one pull request that somebody shall read.
const (
	MaxBulkBytes = 4 << 20
	maxBulkRows  = 10_000
	maxBulkLine  = 1024
)

// ErrBulk says that a file is no list of domains.
var ErrBulk = errors.New("no list of domains")

// BulkRow is one line of a file of domains, and what became of it.
type BulkRow struct {
	Line    int
	Text    string // the domain as written
	Domain  policy.Domain
	Codes   []string         // why the row is left out; none: it is in
	Managed policy.ManagedBy // of a row that is in
}

// The codes of rows that nobody looks at.
const (
	codeBulkName   = "bulk.name"
	codeBulkTwice  = "bulk.twice"
	codeBulkListed = "bulk.listed"
	codeBulkNotMX  = "bulk.other-hosts"
)

func bulkCodes() []policy.Code {
	return []policy.Code{
		{ID: codeBulkName, Rules: []string{"R13"}, Severity: policy.Error, Summary: "a row of a bulk proposal is no domain",
			Fix: "write one domain a line, as in an address behind the @"},
		{ID: codeBulkTwice, Rules: []string{"R2"}, Severity: policy.Error, Summary: "a row of a bulk proposal names a domain that an earlier row names",
			Fix: "strike one of them"},
		{ID: codeBulkListed, Rules: []string{"R43"}, Severity: policy.Error, Summary: "a row of a bulk proposal names a domain that is listed already",
			Fix: "propose its change by itself: starttls-list propose DOMAIN SOURCE"},
		{ID: codeBulkNotMX, Rules: []string{"R27"}, Severity: policy.Error, Summary: "a row of a bulk proposal has MX hosts that the alias does not allow, or none",
			Fix: "check that its MX records are the provider's, or let the alias allow the host (--mx)"},
	}
}

// ParseBulk reads a file of domains, one a line; what follows "#" is a comment, and a line may be empty. A row that is no
// domain, or the second of its name, carries a code. What is not text, or too much of it, is an error that wraps ErrBulk
// and names the line.
func ParseBulk(name string, data []byte) ([]BulkRow, error) {
	if len(data) > MaxBulkBytes {
		return nil, fmt.Errorf("%w: %s: more than %d bytes", ErrBulk, name, MaxBulkBytes)
	}
	var rows []BulkRow
	seen := make(map[policy.Domain]bool)
	number := 0
	for line := range bytes.Lines(data) {
		number++
		switch {
		case len(line) > maxBulkLine:
			return nil, fmt.Errorf("%w: %s:%d: a line of more than %d bytes", ErrBulk, name, number, maxBulkLine)
		case !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("%w: %s:%d: this is not text in UTF-8", ErrBulk, name, number)
		}
		text, _, _ := strings.Cut(string(line), "#")
		if text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")); text == "" {
			continue
		}
		if len(rows) == maxBulkRows {
			return nil, fmt.Errorf("%w: %s:%d: more than %d domains", ErrBulk, name, number, maxBulkRows)
		}
		row := BulkRow{Line: number, Text: text}
		d, err := policy.NormalizeDomain(text)
		switch {
		case err != nil:
			row.Codes = []string{codeBulkName}
		case seen[d]:
			row.Domain, row.Codes = d, []string{codeBulkTwice}
		default:
			row.Domain, seen[d] = d, true
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: %s has no row", ErrBulk, name)
	}
	return rows, nil
}

// BulkFailedHeader begins the file of rows that are left out.
const BulkFailedHeader = "# rows that starttls-list propose --bulk left out, and why\n"

// FormatBulkFailed is the file of the rows that are left out, with the codes of why, for ParseBulk to read again. The text
// of a row that is no domain is a comment.
func FormatBulkFailed(rows []BulkRow) []byte {
	b := bytes.NewBufferString(BulkFailedHeader)
	for _, r := range rows {
		switch {
		case len(r.Codes) == 0:
		case r.Domain.IsZero():
			fmt.Fprintf(b, "# line %d: %q %s\n", r.Line, r.Text, strings.Join(r.Codes, " "))
		default:
			fmt.Fprintf(b, "%s  # line %d: %s\n", r.Domain, r.Line, strings.Join(r.Codes, " "))
		}
	}
	return b.Bytes()
}

// Bulk is what is proposed for many domains of one provider.
type Bulk struct {
	Alias      string
	Policy     policy.Policy // of the alias
	Rows       []BulkRow
	Unanswered bool // no mail server answered at all: rows are in by what the DNS says
}

// looked is what was seen of a row.
type looked struct {
	result probe.Result
	record probe.Record
	hosts  []policy.MXPattern // the usable names of its MX hosts, sorted
}

// MarkListed gives rows whose domain the source lists their code.
func MarkListed(rows []BulkRow, s *policy.Source) {
	for i := range rows {
		if _, ok := s.Lookup(rows[i].Domain); ok && len(rows[i].Codes) == 0 {
			rows[i].Codes = []string{codeBulkListed}
		}
	}
}

// Pending are the domains of the rows without a code, sorted.
func Pending(rows []BulkRow) []probe.Target {
	var targets []probe.Target
	for _, r := range rows {
		if len(r.Codes) == 0 {
			targets = append(targets, probe.Target{Domain: r.Domain})
		}
	}
	slices.SortFunc(targets, func(a, b probe.Target) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	return targets
}

// SplitBulk decides about each row by what was seen of it, held against one policy: mode, and mxs or, where there are
// none, the MX hosts that most of the domains have.
func SplitBulk(alias string, rows []BulkRow, results []probe.Result, mode policy.Mode, mxs []policy.MXPattern) (*Bulk, error) {
	b := &Bulk{Alias: alias, Rows: rows}
	anyTried, anyAnswered := false, false
	seen := make(map[policy.Domain]looked, len(results))
	for _, r := range results {
		l := looked{result: r}
		if err := json.Unmarshal(r.Line, &l.record); err != nil {
			return nil, err
		}
		l.hosts = patternsOf(l.record.Observed.Hosts)
		tried, answered := visited(r)
		anyTried, anyAnswered = anyTried || tried, anyAnswered || answered
		seen[r.Domain] = l
	}
	b.Unanswered = anyTried && !anyAnswered
	if mxs == nil {
		mxs = commonHosts(rows, seen)
	}
	var err error
	if b.Policy, err = policy.NewPolicy(max(mode, policy.Testing), mxs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEntryPossible, err)
	}
	for i := range rows {
		if len(rows[i].Codes) == 0 {
			b.judge(&rows[i], seen[rows[i].Domain])
		}
	}
	return b, nil
}

// patternsOf are the usable names of MX hosts.
func patternsOf(hosts []probe.Host) (out []policy.MXPattern) {
	for _, h := range hosts {
		if m, err := policy.ParseMXPattern(h.Name); err == nil && h.Flaw == "" && !strings.HasSuffix(h.Name, ".invalid") {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b policy.MXPattern) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// commonHosts are the MX hosts that most rows have; of several sets that as many have, the first in order.
func commonHosts(rows []BulkRow, seen map[policy.Domain]looked) (most []policy.MXPattern) {
	count := make(map[string]int)
	best := ""
	for _, r := range rows {
		l := seen[r.Domain]
		if len(r.Codes) > 0 || len(l.hosts) == 0 {
			continue
		}
		key := patternsText(l.hosts)
		count[key]++
		if n := count[key] - count[best]; best == "" || n > 0 || n == 0 && key < best {
			best, most = key, l.hosts
		}
	}
	return most
}

// judge decides about a row. Where no server answers anybody, it is this machine's network that says no, and the DNS alone
// decides; the vantages will look.
func (b *Bulk) judge(r *BulkRow, l looked) {
	at, err := policy.ParseTime(l.record.At)
	if err != nil {
		r.Codes = []string{codeEvidenceAbsent}
		return
	}
	j := probe.Judge(r.Domain, l.record.Observed, b.Policy, at, 0)
	outside := len(l.hosts) == 0 || slices.ContainsFunc(l.hosts, func(m policy.MXPattern) bool { return !b.Policy.Allows(m.Base()) })
	switch {
	case outside && (j.Verdict != probe.Fail || b.Unanswered):
		r.Codes = append([]string{codeBulkNotMX}, j.Codes...)
	case b.Unanswered && l.record.Observed.Route == string(discovery.RouteHosts):
	case j.Verdict == probe.Fail:
		r.Codes = codesOf(slices.DeleteFunc(j.Findings, func(f policy.Finding) bool { return f.Severity != policy.Error }))
	case j.Verdict == probe.Inconclusive:
		r.Codes = j.Codes
	}
	if len(r.Codes) == 0 {
		r.Managed = policy.ManagedByOwner
		if s := l.record.Observed.STS; s != nil && s.Status == string(discovery.STSOK) && followsAlias(s.Policy, b.Policy) {
			r.Managed = policy.ManagedByMTASTS
		}
	}
}

// followsAlias reports whether MTA-STS is the owner's word for p by itself.
func followsAlias(s *probe.STSPolicy, p policy.Policy) bool {
	if s == nil || s.Track != string(mtasts.TrackService) || s.Mode == string(mtasts.None) {
		return false
	}
	var mxs []policy.MXPattern
	for _, text := range s.MXs {
		if m, err := policy.ParseMXPattern(text); err == nil {
			mxs = append(mxs, m)
		}
	}
	return policy.SameHosts(mxs, p.MXs)
}

// In are the rows that are in, Out those that are not.
func (b *Bulk) In() (in []BulkRow) {
	return slices.DeleteFunc(slices.Clone(b.Rows), func(r BulkRow) bool { return len(r.Codes) > 0 })
}

// Out are the rows that are left out.
func (b *Bulk) Out() (out []BulkRow) {
	return slices.DeleteFunc(slices.Clone(b.Rows), func(r BulkRow) bool { return len(r.Codes) == 0 })
}

// Edits are those of the new fragment.
func (b *Bulk) Edits() []policy.SourceEdit {
	edits := []policy.SourceEdit{{Name: b.Alias, Policy: &b.Policy, Add: true}}
	for _, r := range b.In() {
		edits = append(edits, policy.SourceEdit{Domain: r.Domain, Alias: b.Alias, Managed: r.Managed, Add: true})
	}
	return edits
}

// Unanswered reports whether no mail server of the domain answered a connection at all: from one domain alone, or from many
// of several providers, that says more of this machine's network than of them.
func Unanswered(r probe.Result) bool {
	tried, answered := visited(r)
	return tried && !answered
}

// visited reports whether any mail server was visited, and whether any answered.
func visited(r probe.Result) (tried, answered bool) {
	var record probe.Record
	if err := json.Unmarshal(r.Line, &record); err != nil {
		return false, false
	}
	silent := []probe.Failure{probe.FailUnreachable, probe.FailNoRoute, probe.FailNoName}
	for _, h := range record.Observed.Hosts {
		for _, s := range h.Sessions {
			tried = true
			answered = answered || s.Stage != probe.StageConnect || !slices.Contains(silent, s.Failure)
		}
	}
	return tried, answered
}
