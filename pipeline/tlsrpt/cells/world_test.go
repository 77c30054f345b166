package cells

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// The world of the simulation. What is drawn in it, everybody knows how; what comes of the draws, nobody, unless an attack says so.
const (
	worldDomains   = 60
	worldProviders = 8
	maxOperators   = 50
)

// world is one draw: domains with their faults, and who contributes.
type world struct {
	*rand.Rand
	domains   []policy.Domain
	provider  []string
	providers map[policy.Domain]string
	weight    []float64 // how likely an operator mails the domain
	fault     []simFault
	others    []*operator
	secret    []byte
	plain     bool // of the floor alone: three contributors and 50 sessions, week by week
	drawn     map[int][]Observation
}

// simFault is what is wrong with a domain, for everybody: a share of the sessions of one class.
type simFault struct {
	class tlsrpt.Class
	share float64
}

// operator contributes. habit is how many sessions a week it has with a domain; 0: it does not mail it.
type operator struct {
	name  string
	habit [worldDomains]float64
	own   bool // its own certificate store is broken: all sessions fail for it
	liar  bool
	since int // the first of the weeks in which it contributes, counted from the month before the first tables
}

func newWorld(seed, salt uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, salt)), drawn: map[int][]Observation{}, providers: map[policy.Domain]string{}}
	for i := range worldDomains {
		d, err := policy.ParseDomain(fmt.Sprintf("d%02d.example", i))
		if err != nil {
			panic(err)
		}
		w.domains = append(w.domains, d)
		p := d.String()
		if i%3 != 0 {
			p = fmt.Sprintf("mx%d.example", i%worldProviders)
		}
		w.provider = append(w.provider, p)
		w.providers[d] = p
		w.weight = append(w.weight, 1.5/math.Pow(float64(i+1), 0.7))
		f := simFault{class: tlsrpt.ClassOK}
		if w.IntN(12) == 0 {
			f.class = []tlsrpt.Class{tlsrpt.ClassCertificate, tlsrpt.ClassNoSTARTTLS, tlsrpt.ClassSTS, tlsrpt.ClassHostMismatch}[w.IntN(4)]
			f.share = []float64{0.003, 0.05, 0.3, 1}[w.IntN(4)]
		}
		w.fault = append(w.fault, f)
	}
	w.secret = binary.BigEndian.AppendUint64(make([]byte, 24), w.Uint64())
	return w
}

// listed is the list: every domain of the world.
func (w *world) listed(d policy.Domain) (string, bool) {
	p, ok := w.providers[d]
	return p, ok
}

// crowd fills the world with n operators.
func (w *world) crowd(n int) {
	for i := range n {
		w.others = append(w.others, w.operator(fmt.Sprintf("c%02d", i), w.IntN(4) == 0))
	}
}

func (w *world) operator(name string, tiny bool) *operator {
	o := &operator{name: name, own: w.IntN(25) == 0, liar: w.IntN(20) == 0}
	size := math.Exp(w.NormFloat64())
	if tiny {
		size *= 0.1
	}
	for i := range worldDomains {
		if w.Float64() < 1-math.Exp(-size*w.weight[i]) {
			o.habit[i] = 7 * 40 * size * math.Exp(w.NormFloat64())
		}
	}
	return o
}

// firstDay is where the weeks are counted from.
func firstDay() tlsrpt.Day {
	d, err := tlsrpt.ParseDay("2026-10-01")
	if err != nil {
		panic(err)
	}
	return d
}

// theWeek is the k-th week since.
func theWeek(k int) Week {
	m := MonthOf(firstDay())
	for range k / weeks {
		m = m.Next()
	}
	return m.Weeks()[k%weeks]
}

// week is what the operators contribute of a week, the k-th.
func (w *world) week(k int, who []*operator) []Observation {
	var seen []Observation
	for _, o := range who {
		if k < o.since {
			continue
		}
		for i, habit := range o.habit {
			if habit == 0 {
				continue
			}
			if n := w.sessions(habit); n > 0 {
				seen = append(seen, w.observation(o, i, theWeek(k).First(), n))
			}
		}
	}
	return seen
}

// sessions draws the counts of seven days, as the contribution profile has them: none below 20, else a bucket's lower bound.
func (w *world) sessions(habit float64) (sum int64) {
	for range weekDays {
		n := habit / weekDays * (0.4 + 1.2*w.Float64())
		switch {
		case n < 20:
		case n < 50:
			sum += 20
		case n < 100:
			sum += 50
		case n < 500:
			sum += 100
		default:
			sum += 500
		}
	}
	return sum
}

func (w *world) observation(o *operator, i int, day tlsrpt.Day, n int64) Observation {
	f := w.fault[i]
	if o.own {
		f = simFault{tlsrpt.ClassCertificate, 1}
	}
	if o.liar {
		f = simFault{tlsrpt.ClassNoSTARTTLS, 1}
	}
	share := min(f.share*(0.7+0.6*w.Float64()), 1)
	return Observation{Contributor: o.name, Domain: w.domains[i], Day: day, Sessions: n,
		Failed: failures(f.class, int64(share*float64(n)))}
}

func failures(c tlsrpt.Class, n int64) map[tlsrpt.Class]int64 {
	if n == 0 {
		return nil
	}
	return map[tlsrpt.Class]int64{c: n}
}

// draw draws what who contributes in so many months, the one before the first tables among them.
func (w *world) draw(who []*operator, months int) {
	for k := range weeks * months {
		w.drawn[k] = w.week(k, who)
	}
}

// tables are those of the m-th month, of what was drawn.
func (w *world) tables(m int) (out []Table) {
	month := theWeek(m * weeks).Month()
	var before []Observation
	for k := (m - 1) * weeks; k < m*weeks; k++ {
		before = append(before, w.drawn[k]...)
	}
	chosen := Choose(month, slices.Values(before), w.listed, w.secret)
	for k := m * weeks; k < (m+1)*weeks; k++ {
		if w.plain {
			chosen = choose(month, theWeek(k).Has, slices.Values(w.drawn[k]), w.listed, func(string) int { return MinContributors })
		}
		out = append(out, Make(theWeek(k), slices.Values(w.drawn[k]), w.listed, chosen))
	}
	return out
}

// month draws and returns the four tables of one month.
func (w *world) month(who []*operator) []Table {
	w.draw(who, 2)
	return w.tables(1)
}
