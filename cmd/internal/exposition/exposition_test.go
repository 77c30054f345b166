package exposition

import (
	"bytes"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var table = []Metric{
	{Name: "a_total", Kind: Counter, Labels: []string{"x", "y"}, Help: "Some \\ text\nof two lines."},
	{Name: "b_seconds", Kind: Gauge, Help: "More."},
	{Name: "c", Kind: Gauge, Labels: []string{"x"}, Help: "Never seen."},
}

func parse(t testing.TB, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

// What goes in comes out of Prometheus' own parser, whatever a label holds.
func TestText(t *testing.T) {
	s := NewSet(table)
	odd := "\"quoted\"\\ and\nbroken,} 1\r\t é"
	s.Add("b_seconds", 1772366400)
	s.Add("a_total", 12, odd, "")
	s.Add("a_total", 1e18, "p", "\xff")
	families := parse(t, s.Text())
	if len(families) != 2 {
		t.Errorf("%d families:\n%s", len(families), s.Text())
	}
	a := families["a_total"]
	if a.GetHelp() != table[0].Help || a.GetType() != dto.MetricType_COUNTER || len(a.GetMetric()) != 2 {
		t.Fatalf("%v", a)
	}
	if m := a.GetMetric()[0]; m.GetLabel()[0].GetValue() != odd || m.GetLabel()[1].GetName() != "y" || m.GetCounter().GetValue() != 12 {
		t.Errorf("%v", m)
	}
	if m := a.GetMetric()[1]; m.GetLabel()[1].GetValue() != "\uFFFD" || m.GetCounter().GetValue() != 1e18 {
		t.Errorf("%v", m)
	}
	if b := families["b_seconds"]; b.GetType() != dto.MetricType_GAUGE || b.GetMetric()[0].GetGauge().GetValue() != 1772366400 {
		t.Errorf("%v", b)
	}
	if !strings.HasPrefix(string(s.Text()), "# HELP a_total ") {
		t.Errorf("not in the order of the table:\n%s", s.Text())
	}
}

// A sample that the table has no place for is a mistake in the program.
func TestUnknownSamples(t *testing.T) {
	for name, add := range map[string]func(*Set){
		"an unknown name":  func(s *Set) { s.Add("d", 1) },
		"too few labels":   func(s *Set) { s.Add("a_total", 1, "x") },
		"a label too many": func(s *Set) { s.Add("b_seconds", 1, "x") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			add(NewSet(table))
		}()
	}
}

// FuzzLabel: any text as a label is one sample with that text, and no more.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"", "a", "\"", "\\", "\n", "a\"} 1\nb 2", "\x00\xff", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		s := NewSet(table)
		s.Add("c", 1, label)
		families := parse(t, s.Text())
		if len(families) != 1 || len(families["c"].GetMetric()) != 1 {
			t.Fatalf("%q gives\n%s", label, s.Text())
		}
		got := families["c"].GetMetric()[0].GetLabel()[0].GetValue()
		if want := strings.ToValidUTF8(label, "\uFFFD"); got != want {
			t.Errorf("%q comes out as %q", label, got)
		}
	})
}
