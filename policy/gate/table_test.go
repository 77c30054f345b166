package gate_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// noon is the time from which the table counts.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tableCase is a case of testdata/table.txt.
type tableCase struct {
	t        testing.TB
	line     int
	name     string
	in       gate.Input
	settings gate.Settings
	answers  []answer
}

// answer is an "at" line.
type answer struct {
	line int
	at   time.Time
	want string
}

// TestTable asks the gate every question of testdata/table.txt.
func TestTable(t *testing.T) {
	cases := readTable(t)
	if len(cases) < 60 {
		t.Errorf("only %d cases were read", len(cases))
	}
	reasons := map[string]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, a := range c.answers {
				in := c.at(a.at)
				out := gate.Decide(in, c.settings)
				asides := aside(out)
				if got := describe(out, strings.TrimSuffix(a.want, asides)) + asides; got != a.want {
					t.Errorf("table.txt:%d: at %s\n got %s\nwant %s", a.line, elapsed(a.at), got, a.want)
				}
				if out.Step != nil {
					reasons[out.Step.Reason] = true
				}
			}
			if len(c.answers) == 0 {
				t.Errorf("table.txt:%d: the case asks nothing", c.line)
			}
		})
	}
	for _, r := range gateReasons() {
		if !reasons[r] {
			t.Errorf("no case of the table ends in %s", r)
		}
		if c, ok := policy.LookupCode(r); !ok || c.Severity != policy.Reason {
			t.Errorf("%s is no reason that the log may give", r)
		}
	}
}

// gateReasons are those that the gate may give.
func gateReasons() []string {
	return []string{
		"add.testing", "add.enforce", "promote.evidence", "demote.owner", "demote.emergency", "demote.auto", "restore.auto",
		"mxs.narrowed", "mxs.widened", "mxs.replaced", "remove.owner", "remove.auto", "remove.gone", "remove.curated",
	}
}

// at is the case's input at a time: later looks are not there yet.
func (c *tableCase) at(now time.Time) gate.Input {
	in := c.in
	in.Now, in.Looks = now, nil
	for _, l := range c.in.Looks {
		if !l.At.After(now) {
			in.Looks = append(in.Looks, l)
		}
	}
	return in
}

// aside is what an outcome says besides changes.
func aside(out gate.Outcome) (text string) {
	for _, f := range out.Alarms {
		text += ", alarm " + f.Code
	}
	if out.Vouched {
		text += ", vouched"
	}
	return text
}

// describe words an outcome as the table does. Of several waits it takes the one that is wanted, if it is there.
func describe(out gate.Outcome, want string) string {
	if s := out.Step; s != nil {
		what := "removal"
		if s.Change.New != nil {
			what = policyText(*s.Change.New)
		}
		return "release " + what + " as " + s.Reason
	}
	var texts []string
	for _, w := range out.Waits {
		text := "hold"
		if !w.Until.IsZero() {
			text += " until " + elapsed(w.Until)
		}
		var codes []string
		for _, f := range w.Findings {
			codes = append(codes, f.Code)
		}
		slices.Sort(codes)
		texts = append(texts, text+" "+strings.Join(codes, ", "))
	}
	switch {
	case len(texts) == 0:
		return "nothing"
	case slices.Contains(texts, want):
		return want
	}
	return strings.Join(texts, " and ")
}

func elapsed(at time.Time) string {
	d := at.Sub(noon)
	if days, rest := d/(24*time.Hour), d%(24*time.Hour); rest == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%gh", d.Hours())
}

func policyText(p policy.Policy) string {
	words := []string{p.Mode.String()}
	for _, m := range p.MXs {
		words = append(words, m.String())
	}
	return strings.Join(words, " ")
}

func readTable(t *testing.T) []*tableCase {
	t.Helper()
	data, err := os.ReadFile("testdata/table.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []*tableCase
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case line == "" || word == "#" || word == "==":
		case word == "case":
			cases = append(cases, &tableCase{t: t, line: i + 1, name: rest, settings: gate.Settings{Vantages: 3, Quorum: 2},
				in: gate.Input{Domain: domain(t, "a.example"), Managed: policy.ManagedByOwner}})
		case len(cases) == 0 || !cases[len(cases)-1].read(i+1, word, rest):
			t.Fatalf("table.txt:%d: %q is not understood", i+1, line)
		}
	}
	return cases
}

// read takes one line of a case.
func (c *tableCase) read(line int, word, rest string) bool {
	switch word {
	case "managed":
		c.in.Managed = policy.ManagedBy(rest)
	case "list":
		c.in.Published = policyOf(c.t, rest)
	case "source":
		c.in.Wanted = policyOf(c.t, rest)
	case "override":
		c.in.Override = rest
	case "registered":
		c.in.Registered = c.time(rest)
	case "reviewed":
		c.in.Reviewed = c.time(rest)
	case "feedback":
		c.in.Feedback = rest
	case "canary":
		c.in.Canary = true
	case "approved":
		c.in.Approval = &gate.Approval{Reason: rest}
	case "vantages":
		n, err := fmt.Sscanf(rest, "%d quorum %d", &c.settings.Vantages, &c.settings.Quorum)
		return n == 2 && err == nil
	case "logged":
		when, change, _ := strings.Cut(rest, ": ")
		at, reason, _ := strings.Cut(when, " ")
		before, after, _ := strings.Cut(change, " -> ")
		c.in.Log = append(c.in.Log, gate.Logged{At: c.time(at), Before: policyOf(c.t, before), After: policyOf(c.t, after), Reason: reason})
	case "looks":
		when, facts, ok := strings.Cut(rest, ": ")
		for _, at := range c.times(when) {
			c.in.Looks = append(c.in.Looks, c.look(at, facts))
		}
		return ok
	case "at":
		when, want, ok := strings.Cut(rest, ":")
		want = strings.TrimSpace(want)
		c.answers = append(c.answers, answer{line, c.time(when), want})
		return ok
	default:
		return false
	}
	return true
}

