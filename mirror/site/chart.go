package site

import (
	"fmt"
	"html/template"
	"math"

	"github.com/go-analyze/charts"
)

// Charts are drawn in a box as wide as the narrowest screen, 320 CSS pixels less the page's margin, so that their text has
// its size there; wider ones show them larger, to a bound of the style sheet.
const (
	chartWidth    = 320
	chartFont     = 8.0 // points: 11 pixels or so
	lineHeight    = 200
	barHeight     = 22
	barsBeside    = 50 // what a chart of bars has above and below them
	maxBars       = 10 // the others are in the table
	maxLabelRunes = 26
	maxTimes      = 4 // below a chart of lines
)

// series is a line, or one colour of the bars.
type series struct {
	Name   string
	Values []float64
}

// chart is what a drawing shows. Its text alternative is the table beside it.
type chart struct {
	ID, Title, Desc string
	Labels          []string
	Series          []series
	Percent         bool // values are shares of 100
}

func newPainter(height int) *charts.Painter {
	return charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: height, Theme: paintTheme()})
}

// paintTheme draws with the colours that inlineSVG turns into classes.
func paintTheme() charts.ColorPalette {
	ink, axis, grid := charts.ColorRGB(0, 0, 1), charts.ColorRGB(0, 0, 2), charts.ColorRGB(0, 0, 3)
	o := charts.ThemeOption{AxisStrokeColor: axis, AxisSplitLineColor: grid, BackgroundColor: charts.ColorRGB(0, 0, 4), TextColor: ink,
		TextColorTitle: ink, TextColorMark: ink, TextColorLabel: ink, TextColorLegend: ink, TextColorXAxis: ink, TextColorYAxis: ink}
	for i := range uint8(6) {
		o.SeriesColors = append(o.SeriesColors, charts.ColorRGB(i+1, 0, 0))
	}
	return charts.MakeTheme(o)
}

func (c chart) values() [][]float64 {
	var out [][]float64
	for _, s := range c.Series {
		out = append(out, s.Values)
	}
	return out
}

// legend names the series, below the top; a single one needs none.
func (c chart) legend() charts.LegendOption {
	o := charts.LegendOption{FontStyle: charts.NewFontStyleWithSize(chartFont), Symbol: charts.SymbolSquare}
	for _, s := range c.Series {
		o.SeriesNames = append(o.SeriesNames, s.Name)
	}
	if len(c.Series) < 2 {
		o.Show = charts.Ptr(false)
	}
	return o
}

// axis goes from 0 in at most four equal steps of a round number, since counts of domains have no fractions. stacked says
// that the values of a label are added up.
func (c chart) axis(stacked bool) charts.ValueAxisOption {
	top := 1.0
	for i := range c.Labels {
		sum := 0.0
		for _, s := range c.Series {
			if top = max(top, s.Values[i]); stacked {
				sum += s.Values[i]
			}
		}
		top = max(top, sum)
	}
	step := roundStep(top / 4)
	if c.Percent {
		top, step = 100, 50
	}
	steps := math.Ceil(top / step)
	return charts.ValueAxisOption{Min: charts.Ptr(0.0), Max: charts.Ptr(steps * step), LabelCount: int(steps) + 1, PreferNiceIntervals: charts.Ptr(false),
		RangeValuePaddingScale: charts.Ptr(0.0), LabelFontStyle: charts.NewFontStyleWithSize(chartFont), ValueFormatter: c.number}
}

// roundStep is the smallest of 1, 2, 5, 10, 20, 50 … that is not below v.
func roundStep(v float64) float64 {
	for ten := 1.0; ; ten *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*ten >= v {
				return n * ten
			}
		}
	}
}

// spread keeps at most n labels, the first and the last among them, and leaves the places of the others empty.
func spread(labels []string, n int) []string {
	if len(labels) <= n {
		return labels
	}
	out := make([]string, len(labels))
	for i := range n {
		at := i * (len(labels) - 1) / (n - 1)
		out[at] = labels[at]
	}
	return out
}

// number is a value on an axis.
func (c chart) number(v float64) string {
	if c.Percent {
		return fmt.Sprintf("%.0f%%", v)
	}
	return charts.FormatValueHumanizeShort(v, 1, false)
}

func (c chart) empty() bool { return len(c.Series) == 0 || len(c.Labels) == 0 }

// lines draws a line for each series. A chart of nothing is "".
func (c chart) lines() (template.HTML, error) {
	if c.empty() {
		return "", nil
	}
	o := charts.NewLineChartOptionWithData(c.values())
	o.Theme, o.Padding, o.Legend = paintTheme(), charts.NewBox(4, 4, 24, 4), c.legend() // the last date stands half outside
	o.Symbol.Shape = charts.SymbolNone
	if len(c.Labels) == 1 {
		o.Symbol.Shape = charts.SymbolCircle // a line of one point is none
	}
	o.LineStrokeWidth = 2
	o.XAxis.Labels, o.XAxis.LabelFontStyle, o.XAxis.LabelCount = spread(c.Labels, maxTimes), charts.NewFontStyleWithSize(chartFont), len(c.Labels)
	o.XAxis.BoundaryGap = charts.Ptr(true)
	o.YAxis = []charts.YAxisOption{c.axis(false)}
	p := newPainter(lineHeight)
	if err := p.LineChart(o); err != nil {
		return "", fmt.Errorf("chart %s: %w", c.ID, err)
	}
	return c.inline(p)
}

// bars draws a bar for each label, from the top, with the series one behind the other in it.
func (c chart) bars() (template.HTML, error) {
	if c.empty() {
		return "", nil
	}
	labels := make([]string, len(c.Labels))
	for i, label := range c.Labels { // the library begins at the bottom
		runes := []rune(label)
		if len(runes) > maxLabelRunes {
			label = string(runes[:maxLabelRunes-1]) + "…"
		}
		labels[len(labels)-1-i] = label
	}
	values := c.values()
	for i := range values {
		reversed := make([]float64, len(values[i]))
		for k, v := range values[i] {
			reversed[len(reversed)-1-k] = v
		}
		values[i] = reversed
	}
	o := charts.NewBarChartOptionWithData(values)
	o.Theme, o.Padding, o.Legend, o.Horizontal, o.StackSeries = paintTheme(), charts.NewBoxEqual(4), c.legend(), true, charts.Ptr(true)
	o.CategoryAxis.Labels, o.CategoryAxis.LabelFontStyle, o.CategoryAxis.LabelCount = labels, charts.NewFontStyleWithSize(chartFont), len(labels)
	o.ValueAxis = []charts.ValueAxisOption{c.axis(true)}
	p := newPainter(barsBeside + barHeight*len(labels))
	if err := p.BarChart(o); err != nil {
		return "", fmt.Errorf("chart %s: %w", c.ID, err)
	}
	return c.inline(p)
}

func (c chart) inline(p *charts.Painter) (template.HTML, error) {
	drawing, err := p.Bytes()
	if err != nil {
		return "", fmt.Errorf("chart %s: %w", c.ID, err)
	}
	out, err := inlineSVG(drawing, c.ID, c.Title, c.Desc)
	if err != nil {
		return "", fmt.Errorf("chart %s: %w", c.ID, err)
	}
	return out, nil
}
