package cells

import (
	"math"
	"slices"
)

// discern is what an observer learns from worlds of his own: a direction in which yes and no differ most (Fisher's linear
// discriminant), and where between them to draw the line.
type discern struct {
	weight []float64
	line   float64
}

// learn takes what was seen where the answer was yes, and where it was no.
func learn(yes, no [][]float64) discern {
	n := len(yes[0])
	my, mn := mean(yes), mean(no)
	// The common covariance, a little of the unit matrix added: some numbers never vary.
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n+1)
	}
	for _, group := range []struct {
		rows [][]float64
		mean []float64
	}{{yes, my}, {no, mn}} {
		for _, r := range group.rows {
			for i := range n {
				for j := range n {
					m[i][j] += (r[i] - group.mean[i]) * (r[j] - group.mean[j]) / float64(len(yes)+len(no))
				}
			}
		}
	}
	for i := range n {
		m[i][i] += 1e-3
		m[i][n] = my[i] - mn[i]
	}
	d := discern{weight: solve(m)}
	d.line = d.best(yes, no)
	return d
}

func mean(rows [][]float64) []float64 {
	out := make([]float64, len(rows[0]))
	for _, r := range rows {
		for i, x := range r {
			out[i] += x / float64(len(rows))
		}
	}
	return out
}

// solve is Gauss's elimination with pivots; the last column is the right side.
func solve(m [][]float64) []float64 {
	n := len(m)
	for c := range n {
		p := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[p][c]) {
				p = r
			}
		}
		m[c], m[p] = m[p], m[c]
		for r := range n {
			if r == c || m[c][c] == 0 {
				continue
			}
			f := m[r][c] / m[c][c]
			for k := c; k <= n; k++ {
				m[r][k] -= f * m[c][k]
			}
		}
	}
	out := make([]float64, n)
	for i := range n {
		if m[i][i] != 0 {
			out[i] = m[i][n] / m[i][i]
		}
	}
	return out
}

func (d discern) score(f []float64) (s float64) {
	for i, x := range f {
		s += d.weight[i] * x
	}
	return s
}

// best is the line at which the advantage over the worlds that it learns from is largest.
func (d discern) best(yes, no [][]float64) float64 {
	type point struct {
		score float64
		yes   bool
	}
	var all []point
	for _, f := range yes {
		all = append(all, point{d.score(f), true})
	}
	for _, f := range no {
		all = append(all, point{d.score(f), false})
	}
	slices.SortFunc(all, func(a, b point) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return bit(a.yes) - bit(b.yes)
	})
	line, top, adv := math.Inf(1), 0.0, 0.0
	for i, p := range all {
		if p.yes {
			adv += 1 / float64(len(yes))
		} else {
			adv -= 1 / float64(len(no))
		}
		if (i+1 == len(all) || all[i+1].score < p.score) && adv > top {
			top, line = adv, p.score
		}
	}
	return line
}

// advantage is how often the answer is yes where it is true, less how often where it is not.
func (d discern) advantage(yes, no [][]float64) float64 {
	rate := func(rows [][]float64) (r float64) {
		for _, f := range rows {
			if d.score(f) >= d.line {
				r += 1 / float64(len(rows))
			}
		}
		return r
	}
	return rate(yes) - rate(no)
}
