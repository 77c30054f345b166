package probe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// historyText is a history on one line a span: "a.example pass 12-36 [cert.expiring] [north] 2", in hours after noon.
func historyText(t testing.TB, files []EvidenceFile) []string {
	t.Helper()
	var out []string
	must(t, ReadHistory(files, func(h History) error {
		for _, s := range h.Spans {
			by := s.Vantages
			if s.Merged {
				by = append([]string{"merged"}, by...)
			}
			out = append(out, fmt.Sprintf("%s %s %.0f-%.0f %v %v %d", h.Domain, s.Verdict, s.Since.Sub(noon).Hours(), s.Until.Sub(noon).Hours(), s.Codes, by, s.Scans))
		}
		return nil
	}))
	return out
}

// dayAfterDay are scans of one vantage a day apart, each with the since of the last.
func dayAfterDay(vantage string, seed byte, days ...string) (files []EvidenceFile) {
	since, last := time.Time{}, ""
	for i, line := range days {
		start := noon.Add(time.Duration(24*i) * time.Hour)
		if verdict := strings.Fields(line)[1]; verdict != last {
			since, last = start, verdict
		}
		p := paperScan{vantage: vantage, canary: Pass, key: vantageKey(seed), started: start, since: since, lines: []said{said(line)}}
		files = append(files, input(fmt.Sprintf("%s-%d", vantage, i), p.bytes()))
	}
	return files
}

func TestHistory(t *testing.T) {
	north := dayAfterDay("north", 1, "a.example pass", "a.example pass", "a.example fail cert.expired", "a.example fail cert.name", "a.example pass")
	south := dayAfterDay("south", 2, "a.example pass", "a.example warn cert.expiring", "a.example fail cert.expired", "a.example inconclusive smtp.timeout", "a.example pass")
	other := input("other", paperScan{vantage: "north", started: noon.Add(time.Minute), lines: []said{"0.example fail mx.none"}}.bytes())
	files := append(append(north, south...), other)
	want := []string{
		"0.example fail 0-0 [mx.none] [north] 1",
		"a.example pass 0-24 [] [north] 2",
		"a.example fail 48-72 [cert.expired cert.name] [north] 2",
		"a.example pass 96-96 [] [north] 1",
		"a.example pass 0-0 [] [south] 1",
		"a.example warn 24-24 [cert.expiring] [south] 1",
		"a.example fail 48-48 [cert.expired] [south] 1",
		"a.example inconclusive 72-72 [smtp.timeout] [south] 1",
		"a.example pass 96-96 [] [south] 1",
	}
	if got := historyText(t, files); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	slices.Reverse(files)
	if got := historyText(t, append(files, files[3:5]...)); !slices.Equal(got, want) {
		t.Errorf("backwards and two files twice:\n%s", strings.Join(got, "\n"))
	}
	if got := historyText(t, nil); got != nil {
		t.Errorf("of no file: %v", got)
	}
}

// TestHistoryOfMerged merges day by day: since is carried through the merge, as far back as the vantages carry it.
func TestHistoryOfMerged(t *testing.T) {
	north := dayAfterDay("north", 1, "a.example pass", "a.example pass", "a.example fail cert.expired", "a.example fail cert.expired")
	south := dayAfterDay("south", 2, "a.example pass", "a.example pass", "a.example pass", "a.example fail cert.expired")
	var files []EvidenceFile
	for i := range north {
		merged, _, _ := mergeText(t, []EvidenceFile{north[i], south[i]}, MergeOptions{Quorum: 2, Keys: paperKeys()})
		files = append(files, input(fmt.Sprintf("merged-%d", i), []byte(merged)))
	}
	want := []string{
		"a.example pass 0-24 [] [merged north south] 2",
		"a.example inconclusive 48-48 [vantage.disagree vantage.quorum] [merged] 1",
		"a.example fail 72-72 [cert.expired] [merged north south] 1",
	}
	if got := historyText(t, files); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The last two days alone still know how long both had passed before.
	if got := historyText(t, files[1:2]); len(got) != 1 || got[0] != "a.example pass 0-24 [] [merged north south] 1" {
		t.Errorf("the second day alone: %v", got)
	}
	if got := historyText(t, append(files, north...)); len(got) != len(want)+2 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("with a vantage beside: %v", got)
	}
	// And the next scan takes its own since from a merged file.
	r, err := files[1].Open()
	must(t, err)
	past, err := ReadPast(r, MaxEvidence, "north")
	must(t, err)
	if p := past[domain("a.example")]; p.Verdict != Pass || !p.Since.Equal(noon) {
		t.Errorf("past %+v", p)
	}
	r, err = files[2].Open()
	must(t, err)
	past, err = ReadPast(r, MaxEvidence, "nobody")
	must(t, err)
	if p := past[domain("a.example")]; p.Verdict != Inconclusive {
		t.Errorf("past of a vantage that is not there %+v", p)
	}
}

func TestHistoryRefuses(t *testing.T) {
	scan := func(line said) EvidenceFile {
		return input("f", paperScan{vantage: "north", lines: []said{line}}.bytes())
	}
	for name, files := range map[string][]EvidenceFile{
		"two truths":     {scan("a.example pass"), scan("a.example fail mx.none")},
		"an empty file":  {input("f", nil)},
		"damage":         {input("f", append(paperScan{vantage: "north"}.bytes(), "{}\n"...))},
		"too many files": make([]EvidenceFile, maxHistoryFiles+1),
	} {
		if err := ReadHistory(files, func(History) error { return nil }); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop := errors.New("enough")
	if err := ReadHistory([]EvidenceFile{scan("a.example pass")}, func(History) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
