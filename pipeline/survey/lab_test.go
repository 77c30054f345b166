package survey_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

// TestSurveyOfTheLab looks at 1,000 domains of all kinds and must count what the lab was built with: every class of every
// measure, every code, in every row of every table. The evidence of it must give the same numbers, and so must that of
// two vantages which saw the same.
func TestSurveyOfTheLab(t *testing.T) {
	w := build(t, 1000)
	live := survey.New(survey.Options{Tool: "test", Min: 1})
	file := w.evidence(t, func(r probe.Result) error {
		return live.AddLine(probe.Line{Domain: r.Domain, Raw: r.Line}, true)
	})
	got := flatten(live.Report())
	compareCounts(t, "looking", got, w.truth)
	for _, m := range survey.Measures() {
		for _, class := range m.Classes {
			if m.Name != "list" && got[key("total", "", m.Name, class)] == 0 {
				t.Errorf("the lab has no domain with %s %s", m.Name, class)
			}
		}
	}
	compareCounts(t, "evidence", flatten(tally(t, survey.Options{Min: 1}, fileOf("north", file))), w.truth)
	south := bytes.ReplaceAll(file, []byte(`"vantage":"north"`), []byte(`"vantage":"south"`))
	var joined bytes.Buffer
	_, err := probe.Merge(&joined, []probe.EvidenceFile{fileOf("north", file), fileOf("south", south)}, probe.MergeOptions{Quorum: 2}, nil)
	must(t, err)
	both := flatten(tally(t, survey.Options{Min: 1}, fileOf("merged", joined.Bytes())))
	for k, n := range both { // what nobody could tell has no quorum
		if row, found := strings.CutSuffix(k, " code vantage.quorum"); found && n == w.truth[row+" verdict inconclusive"] {
			delete(both, k)
		}
	}
	compareCounts(t, "merged", both, w.truth)
}

// evidence is that of a scan of the world; each gets the results too.
func (w *world) evidence(t testing.TB, each ...func(probe.Result) error) []byte {
	t.Helper()
	slices.SortFunc(w.targets, func(a, b probe.Target) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	p := w.prober()
	header, err := p.Header(t.Context(), "")
	must(t, err)
	var file bytes.Buffer
	out, err := probe.NewEvidence(&file, header)
	must(t, err)
	must(t, p.Each(t.Context(), w.targets, func(r probe.Result) error {
		err := out.Add(r)
		for _, f := range each {
			err = errors.Join(err, f(r))
		}
		return err
	}))
	return file.Bytes()
}

// tally counts evidence.
func tally(t testing.TB, o survey.Options, files ...probe.EvidenceFile) survey.Report {
	t.Helper()
	c := survey.New(o)
	must(t, probe.ReadSorted(files, c.Add))
	return c.Report()
}

func fileOf(name string, data []byte) probe.EvidenceFile {
	return probe.EvidenceFile{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// flatten turns a report into what the truth is written in.
func flatten(r survey.Report) counted {
	out := make(counted)
	add := func(table string, row survey.Row) {
		out[key(table, row.Name, "domains", "")] = row.Domains
		for measure, classes := range row.Measures {
			for class, n := range classes {
				out[key(table, row.Name, measure, class)] = n
			}
		}
		for code, n := range row.Codes {
			out[key(table, row.Name, "code", code)] = n
		}
	}
	add("total", r.Total)
	for table, rows := range map[string]survey.Table{"tld": r.TLDs, "suffix": r.Suffixes, "provider": r.Providers} {
		for _, row := range rows.Rows {
			add(table, row)
		}
		if rows.Folded > 0 || rows.Other != nil {
			add(table+" other", *rows.Other)
		}
	}
	return out
}

func compareCounts(t *testing.T, how string, got, want counted) {
	t.Helper()
	all := maps.Clone(got)
	maps.Copy(all, want)
	wrong := 0
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if got[k] != want[k] {
			if wrong++; wrong <= 40 {
				t.Errorf("%s: %s: counted %d, the lab has %d", how, k, got[k], want[k])
			}
		}
	}
}
