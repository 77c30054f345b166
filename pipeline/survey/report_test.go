package survey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

// march is a survey of nine domains, april the same of ten.
func march(t testing.TB) probe.EvidenceFile {
	return fileOf("march", paper{vantage: "north", trustAD: 1, said: []string{
		"a.example mx.big.net good", "b.example mx.big.net good", "c.example mx.big.net clear starttls.missing", "d.co.uk mx.small.net good",
		"e.co.uk mx.e.co.uk clear starttls.missing", "f.de mx.f.de open smtp.timeout", "g.de mx.big.net good", "h.de mx.h.de good tls.sni-required",
		"i.fr mx.i.fr good",
	}}.bytes(t))
}

func april(t testing.TB) probe.EvidenceFile {
	return fileOf("april", paper{vantage: "north", after: 31 * 24 * time.Hour, trustAD: 1, said: []string{
		"a.example mx.big.net good", "b.example mx.big.net good", "c.example mx.big.net good", "d.co.uk mx.small.net good",
		"e.co.uk mx.e.co.uk clear starttls.missing", "f.de mx.f.de good", "g.de mx.big.net good", "h.de mx.h.de good",
		"i.fr mx.i.fr good", "j.fr mx.j.fr clear starttls.missing",
	}}.bytes(t))
}

// TestGolden: the same evidence gives the same bytes, which keep to the schema and are read back as the same.
func TestGolden(t *testing.T) {
	r := tally(t, survey.Options{Tool: "test", Min: 2}, march(t))
	text, err := r.Append(nil)
	must(t, err)
	golden(t, "march.json", text)
	var table, total bytes.Buffer
	must(t, r.WriteCSV(&table))
	golden(t, "march.csv", table.Bytes())
	must(t, r.PrintTotal(&total))
	golden(t, "march.txt", total.Bytes())
	for range 5 {
		again, err := tally(t, survey.Options{Tool: "test", Min: 2}, march(t)).Append(nil)
		must(t, err)
		if !bytes.Equal(again, text) {
			t.Fatal("the same evidence gave other bytes")
		}
	}
	read, err := survey.ReadReport(text)
	must(t, err)
	if back, err := read.Append(nil); err != nil || !bytes.Equal(back, text) {
		t.Errorf("read back, it is another: %v", err)
	}
	set, err := schema.Load()
	must(t, err)
	var v any
	must(t, json.Unmarshal(text, &v))
	for _, violation := range set.Validate(schema.Survey, v) {
		t.Errorf("%s: %s", violation.Pointer, violation.Message)
	}
	later := tally(t, survey.Options{Tool: "test", Min: 2}, april(t))
	text, err = later.Append(nil)
	must(t, err)
	golden(t, "april.json", text)
	var change bytes.Buffer
	must(t, survey.Compare(&change, []survey.Report{r, later}))
	golden(t, "change.txt", change.Bytes())
}

// TestSmallRows: a row under the least number is nobody's to read, nor is one that can be told from the rest.
func TestSmallRows(t *testing.T) {
	providers := func(min int, said ...string) string {
		r := tally(t, survey.Options{Min: min}, fileOf("x", paper{vantage: "north", said: said}.bytes(t)))
		var out []string
		sum := 0
		for _, row := range r.Providers.Rows {
			out = append(out, fmt.Sprintf("%s %d", row.Name, row.Domains))
			sum += row.Domains
		}
		if o := r.Providers.Other; o != nil {
			out = append(out, fmt.Sprintf("other %d of %d", o.Domains, r.Providers.Folded))
			sum += o.Domains
		}
		if sum != len(said) {
			t.Errorf("min %d: %d domains in the rows, %d in all", min, sum, len(said))
		}
		return strings.Join(out, ", ")
	}
	said := func(counts string) (out []string) {
		for i, c := range counts {
			out = append(out, fmt.Sprintf("d%02d.example mx.%c.net good", i, c))
		}
		return out
	}
	for _, c := range []struct {
		min          int
		counts, want string
	}{
		{1, "aaabbc", "a.net 3, b.net 2, c.net 1"},
		{2, "aaabbcd", "a.net 3, b.net 2, other 2 of 2"},
		{2, "aaabbc", "a.net 3, other 3 of 2"}, // c alone would be told by name: the total less all rows
		{3, "aaabbbcccd", "a.net 3, b.net 3, other 4 of 2"},
		{3, "aaabbbd", "a.net 3, other 4 of 2"},
		{10, "aaabbc", "other 6 of 3"},
		{4, "bbbbaaaa", "a.net 4, b.net 4"},
	} {
		if got := providers(c.min, said(c.counts)...); got != c.want {
			t.Errorf("min %d of %s: %s, want %s", c.min, c.counts, got, c.want)
		}
	}
}

