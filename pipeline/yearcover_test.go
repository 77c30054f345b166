package pipeline_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// shortYear is how many days of the scenario CI lives through.
const shortYear = 60

// yearKinds are what a year is about, and how often each is there at least in the short form. What only the long one has:
// an operator who is away for two days, from day 115 on; second and later moves and failures of the same domains; who left
// comes back, on day 80; and certificates that run out 89 days after they were made, where nothing had aged them.
var yearKinds = map[string]struct {
	times int
	is    func(yearEvent) bool
}{
	"joins by MTA-STS":             {150, committed("mta-sts")},
	"joins by proof":               {30, committed("owner")},
	"joins by the operator":        {2, committed("curated")},
	"moves MX":                     {20, happened("mx", "")},
	"changes the policy's mode":    {8, happened("sts", "testing")},
	"leaves by MTA-STS":            {8, happened("sts", "none")},
	"leaves by proof":              {6, happened("txt", "remove")},
	"cries for help":               {2, happened("txt", "emergency")},
	"renews late":                  {5, func(e yearEvent) bool { return e.verb == "renews" && of("late")(e) }},
	"breaks for a day":             {8, func(e yearEvent) bool { return e.verb == "breaks" && of("day")(e) }},
	"breaks for a week":            {8, func(e yearEvent) bool { return e.verb == "breaks" && of("week")(e) }},
	"breaks for ever":              {4, func(e yearEvent) bool { return e.verb == "breaks" && of("ever")(e) }},
	"changes the owner":            {4, func(e yearEvent) bool { return e.verb == "mx" && of("sold")(e) }},
	"ceases to exist":              {2, happened("vanishes", "")},
	"a vantage is stripped":        {1, happened("strips", "")},
	"a vantage, for one domain":    {2, func(e yearEvent) bool { return e.only == "north" && e.verb == "breaks" }},
	"a mirror is away":             {3, func(e yearEvent) bool { return e.verb == "mirror" && e.args[1] == "down" }},
	"the release key is changed":   {1, happened("rotates", "release")},
	"the log's key is changed":     {1, happened("rotates", "log")},
	"a removal is forged":          {2, func(e yearEvent) bool { return e.only == "south" && e.verb == "txt" }},
	"a vantage is led elsewhere":   {2, func(e yearEvent) bool { return e.only == "west" && e.verb == "mx" }},
	"an alias is edited":           {1, func(e yearEvent) bool { return e.verb == "alias" && slices.Contains(e.args, "mx.evil.example") }},
	"an old proof is brought back": {2, happened("txt", "again")},
}

func committed(by string) func(yearEvent) bool {
	return func(e yearEvent) bool { return e.verb == "commit" && e.args[0] == by }
}

// happened is something that is so for all vantages.
func happened(verb, arg string) func(yearEvent) bool {
	return func(e yearEvent) bool { return e.only == "" && e.verb == verb && (arg == "" || e.args[0] == arg) }
}

func of(kind string) func(yearEvent) bool {
	return func(e yearEvent) bool { return strings.HasPrefix(e.domain, kind+"-") }
}

// TestYearCovers: each kind of thing that a year is about is in the scenario, and in what CI lives through of it; also when
// what it leads to by the change table needs time, a week before the end.
func TestYearCovers(t *testing.T) {
	text, err := os.ReadFile(yearFile)
	if err != nil {
		t.Fatal(err)
	}
	events := readYear(t, string(text))
	for name, kind := range yearKinds {
		n := 0
		for _, e := range events {
			if e.day < shortYear-7 && kind.is(e) {
				n++
			}
		}
		if n < kind.times {
			t.Errorf("%s: %d times in %d days, want %d", name, n, shortYear-7, kind.times)
		}
	}
	for _, d := range []string{"late-01", "late-02", "late-03", "late-04", "late-05"} {
		var made, renewed int // days
		for _, e := range slices.DeleteFunc(slices.Clone(events), func(e yearEvent) bool { return e.domain != d+".example" || e.day >= shortYear }) {
			switch e.verb {
			case "aged":
				made = e.day - 60
			case "renews":
				renewed = e.day
			}
		}
		if late := renewed - made - int(certLife.Hours()/24); late < 1 {
			t.Errorf("%s renews %d days late", d, late)
		}
	}
}
