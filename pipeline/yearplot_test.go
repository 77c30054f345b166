package pipeline_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the scenario of the year anew")

const yearFile = "testdata/scenario.txt"

// yearDays is the length of the scenario: the operator is away for some of them, and 730 releases are wanted.
const yearDays = 380

// yearEvent is one line of the scenario: "17 mover-03.example @west sts enforce mx.evil.example".
type yearEvent struct {
	day    int
	domain string // "-" for the operator
	only   string // the one vantage that sees it, "" for the truth
	verb   string
	args   []string
}

const yearHead = `# A year of a list: day, domain, what happens. Made by TestYearScenario -update from a seed; a test compares.
#
#   opens MX…                the domain appears, with these mail servers, all in order
#   mx MX…                   its MX records change
#   sts MODE MX… | off       its MTA-STS policy changes
#   txt MODE DAYS MX… | remove DAYS | emergency DAYS | off | again    its proof of control; again: the first one once more
#   breaks BEHAVIOUR | mends its servers do what package lab calls that
#   aged DAYS                its certificates are that old already
#   forgets | renews         its certificates are not renewed any more, and run out; or are renewed now, and in time again
#   vanishes                 it does not exist any more
#   commit BY MODE MX… | BY alias NAME     an edit of the list's source, by whomever
#   alias MX…                an edit of an alias, which stands in the domain's place
#   attack DAYS              whatever the list says of the domain now, it says for so long
#
# With @VANTAGE it is so for that vantage only: somebody lies to it. "-" is the operator:
#
#   mirror NAME down | up    nobody reaches the mirror
#   operator away | back     nobody scans and nobody releases
#   strips VANTAGE on | off  a middlebox takes STARTTLS out of all that the vantage sees
#   rotates release | log    a new key, by a new version of the trust
`

// plot writes the scenario.
type plot struct {
	strings.Builder
	rand *rand.Rand
	days int
}

func (p *plot) say(day int, domain, format string, args ...any) {
	if day < p.days {
		fmt.Fprintf(p, "%d %s %s\n", day, domain, fmt.Sprintf(format, args...))
	}
}

// each tells a story n times, under the names kind-01.example and so on.
func (p *plot) each(kind, about string, n int, story func(i int, name, mx string)) {
	fmt.Fprintf(p, "\n# %s\n", about)
	for i := range n {
		name := fmt.Sprintf("%s-%02d.example", kind, i+1)
		story(i, name, "mx."+name)
	}
}

// joins lets a domain follow its MTA-STS policy.
func (p *plot) joins(day int, name, mx string) {
	p.say(day, name, "opens %s", mx)
	p.say(day, name, "sts enforce %s", mx)
	p.say(day, name, "commit mta-sts testing %s", mx)
}

// proves lets a domain join by proof, and ask for enforce two days later.
func (p *plot) proves(day int, name, mx string) {
	p.say(day, name, "opens %s", mx)
	p.say(day, name, "txt testing 55 %s", mx)
	p.say(day, name, "commit owner testing %s", mx)
}

// again calls story on a day between first and last, and every 70 days or so until the year is over.
func (p *plot) again(first, last int, story func(day int)) {
	for day := first + p.rand.IntN(last-first+1); day < p.days; day += 60 + p.rand.IntN(20) {
		story(day)
	}
}

func writeYear(days int, seed uint64) string {
	p := &plot{rand: rand.New(rand.NewPCG(seed, seed)), days: days}
	p.WriteString(yearHead)
	p.operator()
	p.failures()
	p.owners()
	p.attacks()
	p.crowd()
	return p.String()
}

func (p *plot) operator() {
	p.WriteString("\n# The operator\n")
	p.say(12, "-", "mirror second down")
	p.say(15, "-", "mirror second up")
	p.say(20, "-", "rotates release")
	p.say(31, "-", "strips west on")
	p.say(36, "-", "strips west off")
	p.say(40, "-", "mirror public down")
	p.say(40, "-", "mirror third down")
	p.say(42, "-", "mirror public up")
	p.say(43, "-", "mirror third up")
	p.say(45, "-", "rotates log")
	for day := 100; day < p.days; day += 60 + p.rand.IntN(30) {
		mirror, vantage := []string{"public", "second", "third"}[p.rand.IntN(3)], vantageNames[p.rand.IntN(3)]
		p.say(day, "-", "mirror %s down", mirror)
		p.say(day+1+p.rand.IntN(9), "-", "mirror %s up", mirror)
		p.say(day+15, "-", "operator away")
		p.say(day+17, "-", "operator back")
		p.say(day+25, "-", "strips %s on", vantage)
		p.say(day+26+p.rand.IntN(5), "-", "strips %s off", vantage)
	}
}