// TestVantagesDisagree: of merged evidence a class counts that most of those who can tell give.
func TestVantagesDisagree(t *testing.T) {
	file := func(vantage, server, code string) probe.EvidenceFile {
		return fileOf(vantage, paper{vantage: vantage, said: []string{strings.TrimSpace("a.example mx.big.net " + server + " " + code)}}.bytes(t))
	}
	good := func(v string) probe.EvidenceFile { return file(v, "good", "") }
	clear := func(v string) probe.EvidenceFile { return file(v, "clear", "starttls.missing") }
	open := func(v string) probe.EvidenceFile { return file(v, "open", "smtp.timeout") }
	for _, c := range []struct {
		files             []probe.EvidenceFile
		starttls, verdict string
	}{
		{[]probe.EvidenceFile{good("a"), good("b"), clear("c")}, "all", "warn"},
		{[]probe.EvidenceFile{good("a"), clear("b")}, "inconclusive", "inconclusive"},
		{[]probe.EvidenceFile{good("a"), open("b"), open("c")}, "all", "inconclusive"},
		{[]probe.EvidenceFile{open("a"), open("b")}, "inconclusive", "inconclusive"},
		{[]probe.EvidenceFile{clear("a"), clear("b"), good("c")}, "none", "fail"},
	} {
		var merged bytes.Buffer
		_, err := probe.Merge(&merged, c.files, probe.MergeOptions{Quorum: 2}, nil)
		must(t, err)
		r := tally(t, survey.Options{Min: 1}, fileOf("merged", merged.Bytes()))
		if r.Total.Measures["starttls"][c.starttls] != 1 || r.Total.Measures["verdict"][c.verdict] != 1 || len(r.Vantages) != len(c.files) {
			t.Errorf("want starttls %s, verdict %s: %+v by %v", c.starttls, c.verdict, r.Total.Measures, r.Vantages)
		}
	}
}

// TestList: a list that is given counts, and without one the entry that the evidence was held against.
func TestList(t *testing.T) {
	file := march(t)
	p, err := policy.ParseMXPattern("mx.big.net")
	must(t, err)
	pol, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{p})
	must(t, err)
	list := map[policy.Domain]policy.Policy{domain(t, "a.example"): pol, domain(t, "z.example"): pol}
	if r := tally(t, survey.Options{List: list}, file); r.Total.Measures["list"]["enforce"] != 1 || r.Total.Measures["list"]["unlisted"] != 8 {
		t.Errorf("%v", r.Total.Measures["list"])
	}
	if r := tally(t, survey.Options{}, file); r.Total.Measures["list"] != nil || r.Min != survey.DefaultMin {
		t.Errorf("without a list: %v, min %d", r.Total.Measures["list"], r.Min)
	}
	in, err := file.Open()
	must(t, err)
	var data bytes.Buffer
	_, err = data.ReadFrom(in)
	must(t, err)
	held := func(mode string) []byte {
		return bytes.Replace(data.Bytes(), []byte(`"roots":"0123456789abcdef`), []byte(`"policy":{"mode":"`+mode+`","mxs":["mx.big.net"]},"roots":"0123456789abcdef`), 2)
	}
	// The first replacement is in the header, where a reader passes it over.
	if r := tally(t, survey.Options{}, fileOf("x", held("testing"))); r.Total.Measures["list"]["testing"] != 1 {
		t.Errorf("by the evidence: %v", r.Total.Measures["list"])
	}
	c := survey.New(survey.Options{})
	if err := probe.ReadSorted([]probe.EvidenceFile{fileOf("x", held("yes"))}, c.Add); !errors.Is(err, probe.ErrEvidence) {
		t.Errorf("an entry of no mode: %v", err)
	}
}

// TestManyCodes: evidence that makes up codes costs no memory for each, and none is a formula of a spreadsheet.
func TestManyCodes(t *testing.T) {
	var said []string
	for i := range 10 {
		line := fmt.Sprintf("d%d.example mx.big.net good", i)
		for k := range 100 {
			line += fmt.Sprintf(" x%d.c%02d", i, k)
		}
		said = append(said, line)
	}
	said = append(said, "e.example mx.big.net good =1+1")
	r := tally(t, survey.Options{Min: 1}, fileOf("x", paper{vantage: "north", said: said}.bytes(t)))
	if n := len(r.Total.Codes); n != 257 || r.Total.Codes["other"] != 9 {
		t.Errorf("%d codes, %d domains with others", n, r.Total.Codes["other"])
	}
}

