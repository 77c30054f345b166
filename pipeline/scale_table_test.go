//go:build linux

package pipeline_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// scaleTable is what BENCHMARKS.md shows: each operation with the list's size and, from two sizes, what ten times the
// larger would take.
type scaleTable struct {
	load  string // of the machine, before
	order []string
	rows  map[string]*scaleRow
	sizes []int // smaller first
}

type scaleRow struct {
	baseline string
	costs    []cost // by size
}

func (t *scaleTable) add(name, baseline string, domains int, c cost) {
	if t.rows == nil {
		t.rows = map[string]*scaleRow{}
	}
	if len(t.sizes) == 0 || t.sizes[len(t.sizes)-1] != domains {
		t.sizes = append(t.sizes, domains)
	}
	if t.rows[name] == nil {
		t.order = append(t.order, name)
		t.rows[name] = &scaleRow{baseline: baseline}
	}
	t.rows[name].costs = append(t.rows[name].costs, c)
}

// text is the whole file.
func (t *scaleTable) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What a list of a million domains costs

Made by one command, on Linux, in one run; every operation was a process of its own:

    %s

Names are random letters. Two of three domains are with one of ten providers, the others have hosts of their own; a fragment has
%s domains, and a release changes the hosts of 0.2 %% of them, all over the list. "Release" is from a checked source to a mirror's folder, without probing and
without fetching it back. "Update" is the command, with a Postfix table of type cdb. Memory is the largest resident set. The
baseline is the operation named, in the same run: what else the machine does slows both, so of two runs compare the ratios.
Processor time is of user and system together, over all cores. Less than 40 MiB are the measuring program's own. What begins
with ≈ was measured with the smaller list alone. Processors: %d; the load average was %s before.

`, scaleCommand, grouped(perFragment), runtime.NumCPU(), t.load)
	for i, size := range t.sizes {
		t.section(&b, grouped(size)+" domains", func(r *scaleRow) (cost, string) {
			switch {
			case i < len(r.costs):
				return r.costs[i], ""
			case len(r.costs) == 1:
				return r.costs[0].times(float64(size) / float64(t.sizes[0])), "≈ "
			}
			return cost{}, ""
		})
	}
	if len(t.sizes) == 2 {
		next := 10 * t.sizes[1]
		t.section(&b, fmt.Sprintf("%s domains, not measured: the line through the two sizes above", grouped(next)), func(r *scaleRow) (cost, string) {
			if len(r.costs) == 1 {
				return r.costs[0].times(float64(next) / float64(t.sizes[0])), "≈ "
			}
			return extrapolated(r.costs[0], r.costs[1], t.sizes[0], t.sizes[1], next), ""
		})
	}
	return b.String()
}

// times is the cost of so much more, where all of it grows alike.
func (c cost) times(n float64) cost {
	return cost{c.Wall * n, c.CPU * n, c.Peak * n, c.Bytes * n, c.Requests * n}
}

func (t *scaleTable) section(b *strings.Builder, title string, of func(*scaleRow) (c cost, about string)) {
	fmt.Fprintf(b, "## %s\n\n| operation | s | processor s | MiB | kB | requests | times its baseline |\n|---|--:|--:|--:|--:|--:|---|\n", title)
	for _, name := range t.order {
		r := t.rows[name]
		c, about := of(r)
		ratio := ""
		if base := t.rows[r.baseline]; base != nil {
			if against, _ := of(base); against.Wall > 0 {
				ratio = fmt.Sprintf("%.2f × %s", c.Wall/against.Wall, r.baseline)
			}
		}
		fmt.Fprintf(b, "| %s%s | %s | %s | %s | %s | %s | %s |\n", about, name, figure(c.Wall, 2), figure(c.CPU, 2), figure(c.Peak, 0), figure(c.Bytes/1000, 1), figure(c.Requests, 0), ratio)
	}
	b.WriteString("\n")
}

// figure writes a number, nothing for one that was not measured.
func figure(v float64, digits int) string {
	switch {
	case v == 0:
		return ""
	case digits == 0 || v >= 1000:
		return grouped(int(math.Round(v)))
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// extrapolated is the line through two measurements, at next; what does not grow stays as it is at the larger.
func extrapolated(a, b cost, sizeA, sizeB, next int) cost {
	at := func(x, y float64) float64 {
		if y == 0 {
			return 0
		}
		return max(y, y+(y-x)/float64(sizeB-sizeA)*float64(next-sizeB))
	}
	return cost{at(a.Wall, b.Wall), at(a.CPU, b.CPU), at(a.Peak, b.Peak), at(a.Bytes, b.Bytes), at(a.Requests, b.Requests)}
}

func TestScaleTable(t *testing.T) {
	var table scaleTable
	for i, size := range []int{100_000, 1_000_000} {
		by := math.Pow(10, float64(i))
		table.add("hash", "", size, cost{Wall: 0.1 * by, Bytes: 9e6 * by})
		table.add("check", "hash", size, cost{Wall: 0.5 * by, CPU: 0.9 * by, Peak: 100 + 100*by})
		if i == 0 {
			table.add("pages", "hash", size, cost{Wall: 2, Peak: 10})
		}
		table.add("nothing new", "hash", size, cost{Wall: 0.25, Requests: 3})
	}
	text := table.text()
	for _, want := range []string{
		"## 100,000 domains\n", "| check | 0.50 | 0.90 | 200 |  |  | 5.00 × hash |\n", "## 1,000,000 domains\n", "| hash | 1.00 |  |  | 90,000 |  |  |\n",
		"| ≈ pages | 20.00 |  | 100 |  |  | 20.00 × hash |\n", "## 10,000,000 domains, not measured", "| ≈ pages | 200.00 |", "| check | 50.00 | 90.00 | 10,100 |  |  | 5.00 × hash |\n", "| nothing new | 0.25 |  |  |  | 3 | 0.03 × hash |\n", scaleCommand,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
