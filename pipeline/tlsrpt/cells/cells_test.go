package cells

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// november is the month of the tests.
var november = MonthOf(dayOf("2026-11-01"))

func dayOf(s string) tlsrpt.Day {
	d, err := tlsrpt.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

func domainOf(s string) policy.Domain {
	d, err := policy.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

// byItself lists the domains that end in .example; those of shared are at one provider.
func byItself(shared ...string) Listed {
	return func(d policy.Domain) (string, bool) {
		if slices.Contains(shared, d.String()) {
			return "provider.example", true
		}
		return d.String(), strings.HasSuffix(d.String(), ".example")
	}
}

// see is what contributors, each a letter, report of a domain on a day.
func see(loop Loop, who string, domain, day string, sessions int64, failed map[tlsrpt.Class]int64) (out []Observation) {
	for _, c := range who {
		out = append(out, Observation{Loop: loop, Contributor: string(c), Domain: domainOf(domain), Day: dayOf(day), Sessions: sessions, Failed: failed})
	}
	return out
}

func failing(c tlsrpt.Class, n int64) map[tlsrpt.Class]int64 { return map[tlsrpt.Class]int64{c: n} }

// chosenNames is a choice of a month.
func chosenNames(domains ...string) Chosen {
	c := Chosen{Month: november, domains: map[string]bool{}, providers: map[string]bool{"provider.example": true}}
	for _, d := range domains {
		c.domains[d] = true
	}
	return c
}

// TestStrangeCounts: what no honest contributor says is no more than all or nothing of its own vote, and takes nothing from what it
// said on another day.
func TestStrangeCounts(t *testing.T) {
	week := november.Weeks()[0]
	for n, want := range map[int64]Bucket{-1 << 62: Some, 0: Some, 1 << 62: Most} {
		seen := append(see(Senders, "stu", "a.example", "2026-11-02", 100, failing(tlsrpt.ClassCertificate, 20)),
			see(Senders, "stu", "a.example", "2026-11-03", 100, failing(tlsrpt.ClassCertificate, n))...)
		row, ok := Make(week, slices.Values(seen), byItself(), chosenNames("a.example")).Row(domainOf("a.example"))
		if got := row.Of(tlsrpt.ClassCertificate); !ok || got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestFloor(t *testing.T) {
	week := november.Weeks()[0]
	for name, c := range map[string]struct {
		seen []Observation
		want bool
	}{
		"three contributors and 51 sessions":     {see(Senders, "abc", "a.example", "2026-11-03", 17, nil), true},
		"three contributors and 48 sessions":     {see(Senders, "abc", "a.example", "2026-11-03", 16, nil), false},
		"two contributors":                       {see(Senders, "ab", "a.example", "2026-11-03", 1000, nil), false},
		"two, one of them on two days":           {append(see(Senders, "ab", "a.example", "2026-11-03", 1000, nil), see(Senders, "a", "a.example", "2026-11-04", 1000, nil)...), false},
		"two of each loop":                       {append(see(Senders, "ab", "a.example", "2026-11-03", 1000, nil), see(Recipients, "cd", "a.example", "2026-11-03", 1000, nil)...), false},
		"the third in the next week":             {append(see(Senders, "ab", "a.example", "2026-11-07", 1000, nil), see(Senders, "c", "a.example", "2026-11-08", 1000, nil)...), false},
		"the third without sessions":             {append(see(Senders, "ab", "a.example", "2026-11-03", 1000, nil), see(Senders, "c", "a.example", "2026-11-03", 0, nil)...), false},
		"three of whom nobody has a name":        {append(see(Senders, "ab", "a.example", "2026-11-03", 1000, nil), Observation{Domain: domainOf("a.example"), Day: dayOf("2026-11-03"), Sessions: 99}), false},
		"a domain that is not listed":            {see(Senders, "abc", "a.test.invalid", "2026-11-03", 1000, nil), false},
		"three reporters of an enrolled domain":  {see(Recipients, "abc", "b.example", "2026-11-03", 17, nil), true},
		"a row that was not chosen":              {see(Senders, "abcdefghijklm", "b.example", "2026-11-03", 1000, nil), false},
		"days that belong to no week":            {see(Senders, "abc", "a.example", "2026-11-30", 1000, nil), false},
		"more failures than sessions are capped": {see(Senders, "abc", "a.example", "2026-11-03", 17, failing(tlsrpt.ClassSTS, 1<<60)), true},
	} {
		t.Run(name, func(t *testing.T) {
			table := Make(week, slices.Values(c.seen), byItself(), chosenNames("a.example"))
			if got := len(table.Domains) == 1; got != c.want {
				t.Errorf("%s", table.Bytes())
			}
			empty := Make(week, slices.Values[[]Observation](nil), byItself(), chosenNames("a.example"))
			if !c.want && !bytes.Equal(table.Bytes(), empty.Bytes()) {
				t.Errorf("what is withheld differs from what nobody reported:\n%s\n%s", table.Bytes(), empty.Bytes())
			}
		})
	}
}

// TestVotes: whoever sends much has no more to say, two liars invent nothing, and a table does not depend on the order.
func TestVotes(t *testing.T) {
	week := november.Weeks()[0]
	seen := slices.Concat(
		see(Senders, "abc", "a.example", "2026-11-03", 100, nil),
		see(Senders, "x", "a.example", "2026-11-03", 1e15, failing(tlsrpt.ClassSTS, 1e15)),
		see(Senders, "y", "a.example", "2026-11-03", 50, failing(tlsrpt.ClassSTS, 50)),
		see(Senders, "abcd", "b.example", "2026-11-03", 100, failing(tlsrpt.ClassCertificate, 30)),
		see(Senders, "ef", "b.example", "2026-11-04", 100, nil),
	)
	table := Make(week, slices.Values(seen), byItself(), chosenNames("a.example", "b.example"))
	a, _ := table.Row(domainOf("a.example"))
	b, _ := table.Row(domainOf("b.example"))
	if a.Of(tlsrpt.ClassSTS) != None || a.Of(tlsrpt.ClassOK) != Most {
		t.Errorf("two of five moved a cell: %v", a)
	}
	if b.Of(tlsrpt.ClassCertificate) != Many || b.Of(tlsrpt.ClassOK) != Most {
		t.Errorf("four of six see 30 %% fail: %v", b)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(seen), func(i, k int) { seen[i], seen[k] = seen[k], seen[i] })
	if again := Make(week, slices.Values(seen), byItself(), chosenNames("a.example", "b.example")); !bytes.Equal(again.Bytes(), table.Bytes()) {
		t.Error("the order of observations matters")
	}
}

// TestRollUp: what was not chosen goes to its provider, and what was never does, not even in a week that is too small.
func TestRollUp(t *testing.T) {
	listed := byItself("a.example", "b.example", "c.example")
	week := november.Weeks()[1]
	seen := slices.Concat(
		see(Senders, "ab", "a.example", "2026-11-08", 100, failing(tlsrpt.ClassNoSTARTTLS, 100)),
		see(Senders, "bc", "b.example", "2026-11-14", 100, failing(tlsrpt.ClassNoSTARTTLS, 100)),
	)
	table := Make(week, slices.Values(seen), listed, chosenNames())
	if c, ok := table.Provider("provider.example"); !ok || c.Of(tlsrpt.ClassNoSTARTTLS) != Most || len(table.Domains) != 0 {
		t.Errorf("%s", table.Bytes())
	}
	if table = Make(week, slices.Values(seen), listed, chosenNames("a.example")); len(table.Providers) != 0 || len(table.Domains) != 0 {
		t.Errorf("%s", table.Bytes())
	}
}

// TestChoose: rows are those of the month before, by a bound of 6 to 18 contributors that differs by provider and month.
func TestChoose(t *testing.T) {
	var seen []Observation
	bounds := map[int]int{}
	const all = "abcdefghijklmnopqrstuvwxyz"
	for i := range 128 {
		name := "d" + all[i/12:i/12+1] + all[i%12:i%12+1] + ".example"
		for n := range len(all) {
			who, d := all[:n+1], all[n:n+1]+"."+name
			listed := func(policy.Domain) (string, bool) { return name, true }
			seen = see(Senders, who, d, "2026-10-28", 1000, nil)
			if c := Choose(november, slices.Values(seen), listed, []byte("secret")); c.domain(d) {
				bounds[n+1]++
				break
			}
		}
	}
	for n := 6; n <= 18; n++ {
		if bounds[n] == 0 {
			t.Errorf("no provider's rows take %d contributors: %v", n, bounds)
		}
		delete(bounds, n)
	}
	if len(bounds) > 0 {
		t.Errorf("and some take %v", bounds)
	}
	listed := byItself()
	if c := Choose(november, slices.Values(see(Senders, all, "a.example", "2026-11-02", 1000, nil)), listed, nil); len(c.domains) > 0 {
		t.Error("a row was chosen by the month itself")
	}
	c := Choose(november, slices.Values(see(Senders, all, "a.example", "2026-10-02", 1000, nil)), listed, nil)
	again, err := ParseChosen(c.Bytes())
	if err != nil || !c.domain("a.example") || !bytes.Equal(again.Bytes(), c.Bytes()) || again.Month != november {
		t.Errorf("%s %v", c.Bytes(), err)
	}
	for _, bad := range []string{"", "{}", `{"month":"2026-13"}`} {
		if _, err := ParseChosen([]byte(bad)); err == nil {
			t.Errorf("%q is a choice", bad)
		}
	}
}

func TestWeeks(t *testing.T) {
	for d := dayOf("2026-01-01"); d < dayOf("2029-01-01"); d++ {
		w, ok := WeekOf(d)
		switch {
		case ok != (d.Begin().Day() <= 28):
			t.Fatalf("%s: %v", d, ok)
		case !ok:
			if MonthOf(d).Has(d) {
				t.Fatalf("%s is in no week, and among the month's", d)
			}
			continue
		case !w.Has(d) || w.First().Begin().Month() != w.Last().Begin().Month() || w.Last()-w.First() != 6 || !MonthOf(d).Has(d):
			t.Fatalf("%s: %s to %s", d, w.First(), w.Last())
		}
		if again, err := ParseWeek(w.String()); err != nil || again != w {
			t.Fatalf("%s: %v", w, err)
		}
		if due := w.Last().Begin().AddDate(0, 0, 1+dueDays); !w.Due().Equal(due) {
			t.Fatalf("%s is due at %s, not %s", w, w.Due(), due)
		}
	}
	for _, bad := range []string{"", "2026-11-02", "2026-11-29", "2026-11-1"} {
		if _, err := ParseWeek(bad); err == nil {
			t.Errorf("%q begins a week", bad)
		}
	}
	if m := november; m.String() != "2026-11" || m.Before().String() != "2026-10" || m.Next().String() != "2026-12" || m.Last() != dayOf("2026-11-30") {
		t.Errorf("%v %v %v", m, m.Before(), m.Next())
	}
	if w := november.Weeks()[0]; w.Due().Format(time.DateOnly) != "2026-11-12" || november.Due().Format(time.DateOnly) != "2026-11-02" {
		t.Errorf("%s %s", w.Due(), november.Due())
	}
	if m, err := ParseMonth("2026-02"); err != nil || m.First().String() != "2026-02-01" || m.Last().String() != "2026-02-28" || m.String() != "2026-02" {
		t.Errorf("%v, %v", m, err)
	}
	for _, text := range []string{"", "2026", "2026-13", "2026-2", "2026-02-01", "../secret"} {
		if m, err := ParseMonth(text); err == nil {
			t.Errorf("%q is the month %v", text, m)
		}
	}
}

// example is a table with both kinds of rows.
func example() Table {
	seen := slices.Concat(
		see(Senders, "abcd", "a.example", "2026-11-03", 1000, failing(tlsrpt.ClassHostMismatch, 5)),
		see(Recipients, "abc", "b.example", "2026-11-03", 1000, nil),
		see(Senders, "abc", "c.example", "2026-11-03", 1000, failing(tlsrpt.ClassCertificate, 700)),
	)
	return Make(november.Weeks()[0], slices.Values(seen), byItself("c.example"), chosenNames("a.example"))
}

// TestTableForm compares the example with the bytes that schema/valid has.
func TestTableForm(t *testing.T) {
	golden := filepath.Join("testdata", "table.json")
	got := append(example().Bytes(), '\n')
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example().Bytes())
	f.Add(Make(november.Weeks()[3], slices.Values[[]Observation](nil), byItself(), chosenNames()).Bytes())
	f.Add([]byte(`{"domains":[],"else":"insufficient data","format":"feedback/1","from":"2026-11-02","providers":[],"to":"2026-11-08"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Parse(data)
		if err != nil {
			return
		}
		if again := table.Bytes(); !bytes.Equal(again, data) {
			t.Errorf("%q was read, and is written %q", data, again)
		}
	})
}

// TestParseRefuses each thing that is not the one form.
func TestParseRefuses(t *testing.T) {
	good := string(example().Bytes())
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"white space":                     strings.Replace(good, ",", ", ", 1),
		"a week that is none":             strings.Replace(good, "2026-11-01", "2026-11-02", 1),
		"an end that is another's":        strings.Replace(good, "2026-11-07", "2026-11-14", 1),
		"a share that is no bucket":       strings.Replace(good, `"none"`, `"0.1"`, 1),
		"a suppressed cell that is shown": strings.Replace(good, `"none"`, `"insufficient data"`, 1),
		"rows out of order":               strings.Replace(good, "a.example", "z.example", 1),
		"a row twice":                     strings.Replace(good, "a.example", "b.example", 1),
		"a name that is none":             strings.Replace(good, "a.example", "A.example", 1),
		"another format":                  strings.Replace(good, "feedback/1", "feedback/2", 1),
		"something behind":                good + " ",
		"too large":                       strings.Repeat(" ", MaxTableBytes+1),
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