// TestReadReportRefuses: numbers that contradict each other are no survey.
func TestReadReportRefuses(t *testing.T) {
	text, err := tally(t, survey.Options{Min: 2}, march(t)).Append(nil)
	must(t, err)
	for _, c := range [][2]string{
		{`"format": "policylist/survey/v1"`, `"format": "policylist/survey/v2"`}, {`"until": "2026-`, `"until": "in 2026-`}, {`"pass": 6`, `"pass": 5`},
		{`"pass": 6`, `"pass": -6`}, {`"pass": 6`, `"good": 6`}, {`"pass": 6`, `"pass": 6.5`}, {`"domains": 9`, `"domains": 8`}, {`"starttls.missing": 2`, `"starttls.missing": 10`},
		{`"tool":`, `"tools":`}, {`"mta-sts":`, `"mta-stss":`},
	} {
		bad := strings.Replace(string(text), c[0], c[1], 1)
		if bad == string(text) {
			t.Fatalf("the report has no %s", c[0])
		}
		if _, err := survey.ReadReport([]byte(bad)); !errors.Is(err, survey.ErrReport) {
			t.Errorf("%s: %v", c[1], err)
		}
	}
	r, err := survey.ReadReport(text)
	must(t, err)
	for name, table := range map[string]*survey.Table{"TLDs": &r.TLDs, "suffixes": &r.Suffixes, "providers": &r.Providers} {
		whole := *table
		table.Rows = table.Rows[1:]
		less, err := r.Append(nil)
		must(t, err)
		if _, err := survey.ReadReport(less); !errors.Is(err, survey.ErrReport) {
			t.Errorf("%s without a row: %v", name, err)
		}
		*table = whole
	}
	for _, bad := range []string{"", "{}", "null", "[]", string(text) + "{}", string(text[:len(text)/2])} {
		if _, err := survey.ReadReport([]byte(bad)); !errors.Is(err, survey.ErrReport) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// FuzzReadReport: what is accepted is written and read back as the same, and can be compared.
func FuzzReadReport(f *testing.F) {
	text, err := tally(f, survey.Options{Min: 2}, march(f)).Append(nil)
	must(f, err)
	f.Add(text)
	f.Add([]byte(`{"format":"policylist/survey/v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := survey.ReadReport(data)
		if err != nil {
			return
		}
		once, err := r.Append(nil)
		must(t, err)
		again, err := survey.ReadReport(once)
		must(t, err)
		if twice, err := again.Append(nil); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("it comes back differently: %v", err)
		}
		var out bytes.Buffer
		must(t, survey.Compare(&out, []survey.Report{r, again}))
	})
}

// TestEveryClassIsExplained holds the table of README.md and the code together.
func TestEveryClassIsExplained(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	explained := make(map[string][]string)
	measure := ""
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.Contains(line, "| Measure") {
			continue
		}
		if name := strings.Trim(cells[1], " `"); name != "" {
			measure = name
		}
		for class := range strings.SplitSeq(cells[2], ",") {
			explained[measure] = append(explained[measure], strings.Trim(class, " `"))
		}
	}
	for _, m := range survey.Measures() {
		classes := slices.DeleteFunc(slices.Clone(m.Classes), func(c string) bool { return c == "inconclusive" || c == "no-mail" })
		if !slices.Equal(explained[m.Name], classes) {
			t.Errorf("%s: README.md explains %q, the code has %q", m.Name, explained[m.Name], classes)
		}
	}
	if len(explained) != len(survey.Measures()) {
		t.Errorf("%d measures are explained", len(explained))
	}
}

// TestSchemaHasEveryClass: the published schema allows what the code gives and nothing else.
func TestSchemaHasEveryClass(t *testing.T) {
	text, err := schema.Text(schema.Survey)
	must(t, err)
	var s struct {
		Definitions struct {
			Row struct {
				Properties struct {
					Measures struct {
						Properties map[string]struct{ Properties map[string]any }
					}
				}
			}
		}
	}
	must(t, json.Unmarshal(text, &s))
	got := s.Definitions.Row.Properties.Measures.Properties
	for _, m := range survey.Measures() {
		for _, class := range m.Classes {
			if _, ok := got[m.Name].Properties[class]; !ok {
				t.Errorf("the schema lacks %s %s", m.Name, class)
			}
		}
		if len(got[m.Name].Properties) != len(m.Classes) {
			t.Errorf("the schema has %d classes of %s", len(got[m.Name].Properties), m.Name)
		}
	}
	if len(got) != len(survey.Measures()) {
		t.Errorf("the schema has %d measures", len(got))
	}
}
