package site

import (
	"fmt"
	"html/template"
	"slices"
	"sync"
	"time"
)

// statisticsPage shows each table of the statistics with a chart, and the file that has all of it.
type statisticsPage struct {
	view
	Count, Ever     int // entries now, domains ever listed
	Modes           map[string]int
	Median          string // month
	Size, Joined    template.HTML
	Sizes           []dayCount
	Months          []monthRow
	Ranks           []rankSection
	Verdicts        []verdictOf
	Evidence        bool
	Codes           []codeRow
	MoreCodes       int
	CodeChart       template.HTML
	Failing         []monthRow
	Fixes           []fixView
	MinSample       int
	PendingKnown    bool
	Survey          *survey
	Measures        []measureView
	SurveyChart     template.HTML
	SurveyProviders []surveyRow
	FoldedProviders int
}

// rankSection is one of the tables of entries by a name.
type rankSection struct {
	ID, Title, Column, Note, File string
	Chart                         template.HTML
	Rows                          []rankRow
	More                          int
}

type fixView struct {
	fixRow
	What string
}

type measureView struct {
	measure
	Rows []classView
}

type classView struct {
	Class   string
	Domains int
	Share   string
}

// Rows of the tables on the page; the CSV files have all.
const (
	maxRankRows = 15
	maxCodeRows = 50
	maxSizeRows = 12
)

// fixTexts say what a row of times is about.
func fixTexts() map[string]string {
	return map[string]string{
		fixDemoted: "Demoted by itself, until it enforces again",
		fixMended:  "Demoted by itself and testing still, until probes passed",
		fixRemoved: "Removed by itself, until it is listed again",
		fixTrial:   "Added in mode testing, until it enforces",
		fixFailing: "Entries that fail now",
		fixHeld:    "Changes that are held",
	}
}

// addStatistics adds the page and its files. All of them are of one count, which the first that is rendered makes.
func (b *builder) addStatistics(p *pages) {
	count := sync.OnceValue(b.statistics)
	b.add("site/statistics/index.html", func() ([]byte, error) {
		page, err := b.statisticsPage(count())
		if err != nil {
			return nil, err
		}
		return p.render("statistics", page)
	})
	for _, f := range statisticsFiles() {
		b.add("site/statistics/"+f.name, func() ([]byte, error) { return f.table(count()).csv() })
	}
	if b.survey != nil {
		b.add("site/statistics/survey.csv", func() ([]byte, error) { return b.survey.table().csv() })
	}
}

func (b *builder) statisticsPage(s statistics) (statisticsPage, error) {
	p := statisticsPage{view: b.view("Statistics, "+b.Origin, "statistics", "../"), Count: b.List.Len(), Ever: len(b.Domains), Modes: b.modes,
		Median: median(s.Joined), Verdicts: s.Verdicts, Evidence: b.Model.Evidence.Release > 0, Failing: s.Failing, MinSample: minSample,
		PendingKnown: b.Pending != nil, Survey: b.survey}
	p.Sizes = s.Days[max(0, len(s.Days)-maxSizeRows):]
	p.Months = s.Joined[max(0, len(s.Joined)-maxSizeRows):]
	p.Codes = s.Codes[:min(len(s.Codes), maxCodeRows)]
	p.MoreCodes = len(s.Codes) - len(p.Codes)
	texts := fixTexts()
	for _, r := range s.Fixes {
		p.Fixes = append(p.Fixes, fixView{r, texts[r.Kind]})
	}
	var err error
	draw := func(c chart, how func(chart) (template.HTML, error)) (out template.HTML) {
		if err == nil {
			out, err = how(c)
		}
		return out
	}
	p.Size = draw(sizeChart(s.Days), chart.lines)
	p.Joined = draw(joinedChart(s.Joined), chart.bars)
	p.CodeChart = draw(codeChart(s.Codes), chart.bars)
	for _, r := range s.ranks() {
		r.Chart = draw(rankChart(r), chart.bars)
		r.More = len(r.Rows) - min(len(r.Rows), maxRankRows)
		r.Rows = r.Rows[:len(r.Rows)-r.More]
		p.Ranks = append(p.Ranks, r)
	}
	if b.survey != nil {
		p.Measures = b.survey.views()
		p.SurveyChart = draw(b.survey.chart(), chart.bars)
		p.SurveyProviders = b.survey.Providers.Rows[:min(len(b.survey.Providers.Rows), maxRankRows)]
		p.FoldedProviders = len(b.survey.Providers.Rows) - len(p.SurveyProviders) + b.survey.Providers.Folded
	}
	return p, err
}

