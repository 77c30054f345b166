package cells

import (
	"math"
	"slices"
)

// attack is a question that an observer asks of four tables. Its measure is drawn anew for each world.
type attack struct {
	name string
	mark float64 // the advantage that README.md allows; 0: no promise
	// look makes a world in which the answer is yes or no, and returns what the observer makes of the tables: the larger a
	// number, or the smaller, the likelier is yes; which it is, and how they weigh, he learns from worlds of his own.
	look func(w *world, yes bool) []float64
}

// attacks are those of README.md whose result is an advantage.
func attacks() []attack {
	return []attack{
		{"member", 0.10, func(w *world, yes bool) []float64 {
			o := w.typical()
			w.crowd(1 + w.IntN(maxOperators-1))
			return ofOperator(w, o, w.month(w.with(o, yes)))
		}},
		{"joins", 0.15, func(w *world, yes bool) []float64 {
			o := w.typical()
			o.since = weeks + weeks/2
			w.crowd(1 + w.IntN(maxOperators-1))
			return ofOperator(w, o, w.month(w.with(o, yes)))
		}},
		{"joins-months", 0.15, func(w *world, yes bool) []float64 {
			o := w.typical()
			o.since = weeks
			w.crowd(1 + w.IntN(maxOperators-1))
			w.draw(w.with(o, yes), 3)
			return ofOperator(w, o, slices.Concat(w.tables(1), w.tables(2)))
		}},
		{"mails", 0.10, func(w *world, yes bool) []float64 { return mails(w, yes, 0) }},
		{"mails-two", 0.25, func(w *world, yes bool) []float64 { return mails(w, yes, 2) }},
		{"volume", 0.05, func(w *world, yes bool) []float64 {
			o := w.typical()
			w.crowd(1 + w.IntN(maxOperators-1))
			if yes {
				for i := range o.habit {
					o.habit[i] *= 20
				}
			}
			return ofOperator(w, o, w.month(w.with(o, true)))
		}},
		{"known", 0, known},
	}
}

// typical is an operator that is not tiny and whose own mail works.
func (w *world) typical() *operator {
	o := w.operator("o", false)
	o.own, o.liar = false, false
	return o
}

func (w *world) with(o *operator, yes bool) []*operator {
	if !yes {
		return w.others
	}
	return append(slices.Clone(w.others), o)
}

// mails asks whether O mails a domain of the less popular half, where two of the contributors may be the observer's. Those mail
// that domain a lot, and disagree about it, so that the third one's word decides.
func mails(w *world, yes bool, own int) []float64 {
	o := w.typical()
	d := worldDomains/2 + w.IntN(worldDomains/2)
	o.habit[d] = 0
	if yes {
		o.habit[d] = 7 * 60
	}
	w.crowd(1 + w.IntN(maxOperators-1))
	for k := range own {
		spy := &operator{name: []string{"s1", "s2"}[k], liar: k == 0}
		spy.habit[d] = 7 * 600
		w.others = append(w.others, spy)
	}
	tables := w.month(w.with(o, true))
	f := []float64{0, 0, 0, 0, 0, 0}
	for k, t := range tables {
		if c, ok := t.Row(w.domains[d]); ok {
			f[0]++
			f[1+2*k/len(tables)]++
			f[3] += float64(c.fault())
		}
		if _, ok := t.Provider(w.provider[d]); ok {
			f[4]++
		}
		f[5] += float64(len(t.Domains))
	}
	return f
}

// fault is the sum of a row's buckets but for the first class's.
func (c Cells) fault() (n int) {
	for _, b := range c[1:] {
		n += int(b)
	}
	return n
}

