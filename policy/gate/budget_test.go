package gate_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// budgetCase is a case of testdata/budget.txt.
type budgetCase struct {
	line     int
	name     string
	day      gate.Day
	asked    []gate.Step
	accepted bool
	want     []string
}

// kindOf are the two policies of a kind of change, and its reason.
var kindOf = map[string][3]string{
	"removed":   {"testing mx.a.example", "", "remove.owner"},
	"weakened":  {"enforce mx.a.example", "testing mx.a.example", "demote.auto"},
	"enforcing": {"testing mx.a.example", "enforce mx.a.example", "promote.evidence"},
	"moved":     {"enforce mx.a.example", "enforce mx2.a.example", "mxs.replaced"},
	"widened":   {"enforce mx.a.example", "enforce mx.a.example mx2.a.example", "mxs.widened"},
	"narrowed":  {"enforce mx.a.example mx2.a.example", "enforce mx.a.example", "mxs.narrowed"},
	"added":     {"", "testing mx.a.example", "add.testing"},
}

// TestBudgetTable asks every question of testdata/budget.txt.
func TestBudgetTable(t *testing.T) {
	data, err := os.ReadFile("testdata/budget.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []*budgetCase
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || word == "#" || word == "==":
		case word == "case":
			cases = append(cases, &budgetCase{line: i + 1, name: rest})
		case len(cases) == 0 || !cases[len(cases)-1].read(t, word, rest, line):
			t.Fatalf("budget.txt:%d: %q is not understood", i+1, line)
		}
	}
	if len(cases) < 14 {
		t.Errorf("only %d cases were read", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.answer(); !slices.Equal(got, c.want) {
				t.Errorf("budget.txt:%d:\n got %s\nwant %s", c.line, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

func (c *budgetCase) read(t *testing.T, word, rest, line string) bool {
	t.Helper()
	switch word {
	case "listed":
		_, err := fmt.Sscan(rest, &c.day.Listed)
		return err == nil
	case "made":
		rest, again := strings.CutPrefix(rest, "again ")
		prefix := "made"
		if again {
			prefix = "asked"
		}
		for _, s := range steps(t, prefix, rest) {
			c.day.Made = append(c.day.Made, s.Change)
		}
	case "asked":
		c.asked = steps(t, "asked", rest)
	case "accepted":
		c.accepted = true
	case "release", "hold", "exceeds":
		c.want = append(c.want, line)
	default:
		return false
	}
	return true
}

// steps reads "3 removed, 5 weakened": of domains numbered through.
func steps(t *testing.T, prefix, text string) (out []gate.Step) {
	t.Helper()
	for part := range strings.SplitSeq(text, ", ") {
		n, kind := 0, ""
		k, known := kindOf[""], false
		if _, err := fmt.Sscan(part, &n, &kind); err == nil {
			k, known = kindOf[kind]
		}
		if !known {
			t.Fatalf("%q is no number of changes", part)
		}
		for range n {
			d := domain(t, fmt.Sprintf("%s%04d.example", prefix, len(out)))
			out = append(out, gate.Step{Change: gate.ChangeOf(d, budgetPolicy(t, k[0]), budgetPolicy(t, k[1])), Reason: k[2], Since: noon})
		}
	}
	return out
}

func budgetPolicy(t testing.TB, text string) *policy.Policy {
	t.Helper()
	if text == "" {
		return nil
	}
	return policyOf(t, text)
}

// answer words what comes of a case, kinds in the order of the asked.
func (c *budgetCase) answer() (out []string) {
	var order []string
	tally := func(changes []policy.Change) string {
		count := map[string]int{}
		for _, ch := range changes {
			count[c.kind(ch)]++
		}
		var parts []string
		for _, k := range order {
			if count[k] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", count[k], k))
			}
		}
		return strings.Join(parts, ", ")
	}
	pass, held := c.day.Budget(c.asked, c.accepted)
	var made []policy.Change
	for _, s := range pass {
		made = append(made, s.Change)
	}
	for _, s := range c.asked {
		if k := c.kind(s.Change); !slices.Contains(order, k) {
			order = append(order, k)
		}
	}
	out = append(out, "release "+tally(made))
	byCode := map[string][]policy.Change{}
	for _, w := range held {
		byCode[w.Findings[0].Code] = append(byCode[w.Findings[0].Code], w.Change)
	}
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		out = append(out, "hold "+tally(byCode[code])+" "+code)
	}
	x := c.day.Excess(made)
	if x.Over {
		out = append(out, "exceeds budget")
	}
	if x.Startles {
		out = append(out, "exceeds guard")
	}
	return out
}

func (c *budgetCase) kind(ch policy.Change) string {
	for _, s := range c.asked {
		if s.Change.Domain == ch.Domain {
			for kind, k := range kindOf {
				if k[2] == s.Reason {
					return kind
				}
			}
		}
	}
	return "?"
}

// TestNoClientIsStartled lets releases come at all intervals, with all that could be asked for at once, and clients fetch
// any of them: whoever holds a list of the last 24 hours takes the next.
func TestNoClientIsStartled(t *testing.T) {
	type release struct {
		at   time.Time
		list policy.List
		made []policy.Change
	}
	touched := 0
	for seed := range uint64(60) {
		d := throw(t, seed)
		size := 5 + d.IntN(250)
		last := release{at: noon, list: policy.List{}}
		all := []release{last}
		for range 25 {
			now := last.at.Add(time.Duration(1+d.IntN(20)) * time.Hour)
			day := gate.Day{Listed: last.list.Len()}
			for i := len(all) - 1; i >= 0; i-- {
				if n := all[i].list.Len(); n > 0 {
					day.Listed = min(max(day.Listed, 1), n)
				}
				if now.Sub(all[i].at) >= gate.BudgetWindow {
					break
				}
				day.Made = append(slices.Clone(all[i].made), day.Made...)
			}
			var steps []gate.Step
			for i := range size {
				name := domain(t, fmt.Sprintf("d%03d.example", i))
				var old *policy.Policy
				if p, ok := last.list.Lookup(name); ok {
					old = &p
				}
				if new := d.policy(); d.chance(3) && (old == nil) != (new == nil) || old != nil && new != nil && !old.Equal(*new) && d.chance(3) {
					reasons := gateReasons()
					steps = append(steps, gate.Step{Change: gate.ChangeOf(name, old, new), Reason: reasons[d.IntN(len(reasons))], Since: noon})
				}
			}
			pass, _ := day.Budget(steps, false)
			next := release{at: now}
			var edits []policy.Edit
			for _, s := range pass {
				next.made = append(next.made, s.Change)
				edits = append(edits, policy.Edit{Domain: s.Change.Domain, Policy: s.Change.New})
			}
			var err error
			if next.list, err = last.list.Apply(edits); err != nil {
				t.Fatal(err)
			}
			for _, held := range all {
				if now.Sub(held.at) > gate.BudgetWindow && held.at != last.at {
					continue
				}
				tally := policy.Count(held.list.Len(), policy.Diff(held.list.Entries(), next.list.Entries()))
				if touched = max(touched, tally.Touched); tally.Startles() {
					t.Fatalf("seed %d: a client with the list of %s keeps that of %s back: %+v", seed, held.at, now, tally)
				}
			}
			all, last = append(all, next), next
		}
	}
	if touched < 30 {
		t.Errorf("at most %d entries were touched: the test asks for too little", touched)
	}
}