func (s statistics) ranks() []rankSection {
	return []rankSection{
		{ID: "tlds", Title: "Top-level domains", Column: "Top-level domain", File: "tlds.csv", Rows: s.TLDs},
		{ID: "suffixes", Title: "Public suffixes", Column: "Suffix", Note: "A public suffix is what a registry sells names under, by the public suffix list without its private part.",
			File: "suffixes.csv", Rows: s.Suffixes},
		{ID: "providers", Title: "Who runs the mail servers", Column: "Registered name of the MX hosts",
			Note: "Counted by the names that the entries allow, not by where mail goes. " + selfHosted + " are hosts below the domain’s own registered name. An entry that allows hosts of two names is counted at both.",
			File: "providers.csv", Rows: s.Providers},
	}
}

// maxDaily is how many days of changes a chart shows one by one; with more it shows the ends of months, and at last of
// years.
const (
	maxDaily   = 62
	maxMonthly = 120
)

// sizeChart shows the list at the end of each day, month or year from its first change to its last.
func sizeChart(days []dayCount) chart {
	c := chart{ID: "size", Title: "Entries over time", Desc: "Two lines, of the entries in mode enforce and in mode testing. The table below has the newest numbers, size.csv all of them."}
	enforce, testing := series{Name: "enforce"}, series{Name: "testing"}
	for _, d := range thin(days) {
		c.Labels = append(c.Labels, d.Day)
		enforce.Values, testing.Values = append(enforce.Values, float64(d.Enforce)), append(testing.Values, float64(d.Testing))
	}
	c.Series = []series{enforce, testing}
	return c
}

// thin fills the days, months or years without a change with what was before, so that time runs evenly.
func thin(days []dayCount) []dayCount {
	if len(days) == 0 {
		return nil
	}
	first, err := time.Parse(time.DateOnly, days[0].Day)
	if err != nil {
		return nil
	}
	last, err := time.Parse(time.DateOnly, days[len(days)-1].Day)
	if err != nil {
		return nil
	}
	format, next := time.DateOnly, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }
	span := int(last.Sub(first).Hours() / 24)
	if span > maxDaily {
		first, format, next = first.AddDate(0, 0, 1-first.Day()), "2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }
	}
	if span > maxMonthly*30 {
		first, format, next = first.AddDate(0, 1-int(first.Month()), 0), "2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }
	}
	var out []dayCount
	var now dayCount
	for at := first; !at.After(last); at = next(at) {
		label := at.Format(format)
		for len(days) > 0 && days[0].Day[:len(label)] <= label {
			now, days = days[0], days[1:]
		}
		out = append(out, dayCount{label, now.Enforce, now.Testing})
	}
	return out
}

// joinedChart shows the age of the entries: since which month they are listed, or year, where there are many months.
func joinedChart(rows []monthRow) chart {
	c := chart{ID: "joined", Title: "Entries by when they came", Desc: "A bar for each month or year, with the entries of today that are listed since then. The table below has the newest numbers, joined.csv all of them."}
	n := len("2006-01")
	if len(rows) > 2*maxBars {
		n = len("2006")
	}
	var groups []monthRow
	for _, r := range rows {
		label := r.Month[:n]
		if len(groups) == 0 || groups[len(groups)-1].Month != label {
			groups = append(groups, monthRow{Month: label})
		}
		g := &groups[len(groups)-1]
		g.Enforce, g.Testing = g.Enforce+r.Enforce, g.Testing+r.Testing
	}
	groups = groups[max(0, len(groups)-2*maxBars):]
	slices.Reverse(groups) // the newest first
	enforce, testing := series{Name: "enforce"}, series{Name: "testing"}
	for _, g := range groups {
		c.Labels = append(c.Labels, g.Month)
		enforce.Values, testing.Values = append(enforce.Values, float64(g.Enforce)), append(testing.Values, float64(g.Testing))
	}
	c.Series = []series{enforce, testing}
	return c
}

func rankChart(r rankSection) chart {
	c := chart{ID: "chart-" + r.ID, Title: r.Title, Desc: fmt.Sprintf("A bar for each of the %d with the most entries, in two colours by mode. The table below has more of them, %s all.", min(len(r.Rows), maxBars), r.File)}
	enforce, testing := series{Name: "enforce"}, series{Name: "testing"}
	for _, row := range r.Rows[:min(len(r.Rows), maxBars)] {
		c.Labels = append(c.Labels, row.Name)
		enforce.Values, testing.Values = append(enforce.Values, float64(row.Enforce)), append(testing.Values, float64(row.Testing))
	}
	c.Series = []series{enforce, testing}
	return c
}

func codeChart(rows []codeRow) chart {
	c := chart{ID: "chart-codes", Title: "What probes find", Desc: "A bar for each of the codes that most entries have. The table below explains them."}
	var s series
	for _, row := range rows[:min(len(rows), maxBars)] {
		c.Labels, s.Values = append(c.Labels, row.ID), append(s.Values, float64(row.Domains))
	}
	c.Series = []series{s}
	return c
}
