package site

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// survey is the file that "starttls-list survey --stats" writes: schema/survey.schema.json.
type survey struct {
	Format    string          `json:"format"`
	Tool      string          `json:"tool"`
	From      string          `json:"from"`
	Until     string          `json:"until"`
	Vantages  []string        `json:"vantages"`
	Min       int             `json:"min"` // rows of fewer domains are told together
	Input     json.RawMessage `json:"input"`
	Total     surveyRow       `json:"total"`
	TLDs      surveyTable     `json:"tlds"`
	Suffixes  surveyTable     `json:"suffixes"`
	Providers surveyTable     `json:"providers"`
}

type surveyRow struct {
	Name     string                    `json:"name"`
	Domains  int                       `json:"domains"`
	Measures map[string]map[string]int `json:"measures"` // by measure and class; a class that is missing counts 0
	Codes    map[string]int            `json:"codes"`
}

type surveyTable struct {
	Rows   []surveyRow `json:"rows"`
	Folded int         `json:"folded"`
	Other  *surveyRow  `json:"other"`
}

// measure is one question, and the answers that a domain can have, best first. pipeline/survey/README.md explains them.
type measure struct {
	Name, Question string
	Classes        []string
}

// surveyMeasures are those of schema/survey.schema.json, in the order of the page.
func surveyMeasures() []measure {
	return []measure{
		{"verdict", "Would a sender that validates deliver?", []string{"pass", "warn", "fail", "inconclusive"}},
		{"mx", "Where does mail go?", []string{"hosts", "implicit", "null", "none", "nxdomain", "inconclusive"}},
		{"starttls", "At how many of its servers does TLS come about?", []string{"all", "some", "none", "no-mail", "inconclusive"}},
		{"certificate", "At how many is the certificate good?", []string{"valid", "some", "invalid", "no-tls", "no-mail", "inconclusive"}},
		{"tls", "What does its weakest server speak at best?", []string{"1.3", "1.2", "older", "no-tls", "no-mail", "inconclusive"}},
		{"mta-sts", "Has it an MTA-STS policy?", []string{"enforce", "testing", "off", "mismatch", "broken", "none", "inconclusive"}},
		{"dane", "Has it DANE?", []string{"valid", "partial", "mismatch", "unusable", "none", "insecure", "no-mail", "inconclusive"}},
		{"tlsrpt", "Does it say where reports go?", []string{"valid", "broken", "none", "inconclusive"}},
		{"list", "Is it on the list?", []string{"enforce", "testing", "unlisted"}},
	}
}

// deployed reports whether a class says something about deployment: shares are of the domains in such classes.
func deployed(class string) bool { return class != "inconclusive" && class != "no-mail" }

// parseSurvey reads a survey, nil for none. Nothing that its schema refuses is taken, nor numbers that contradict each
// other: the page would repeat them as facts. Errors wrap ErrExtra.
func parseSurvey(data []byte) (*survey, error) {
	if data == nil {
		return nil, nil
	}
	fail := func(err error) (*survey, error) { return nil, fmt.Errorf("survey: %w: %w", ErrExtra, err) }
	set, err := schema.Load()
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return fail(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fail(fmt.Errorf("something follows it"))
	}
	for _, v := range set.Validate(schema.Survey, raw) {
		return fail(fmt.Errorf("at %q: %s", v.Pointer, v.Message))
	}
	var s survey
	if err := json.Unmarshal(data, &s); err != nil {
		return fail(err)
	}
	if err := s.check(); err != nil {
		return fail(err)
	}
	return &s, nil
}

func (s *survey) check() error {
	from, err := policy.ParseTime(s.From)
	if err != nil {
		return err
	}
	until, err := policy.ParseTime(s.Until)
	if err != nil {
		return err
	}
	if until.Before(from) {
		return fmt.Errorf("it ends at %s, before it begins", s.Until)
	}
	if err := s.Total.check(); err != nil {
		return fmt.Errorf("total: %w", err)
	}
	for name, t := range map[string]surveyTable{"tlds": s.TLDs, "suffixes": s.Suffixes, "providers": s.Providers} {
		sum := 0
		rows := t.Rows
		if t.Other != nil {
			rows = append(rows[:len(rows):len(rows)], *t.Other)
		}
		for _, r := range rows {
			if err := r.check(); err != nil {
				return fmt.Errorf("%s: %s: %w", name, r.Name, err)
			}
			sum += r.Domains
		}
		if sum != s.Total.Domains {
			return fmt.Errorf("%s: the rows have %d domains, all have %d", name, sum, s.Total.Domains)
		}
	}
	return nil
}

// check: each measure puts each domain into one class, and no code counts more domains than there are.
func (r surveyRow) check() error {
	for _, m := range surveyMeasures() {
		classes, ok := r.Measures[m.Name]
		if !ok {
			continue // list, where no list was given
		}
		sum := 0
		for _, n := range classes {
			sum += n
		}
		if sum != r.Domains {
			return fmt.Errorf("%s: the classes have %d domains, not %d", m.Name, sum, r.Domains)
		}
	}
	for code, n := range r.Codes {
		if n > r.Domains {
			return fmt.Errorf("%s: %d domains of %d", code, n, r.Domains)
		}
	}
	return nil
}

// views are the measures that the survey has, with the classes that occur, and shares of the domains about which there is
// something to say.
func (s *survey) views() []measureView {
	var out []measureView
	for _, m := range surveyMeasures() {
		classes, ok := s.Total.Measures[m.Name]
		if !ok {
			continue
		}
		of := 0
		for class, n := range classes {
			if deployed(class) {
				of += n
			}
		}
		v := measureView{measure: m}
		for _, class := range m.Classes {
			n := classes[class]
			if n == 0 {
				continue
			}
			row := classView{Class: class, Domains: n}
			if deployed(class) {
				row.Share = fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
			}
			v.Rows = append(v.Rows, row)
		}
		out = append(out, v)
	}
	return out
}

// chart shows of each measure the share of domains that do best.
func (s *survey) chart() chart {
	c := chart{ID: "chart-survey", Title: "What the surveyed domains have deployed", Percent: true,
		Desc: "A bar for each question, with the share of domains that have the best of its answers. The tables below have all answers, survey.csv also those by top-level domain and provider."}
	var share series
	for _, best := range []struct{ label, measure, class string }{
		{"STARTTLS everywhere", "starttls", "all"}, {"good certificates", "certificate", "valid"}, {"TLS 1.3", "tls", "1.3"},
		{"MTA-STS enforced", "mta-sts", "enforce"}, {"DANE", "dane", "valid"}, {"TLSRPT", "tlsrpt", "valid"},
	} {
		of := 0
		for class, n := range s.Total.Measures[best.measure] {
			if deployed(class) {
				of += n
			}
		}
		if of == 0 {
			continue
		}
		c.Labels = append(c.Labels, best.label)
		share.Values = append(share.Values, 100*float64(s.Total.Measures[best.measure][best.class])/float64(of))
	}
	c.Series = []series{share}
	return c
}
