package cells

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the results of the simulation where they stand")

// How many worlds of each kind an attack is tried in: by every test, and for README.md.
const (
	shortWorlds = 16
	fullWorlds  = 2000
)

// measure asks an attack in so many worlds of each kind; half of them teach the observer, the other half count.
func measure(a attack, worlds int, plain bool) float64 {
	var seen [2][][]float64
	for i := range worlds {
		for _, yes := range []bool{true, false} {
			w := newWorld(uint64(2*i+bit(yes)), 1)
			w.plain = plain
			seen[bit(yes)] = append(seen[bit(yes)], a.look(w, yes))
		}
	}
	half := worlds / 2
	return learn(seen[1][:half], seen[0][:half]).advantage(seen[1][half:], seen[0][half:])
}

// simulate is the whole simulation as README.md has it.
func simulate(worlds int) string {
	all := attacks()
	result := make([][2]float64, len(all))
	var lied [2]liars
	var wg sync.WaitGroup
	for p, plain := range []bool{true, false} {
		wg.Go(func() {
			for i, a := range all {
				result[i][p] = measure(a, worlds, plain)
			}
			lied[p] = lies(worlds/4, plain)
		})
	}
	wg.Wait()
	var b strings.Builder
	fmt.Fprintf(&b, "%d worlds each      floor alone  as built  at most\n", 2*worlds)
	line := func(name string, plain, built float64, mark string) {
		fmt.Fprintf(&b, "%-22s %8.3f  %8.3f  %7s\n", name, plain, built, mark)
	}
	for i, a := range all {
		mark := "-"
		if a.mark > 0 {
			mark = fmt.Sprintf("%.2f", a.mark)
		}
		line(a.name, result[i][0], result[i][1], mark)
	}
	line("liars-range", lied[0].invented, lied[1].invented, "0.00")
	line("liars-move", lied[0].moved, lied[1].moved, "0.10")
	b.WriteString("\ncontributors   rows of domains   of providers   share of sessions in a row\n")
	for _, n := range []int{5, 10, 20, 35, 50} {
		domains, providers, share := useful(n, max(8, worlds/50))
		fmt.Fprintf(&b, "%12d   %15.1f   %12.1f   %25.0f%%\n", n, domains, providers, 100*share)
	}
	return b.String()
}

// useful is what a table of so many contributors has: rows of the 60 domains and the 8 providers, and how many of the sessions
// that were reported are in one.
func useful(n, worlds int) (domains, providers, share float64) {
	var in, all float64
	for i := range worlds {
		w := newWorld(uint64(i), 3)
		w.crowd(n)
		w.draw(w.others, 2)
		t := w.tables(1)[0]
		domains += float64(len(t.Domains)) / float64(worlds)
		providers += float64(len(t.Providers)) / float64(worlds)
		for _, o := range w.drawn[weeks] {
			_, a := t.Row(o.Domain)
			_, b := t.Provider(w.providers[o.Domain])
			all += float64(o.Sessions)
			in += float64(o.Sessions) * float64(bit(a || b))
		}
	}
	return domains, providers, in / all
}

// TestSimulation tries every attack. The short form finds what changes the result; the one that README.md shows takes minutes.
func TestSimulation(t *testing.T) {
	const golden = "testdata/short.txt"
	got := simulate(shortWorlds)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the simulation gives\n%s\nand %s has\n%s\nRun go test -update, and with POLICYLIST_FULL=1 for README.md", got, golden, want)
	}
	if os.Getenv("POLICYLIST_FULL") == "" {
		t.Log("the long form runs with POLICYLIST_FULL=1")
		return
	}
	page, block := readme(t)
	got = simulate(fullWorlds)
	if *update {
		if err := os.WriteFile("README.md", []byte(strings.Replace(page, "```text\n"+block+"```", "```text\n"+got+"```", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		_, block = readme(t)
	}
	if got != block {
		t.Errorf("the simulation gives\n%s\nand README.md has\n%s", got, block)
	}
}

// readme returns the page and the simulation's result in it.
func readme(t *testing.T) (page, block string) {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "```text\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no result")
	}
	return string(data), block
}

// TestMarksAreKept: what README.md shows is below the marks that it sets, and those are what is measured.
func TestMarksAreKept(t *testing.T) {
	page, block := readme(t)
	marks := map[string]string{"liars-range": "0", "liars-move": "0.10"}
	for _, a := range attacks() {
		if a.mark > 0 {
			marks[a.name] = strconv.FormatFloat(a.mark, 'f', 2, 64)
		}
	}
	for name, mark := range marks {
		if !regexp.MustCompile("\\| `" + name + "` \\|.*\\| " + regexp.QuoteMeta(mark) + " \\|").MatchString(page) {
			t.Errorf("README.md sets no mark of %s for %s", mark, name)
		}
		row := regexp.MustCompile("(?m)^" + name + " +(-?[0-9.]+) +(-?[0-9.]+) ").FindStringSubmatch(block)
		if row == nil {
			t.Errorf("README.md has no result of %s", name)
			continue
		}
		got, err1 := strconv.ParseFloat(row[2], 64)
		most, err2 := strconv.ParseFloat(mark, 64)
		if err1 != nil || err2 != nil || got > most {
			t.Errorf("%s: %s, and the mark is %s", name, row[2], mark)
		}
	}
}
