package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// northScan is the header line and the only domain's line of a scan on paper, as change makes them, signed.
func northScan(t *testing.T, change func(header, line string) (string, string)) []byte {
	t.Helper()
	lines := strings.Split(string(paperScan{vantage: "north", canary: Pass, lines: []said{"a.example pass"}}.bytes()), "\n")
	header, line := change(lines[0], lines[1])
	if header == lines[0] && line == lines[1] {
		t.Fatal("nothing was changed")
	}
	var out bytes.Buffer
	w := &EvidenceWriter{out: &out, sum: newMergedWriter(nil).sum, vantage: "north"}
	must(t, w.line([]byte(header)))
	must(t, w.line([]byte(line)))
	must(t, w.Sign(vantageKey(1)))
	return out.Bytes()
}

// codesFrom are n distinct codes, sorted, as JSON.
func codesFrom(prefix string, n int) string {
	codes := make([]string, n)
	for i := range codes {
		codes[i] = fmt.Sprintf(`"%s.%05d"`, prefix, i)
	}
	return strings.Join(codes, ",")
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// TestMergeIsReadable: at the limits of what a vantage may write, the merge is still what a stranger can verify.
func TestMergeIsReadable(t *testing.T) {
	file := func(vantage string, key byte) EvidenceFile {
		lines := strings.Split(string(paperScan{vantage: vantage, canary: Pass, lines: []said{"a.example pass"}}.bytes()), "\n")
		var out bytes.Buffer
		w := &EvidenceWriter{out: &out, sum: newMergedWriter(nil).sum, vantage: vantage}
		deep := nested(maxOwnDepth - 1)
		header := strings.Replace(lines[0], `"ehlo"`, `"deep":`+deep+`,"ehlo"`, 1)
		header = strings.Replace(header, `"probe.example"`, `"`+strings.Repeat("x", maxHeader-len(header)+len("probe.example"))+`"`, 1)
		if len(header) != maxHeader {
			t.Fatalf("the header has %d bytes", len(header))
		}
		must(t, w.line([]byte(header)))
		line := strings.Replace(lines[1], `"codes":[]`, `"codes":[`+codesFrom(vantage, maxCodes)+`],"deep":`+deep, 1)
		must(t, w.line([]byte(line)))
		must(t, w.Sign(vantageKey(key)))
		return input(vantage, out.Bytes())
	}
	o := MergeOptions{Quorum: 3, Keys: paperKeys()}
	merged, _, _ := mergeText(t, []EvidenceFile{file("north", 1), file("south", 2), file("west", 3)}, o)
	codes := 0
	report, err := VerifyMerged(strings.NewReader(merged), MaxMerged, o, func(m Merged) error {
		codes = len(m.Codes)
		return nil
	})
	if err != nil || report.Domains != 1 || codes != 3*maxCodes {
		t.Errorf("%+v, %d codes, %v", report, codes, err)
	}
}

// TestOwnLimits: a vantage's file that no merge could hold, that is not of its own time, or that speaks for others is
// refused by itself, before anybody merges it.
func TestOwnLimits(t *testing.T) {
	at := formatTime(noon.Add(time.Second))
	seen := func(when time.Time) func(h, l string) (string, string) {
		return func(h, l string) (string, string) {
			return h, strings.Replace(l, `"at":"`+at, `"at":"`+formatTime(when), 1)
		}
	}
	code := func(codes string) func(h, l string) (string, string) {
		return func(h, l string) (string, string) {
			return h, strings.Replace(l, `"codes":[]`, `"codes":[`+codes+`]`, 1)
		}
	}
	early := func(h, l string) (string, string) { // since is early too, so that only the header is against it
		return h, strings.ReplaceAll(strings.ReplaceAll(l, at, formatTime(noon.Add(-time.Second))), formatTime(noon), formatTime(noon.Add(-time.Second)))
	}
	for name, c := range map[string]struct {
		change func(h, l string) (string, string)
		says   string // "" for what is accepted
	}{
		"too many codes": {code(codesFrom("x", maxCodes+1)), "257 of them, the most is 256"},
		"a long header": {func(h, l string) (string, string) {
			return strings.Replace(h, "probe.example", strings.Repeat("x", maxHeader), 1), l
		}, "header: longer than 65536 bytes"},
		"a deep header": {func(h, l string) (string, string) {
			return strings.Replace(h, `"ehlo"`, `"deep":`+nested(maxOwnDepth)+`,"ehlo"`, 1), l
		}, "nested deeper than 30"},
		"a deep line": {func(h, l string) (string, string) {
			return h, strings.Replace(l, `"domain"`, `"deep":`+nested(maxOwnDepth)+`,"domain"`, 1)
		}, "nested deeper than 30"},
		"brackets in a string": {func(h, l string) (string, string) {
			return h, strings.Replace(l, `"domain"`, `"deep":"\"`+strings.Repeat("[", 99)+`","domain"`, 1)
		}, ""},
		"seen as the scan began":     {seen(noon), ""},
		"seen before the scan":       {early, "in a scan that began at 2026-03-01T12:00:00Z"},
		"seen a week later":          {seen(noon.Add(maxScan)), ""},
		"seen more than a week on":   {seen(noon.Add(maxScan + time.Second)), "a.example was seen at 2026-03-08T12:00:01Z"},
		"a disagreement of one":      {code(`"vantage.disagree"`), `can give "vantage.disagree"`},
		"a quorum of one":            {code(`"vantage.quorum"`), `can give "vantage.quorum"`},
		"another policy than others": {code(`"vantage.other-policy"`), `can give "vantage.other-policy"`},
		"a release's code":           {code(`"evidence.absent"`), `can give "evidence.absent"`},
		"its own withdrawal":         {code(`"vantage.withdrawn"`), ""},
	} {
		file := northScan(t, c.change)
		o := MergeOptions{Quorum: 1, Keys: paperKeys()}
		_, errs := ReadEvidence(bytes.NewReader(file), MaxEvidence)
		_, errm := Merge(io.Discard, []EvidenceFile{input("north", file)}, o, nil)
		for _, err := range []error{errs, errm} {
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestMergedOwnLimits: whoever merges with a tool that looks at nothing cannot bring in what a vantage may not say.
func TestMergedOwnLimits(t *testing.T) {
	o := MergeOptions{Quorum: 1, Keys: paperKeys()}
	good := paperScan{vantage: "north", canary: Pass, key: vantageKey(1), lines: []said{"a.example pass"}}
	merged, _, _ := mergeText(t, []EvidenceFile{input("north", good.bytes())}, o)
	before := strings.NewReplacer(formatTime(noon.Add(time.Second)), formatTime(noon.Add(-time.Second)),
		`"since":"`+formatTime(noon), `"since":"`+formatTime(noon.Add(-time.Second)))
	for name, c := range map[string]struct{ text, says string }{
		"seen before the scan": {before.Replace(merged), "in a scan that began at"},
		"a disagreement of one": {strings.ReplaceAll(merged, `"codes":[],"domain":"a.example"`, `"codes":["vantage.disagree"],"domain":"a.example"`),
			`can give "vantage.disagree"`},
		"a long header": {strings.Replace(merged, "probe.example", strings.Repeat("x", maxHeader), 1), "header: longer than"},
	} {
		_, err := VerifyMerged(strings.NewReader(c.text), MaxMerged, o, nil)
		if !errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMergedLineLimit: a merge of more than a line can hold is an error, not a file that nobody reads.
func TestMergedLineLimit(t *testing.T) {
	var out bytes.Buffer
	w := newMergedWriter(&out)
	must(t, w.line(make([]byte, maxMergedLine)))
	if err := w.line(make([]byte, maxMergedLine+1)); !errors.Is(err, ErrEvidence) || out.Len() != maxMergedLine+1 {
		t.Errorf("%d bytes written, %v", out.Len(), err)
	}
}

func TestMergeQuorumLimit(t *testing.T) {
	file := input("north", paperScan{vantage: "north", lines: []said{"a.example pass"}}.bytes())
	merged, _, _ := mergeText(t, []EvidenceFile{file}, MergeOptions{Quorum: MaxQuorum})
	_, err := VerifyMerged(strings.NewReader(merged), MaxMerged, MergeOptions{}, nil)
	must(t, err)
	if _, err := Merge(nil, []EvidenceFile{file}, MergeOptions{Quorum: MaxQuorum + 1}, nil); !errors.Is(err, ErrEvidence) {
		t.Errorf("a quorum that no reader takes: %v", err)
	}
}

// TestMergeNewest: the report names the vantage that began last, whatever the order of the files.
func TestMergeNewest(t *testing.T) {
	files := threeVantages()
	for range files {
		_, _, report := mergeText(t, files, MergeOptions{Quorum: 2})
		if !report.Newest.Equal(noon.Add(2*time.Hour)) || report.NewestOf != "west" {
			t.Errorf("%s of %s", report.Newest, report.NewestOf)
		}
		files = append(files[1:], files[0])
	}
}

// TestPastOfAnother: what another vantage saw says nothing about since when this one's verdicts stand.
func TestPastOfAnother(t *testing.T) {
	of := func(vantage string) *bytes.Reader {
		return bytes.NewReader(paperScan{vantage: vantage, lines: []said{"a.example pass"}}.bytes())
	}
	for _, same := range []string{"north", ""} {
		if past, err := ReadPast(of(same), MaxEvidence, same); err != nil || len(past) != 1 {
			t.Errorf("%q: %v, %v", same, past, err)
		}
	}
	for _, c := range [][2]string{{"south", "north"}, {"", "north"}, {"south", ""}} {
		_, err := ReadPast(of(c[0]), MaxEvidence, c[1])
		if !errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), fmt.Sprintf("vantage %q, not of this one, %q", c[0], c[1])) {
			t.Errorf("%q for %q: %v", c[0], c[1], err)
		}
	}
}