// failures are those whose mail cannot arrive for a while.
func (p *plot) failures() {
	faults := []string{"no-starttls", "expired", "wrong-name", "self-signed", "unknown-ca", "chain-incomplete"}
	broken := func(first, last, days int) func(int, string, string) {
		return func(i int, name, mx string) {
			p.joins(i%4, name, mx)
			p.again(first, last, func(day int) {
				p.say(day, name, "breaks %s", faults[(i+day)%len(faults)])
				p.say(day+days, name, "mends")
			})
		}
	}
	p.each("day", "Broken for a day", 8, broken(20, 50, 1))
	p.each("week", "Broken for a week", 8, broken(20, 48, 7))
	p.each("ever", "Broken for ever", 4, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(20+i, name, "breaks %s", faults[i])
	})
	p.each("dead", "No server any more", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(22+i, name, "breaks refusing")
	})
	p.each("late", "Who renews certificates late", 10, func(i int, name, mx string) {
		p.joins(i%5, name, mx)
		if i < 5 { // the others run out on day 89 or later
			p.say(i, name, "aged 60")
			p.say(i, name, "forgets")
			p.say(30+2*i, name, "renews") // one to five days late
		} else {
			p.say(1, name, "forgets")
			p.say(91+i, name, "renews")
		}
		p.say(200, name, "forgets")
		p.say(292+i/2, name, "renews")
	})
}

// owners are those who change something.
func (p *plot) owners() {
	p.each("mover", "Who moves by the book: the policy first, then MX, then the policy again", 16, func(i int, name, mx string) {
		p.joins(i%6, name, mx)
		p.again(19, 45, func(day int) {
			next := fmt.Sprintf("mx%d.%s", day, name)
			p.say(day, name, "sts enforce %s %s", mx, next)
			p.say(day+4, name, "mx %s", next)
			p.say(day+6, name, "sts enforce %s", next)
			mx = next
		})
	})
	p.each("hasty", "Who moves MX and policy on one day", 8, func(i int, name, mx string) {
		p.joins(i%4, name, mx)
		p.again(20, 50, func(day int) {
			mx = fmt.Sprintf("mx%d.%s", day, name)
			p.say(day, name, "mx %s", mx)
			p.say(day, name, "sts enforce %s", mx)
		})
	})
	p.each("forgetful", "Who moves MX and forgets the policy for ever", 4, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(21+2*i, name, "mx mx2.%s", name)
	})
	p.each("switcher", "Who changes the mode of the policy, leaves and comes back", 8, func(i int, name, mx string) {
		p.joins(i%4, name, mx)
		p.say(22+i, name, "sts testing %s", mx)
		p.say(30+i, name, "sts enforce %s", mx)
		p.say(48+i/2, name, "sts none %s", mx)
		p.say(80+i, name, "sts enforce %s", mx)
		p.say(80+i, name, "commit mta-sts testing %s", mx)
	})
	p.each("leaver", "Who leaves, by proof", 6, func(i int, name, mx string) {
		p.proves(2*i, name, mx)
		p.say(2*i+3, name, "txt enforce 55 %s", mx)
		p.say(2*i+34, name, "txt remove 30")
		p.say(2*i+50, name, "txt off")
	})
	p.each("urgent", "Who cries for help", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(24+i, name, "breaks no-starttls")
		p.say(24+i, name, "txt emergency 10")
		p.say(33+i, name, "txt off")
		p.say(33+i, name, "mends")
	})
	p.each("sold", "Whose new owner has other servers and knows of no list", 4, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(20+3*i, name, "mx mx.buyer-%02d.example", i+1)
		p.say(20+3*i, name, "sts off")
	})
	p.each("lapsed", "Whose registration ends", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(20+i, name, "vanishes")
	})
}