// time reads "3d", "36h" or "1d12h", counted from noon.
func (c *tableCase) time(s string) time.Time {
	c.t.Helper()
	at := noon
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			c.t.Fatalf("case %q: time %q", c.name, s)
		}
		at, s = at.AddDate(0, 0, n), rest
	}
	if s == "" {
		return at
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		c.t.Fatalf("case %q: time %q", c.name, s)
	}
	return at.Add(d)
}

// times reads "0d" or "0d..14d every 24h".
func (c *tableCase) times(s string) []time.Time {
	span, every, _ := strings.Cut(s, " every ")
	from, to, isSpan := strings.Cut(span, "..")
	if !isSpan {
		to = from
	}
	step := 24 * time.Hour
	if every != "" {
		step = c.time(every).Sub(noon)
	}
	var out []time.Time
	for at := c.time(from); !at.After(c.time(to)); at = at.Add(step) {
		out = append(out, at)
	}
	return out
}

// look reads the facts of a look.
func (c *tableCase) look(at time.Time, facts string) gate.Look {
	l := gate.Look{At: at, Voters: c.settings.Vantages}
	for _, fact := range strings.Split(facts, ", ") {
		by := l.Voters
		if text, n, ok := strings.Cut(fact, " by "); ok {
			var err error
			if by, err = strconv.Atoi(n); err != nil {
				c.t.Fatalf("case %q: %q", c.name, fact)
			}
			fact = text
		}
		c.fact(&l, fact, by)
	}
	if l.Good > 0 && len(l.Live) == 0 {
		l.Live = []gate.LiveMX{{Host: domain(c.t, "mx.a.example"), Vantages: l.Good}}
	}
	return l
}

func (c *tableCase) fact(l *gate.Look, fact string, by int) {
	word, rest, _ := strings.Cut(fact, " ")
	switch {
	case fact == "mail arrives":
		l.Good = by
	case fact == "inconclusive":
	case word == "fails":
		l.Bad, l.Codes = by, append(l.Codes, rest)
		if gate.HardFault(rest) {
			l.Hard = by
		}
		if rest == "dns.nxdomain" {
			l.Gone = by
		}
	case word == "mx":
		for _, host := range strings.Fields(rest) {
			l.Live = append(l.Live, gate.LiveMX{Host: domain(c.t, host), Vantages: by})
		}
	case fact == "no sts":
		l.STS = append(l.STS, gate.STSSeen{Vantages: by})
	case word == "sts":
		l.STS = append(l.STS, gate.STSSeen{STS: c.sts(rest), Vantages: by})
	case strings.HasSuffix(fact, " proof"), strings.HasSuffix(fact, " proofs"):
		reading := map[string]proof.Reading{"no proof": {Status: proof.None}, "two proofs": {Status: proof.Many}, "broken proof": {Status: proof.Invalid}}
		l.Proofs = append(l.Proofs, gate.ProofSeen{Reading: reading[fact], Vantages: by})
	case word == "proof":
		l.Proofs = append(l.Proofs, gate.ProofSeen{Reading: c.proof(l.At, rest), Vantages: by})
	default:
		c.t.Fatalf("case %q: the fact %q is not understood", c.name, fact)
	}
}

// sts reads "enforce mx.a.example max_age 86400".
func (c *tableCase) sts(s string) gate.STS {
	s, age, short := strings.Cut(s, " max_age ")
	p := mtasts.Policy{MaxAge: 10886400 * time.Second}
	if short {
		n, err := strconv.Atoi(age)
		if err != nil {
			c.t.Fatal(err)
		}
		p.MaxAge = time.Duration(n) * time.Second
	}
	words := strings.Fields(s)
	return gate.STS{Mode: mtasts.Mode(words[0]), MXs: patterns(c.t, words[1:]), Track: p.Track()}
}

// proof reads "remove", "emergency" or "enforce mx.a.example", with "expires 30d" behind it; it expires on day 50 else.
func (c *tableCase) proof(at time.Time, s string) proof.Reading {
	s, exp, ok := strings.Cut(s, " expires ")
	if !ok {
		exp = "50d"
	}
	r := proof.Record{Kind: proof.Kind(s)}
	if s != "remove" && s != "emergency" {
		r = proof.Record{Kind: proof.Change, Change: proof.Digest(*policyOf(c.t, s))}
	}
	r.Expires = c.time(exp).Truncate(24*time.Hour).AddDate(0, 0, 1)
	return proof.Parse([]string{r.String()}, at)
}

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func patterns(t testing.TB, names []string) []policy.MXPattern {
	t.Helper()
	var out []policy.MXPattern
	for _, n := range names {
		p, err := policy.ParseMXPattern(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// policyOf reads "enforce mx.a.example"; "nothing" is nil.
func policyOf(t testing.TB, s string) *policy.Policy {
	t.Helper()
	if s == "nothing" {
		return nil
	}
	words := strings.Fields(s)
	mode, err := policy.ParseMode(words[0])
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.NewPolicy(mode, patterns(t, words[1:]))
	if err != nil {
		t.Fatal(err)
	}
	return &p
}
