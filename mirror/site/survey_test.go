package site

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/schema"
)

func readSurvey(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../schema/valid/survey/whole.json")
	must(t, err)
	return data
}

// Each survey that is not one, or whose numbers contradict each other, is refused.
func TestSurveyThatIsNone(t *testing.T) {
	good := string(readSurvey(t))
	if _, err := parseSurvey([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"no JSON":                    {good, "{"},
		"two documents":              {good, good + "{}"},
		"another format":             {"policylist/survey/v1", "policylist/survey/v2"},
		"a member that nobody knows": {`"min":`, `"max": 1, "min":`},
		"a class that nobody knows":  {`"mismatch": 1`, `"missing": 1`},
		"a time that is none":        {`"from": "2026-03-01T`, `"from": "2026-02-30T`},
		"it ends before it begins":   {`"from": "2026-03-01T`, `"from": "2026-03-02T`},
		"a class that is too large":  {`"pass": 10`, `"pass": 11`},
		"a code on too many":         {`"cert.expired": 1`, `"cert.expired": 13`},
		"a negative number":          {`"folded": 0`, `"folded": -1`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Errorf("%s: there is no %s", name, edit[0])
		}
		if _, err := parseSurvey([]byte(bad)); !errors.Is(err, ErrExtra) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := story(t).mustRead(t, Extra{Survey: []byte("{}")}); !errors.Is(err, ErrExtra) {
		t.Errorf("Read took it: %v", err)
	}
}

func (o *operator) mustRead(t *testing.T, extra Extra) (*Model, error) {
	t.Helper()
	return Read(t.Context(), o.mirror, o.chain(), extra)
}

// The page knows the measures and classes of the schema, no others, and none is missing.
func TestSurveyMeasures(t *testing.T) {
	text, err := schema.Text(schema.Survey)
	must(t, err)
	var s struct {
		Definitions struct {
			Row struct {
				Properties struct {
					Measures struct {
						Properties map[string]struct {
							Properties map[string]any `json:"properties"`
						} `json:"properties"`
					} `json:"measures"`
				} `json:"properties"`
			} `json:"row"`
		} `json:"definitions"`
	}
	mustJSON(t, text, &s)
	known := s.Definitions.Row.Properties.Measures.Properties
	if len(known) != len(surveyMeasures()) {
		t.Errorf("the schema has %d measures", len(known))
	}
	for _, m := range surveyMeasures() {
		if len(known[m.Name].Properties) != len(m.Classes) {
			t.Errorf("%s: the schema has %d classes", m.Name, len(known[m.Name].Properties))
		}
		for _, class := range m.Classes {
			if _, ok := known[m.Name].Properties[class]; !ok {
				t.Errorf("%s: the schema has no class %s", m.Name, class)
			}
		}
	}
}

// A survey of nothing at all has no shares.
func TestSurveyOfFailures(t *testing.T) {
	s := &survey{Total: surveyRow{Domains: 3, Measures: map[string]map[string]int{"starttls": {"inconclusive": 3}}}}
	views := s.views()
	if len(views) != 1 || views[0].Rows[0].Share != "" || len(s.chart().Labels) != 0 {
		t.Errorf("%+v, %+v", views, s.chart())
	}
}

// What is taken has a page and a table, whatever it says, and its shares are shares.
func FuzzSurvey(f *testing.F) {
	f.Add(readSurvey(f))
	f.Add([]byte(`{"format":"policylist/survey/v1"}`))
	m := story(f).read(Extra{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSurvey(data)
		if err != nil {
			if !errors.Is(err, ErrExtra) {
				t.Error(err)
			}
			return
		}
		b := newBuilder(m)
		b.survey = s
		if _, err := b.statisticsPage(b.statistics()); err != nil {
			t.Error(err)
		}
		if _, err := s.table().csv(); err != nil {
			t.Error(err)
		}
		for _, share := range s.chart().Series[0].Values {
			if share < 0 || share > 100 {
				t.Errorf("a share of %v", share)
			}
		}
	})
}