// attacks are what must not work.
func (p *plot) attacks() {
	p.each("forged", "A forged wish to leave, to one vantage", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(25+i, name, "@south txt remove 30")
		p.say(25+i, name, "attack 8")
		p.say(33+i, name, "@south txt off")
	})
	p.each("lured", "One vantage is led to false servers and a false MTA-STS policy, and somebody proposes them", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(26+i, name, "@west mx mx.evil.example")
		p.say(26+i, name, "@west sts enforce mx.evil.example")
		p.say(26+i, name, "commit mta-sts enforce mx.evil.example")
		p.say(26+i, name, "attack 4")
		p.say(30+i, name, "@west mx %s", mx)
		p.say(30+i, name, "@west sts enforce %s", mx)
		p.say(30+i, name, "commit mta-sts enforce %s", mx)
	})
	p.each("stripped", "A middlebox before one vantage, for one domain, for three weeks", 2, func(i int, name, mx string) {
		p.joins(i, name, mx)
		p.say(22+i, name, "@north breaks stripped")
		p.say(22+i, name, "attack 21")
		p.say(43+i, name, "@north mends")
	})
	p.say(0, "prov-c", "alias mx1.prov-c.example mx2.prov-c.example")
	p.each("member", "A stranger edits the alias of others", 6, func(i int, name, _ string) {
		p.say(3+i, name, "opens mx1.prov-c.example mx2.prov-c.example")
		p.say(3+i, name, "txt testing 55 mx1.prov-c.example mx2.prov-c.example")
		p.say(3+i, name, "commit owner alias prov-c")
		p.say(27, name, "attack 5")
	})
	p.say(27, "prov-c", "alias mx.evil.example mx1.prov-c.example mx2.prov-c.example")
	p.say(32, "prov-c", "alias mx1.prov-c.example mx2.prov-c.example")
	p.each("revenant", "The owner before brings back an old proof after the domain was sold and left", 2, func(i int, name, mx string) {
		p.proves(i, name, mx)
		p.say(10+i, name, "txt remove 20")
		p.say(18+i, name, "txt off")
		p.say(24+i, name, "txt again")
		p.say(24+i, name, "commit owner testing %s", mx)
		p.say(24+i, name, "attack 10")
	})
}

// crowd are those to whom nothing happens, or little.
func (p *plot) crowd() {
	for i, alias := range []string{"prov-a", "prov-b"} {
		mxs := fmt.Sprintf("mx1.%s.example mx2.%s.example", alias, alias)
		p.say(0, alias, "alias %s", mxs)
		p.each(strings.Replace(alias, "prov", "client", 1), "Who has a provider's servers", 20, func(k int, name, _ string) {
			day := 4 + (k+10*i)%18
			p.say(day, name, "opens %s", mxs)
			p.say(day, name, "sts enforce %s", mxs)
			p.say(day, name, "commit mta-sts alias %s", alias)
		})
	}
	p.each("prover", "Who joins by proof", 20, func(i int, name, mx string) {
		day := 5 + i/2
		p.proves(day, name, mx)
		p.say(day+2, name, "txt enforce 55 %s", mx)
		p.say(day+50, name, "txt off")
	})
	p.each("curated", "Whom the operator added", 2, func(i int, name, mx string) {
		p.say(6, name, "opens %s", mx)
		p.say(6, name, "commit curated testing %s", mx)
	})
	p.each("steady", "Who joins by MTA-STS and stays", 44, func(i int, name, mx string) { p.joins(6+i/3, name, mx) })
}

// TestYearScenario: the scenario's file is what its seed makes.
func TestYearScenario(t *testing.T) {
	text := writeYear(yearDays, 2018)
	if *update {
		if err := os.WriteFile(yearFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(yearFile); err != nil || string(kept) != text {
		t.Errorf("%s is not what the seed makes; -update writes it anew (%v)", yearFile, err)
	}
	domains := map[string]bool{}
	for _, e := range readYear(t, text) {
		if e.verb == "opens" {
			domains[e.domain] = true
		}
	}
	if len(domains) < 200 {
		t.Errorf("%d domains", len(domains))
	}
}

// readYear reads a scenario; what happens on one day does in the order of lines.
func readYear(t *testing.T, text string) (events []yearEvent) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		day, err := strconv.Atoi(f[0])
		if err != nil || len(f) < 3 {
			t.Fatalf("scenario: %q", line)
		}
		e := yearEvent{day: day, domain: f[1]}
		if f = f[2:]; f[0][0] == '@' {
			e.only, f = f[0][1:], f[1:]
		}
		e.verb, e.args = f[0], f[1:]
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b yearEvent) int { return cmp.Compare(a.day, b.day) })
	return events
}