// ofOperator is what the tables say of the domains that O mails, and of the others, popular ones and not, before and after.
func ofOperator(w *world, o *operator, tables []Table) []float64 {
	f := make([]float64, 2*3*3+4)
	for k, t := range tables {
		for p, his := range w.providersOf(o) {
			if _, ok := t.Provider(p); ok {
				f[18+2*bit(his)+2*k/len(tables)]++
			}
		}
		for i, d := range w.domains {
			c, ok := t.Row(d)
			if !ok {
				continue
			}
			at := 9*bit(o.habit[i] > 0) + 3*(3*i/worldDomains)
			f[at+2*k/len(tables)]++
			f[at+2] += float64(c.fault())
		}
	}
	// As shares of what there was to see: an operator that mails few domains shows less in sums.
	n := 0.0
	for i := range o.habit {
		n += float64(bit(o.habit[i] > 0))
	}
	return append(f, n, (f[0]+f[3]+f[6])/(n+1), (f[1]+f[4]+f[7])/(n+1), f[1]+f[4]+f[7]-f[0]-f[3]-f[6], f[10]+f[13]+f[16]-f[9]-f[12]-f[15])
}

// providersOf tells for each provider whether O mails one of its domains.
func (w *world) providersOf(o *operator) map[string]bool {
	out := map[string]bool{}
	for i, p := range w.provider {
		out[p] = out[p] || o.habit[i] > 0
	}
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// known is the attack of an observer who knows what everybody else sends, to the last session, and asks for every provider how
// many of the thresholds that it may have explain what he sees with O, and how many without.
func known(w *world, yes bool) []float64 {
	o := w.typical()
	w.crowd(1 + w.IntN(maxOperators-1))
	var others, all, before, beforeAll [][]Observation
	for k := range 2 * weeks {
		a, b := w.week(k, w.others), w.week(k, []*operator{o})
		b = slices.Concat(a, b)
		if k < weeks {
			before, beforeAll = append(before, a), append(beforeAll, b)
		}
		others, all = append(others, a), append(all, b)
	}
	for k := range others {
		w.drawn[k] = others[k]
		if yes {
			w.drawn[k] = all[k]
		}
	}
	got := w.tables(1)
	thresholds := spread + 1
	if w.plain {
		thresholds = 1
	}
	ways := map[string]*[2]int{}
	for h, seen := range [][][]Observation{others, all} {
		past := slices.Concat([][][]Observation{before, beforeAll}[h]...)
		for t := range thresholds {
			least := MinContributors + margin + t
			if w.plain {
				least = MinContributors
			}
			for p := range w.explains(got, past, seen, least) {
				if ways[p] == nil {
					ways[p] = &[2]int{}
				}
				ways[p][h]++
			}
		}
	}
	sum := 0.0
	for _, n := range ways {
		sum += math.Log((float64(n[1]) + 0.01) / (float64(n[0]) + 0.01))
	}
	return []float64{math.Round(sum*1e6) / 1e6} // maps have no order, sums of floats do
}

// explains returns the providers of which all tables would say what they say if that were their threshold and that were seen.
func (w *world) explains(got []Table, past []Observation, seen [][]Observation, least int) map[string]bool {
	month := got[0].Week.Month()
	same := map[string]bool{}
	for _, p := range w.provider {
		same[p] = true
	}
	chosen := choose(month, month.Before().Has, slices.Values(past), w.listed, func(string) int { return least })
	for i, t := range got {
		k := weeks + i
		if w.plain {
			chosen = choose(month, t.Week.Has, slices.Values(seen[k]), w.listed, func(string) int { return least })
		}
		for p, ok := range w.sameByProvider(t, Make(t.Week, slices.Values(seen[k]), w.listed, chosen)) {
			if !ok {
				delete(same, p)
			}
		}
	}
	return same
}

// sameByProvider tells for which providers two tables say the same.
func (w *world) sameByProvider(a, b Table) map[string]bool {
	same := map[string]bool{}
	for i, d := range w.domains {
		p := w.provider[i]
		if _, ok := same[p]; !ok {
			x, okx := a.Provider(p)
			y, oky := b.Provider(p)
			same[p] = okx == oky && x == y
		}
		x, okx := a.Row(d)
		y, oky := b.Row(d)
		same[p] = same[p] && okx == oky && x == y
	}
	return same
}
