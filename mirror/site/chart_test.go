package site

import (
	"bytes"
	"encoding/csv"
	"errors"
	"html/template"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Whatever a label says, a drawing has no other element and no attribute by which a page could be taken over.
func TestChartsOfHostileNames(t *testing.T) {
	c := chart{ID: "x", Title: `<script>alert(1)</script>`, Desc: `"><img src=x onerror=alert(1)>`,
		Labels: []string{`<script>alert(1)</script>`, `" onload="alert(1)`, "]]>", "a\x00b\u202e", strings.Repeat("w", 300)}}
	s := series{Name: "<b>"}
	for i := range c.Labels {
		s.Values = append(s.Values, math.Pow(10, float64(i)))
	}
	c.Series = []series{s, {Name: "</text>", Values: s.Values}}
	for name, draw := range map[string]func() (string, error){
		"lines": func() (string, error) { out, err := c.lines(); return string(out), err },
		"bars":  func() (string, error) { out, err := c.bars(); return string(out), err },
	} {
		out, err := draw()
		must(t, err)
		doc, err := html.Parse(strings.NewReader(out))
		must(t, err)
		n := 0
		walk(doc, func(e *html.Node) {
			n++
			if !slices.Contains(strings.Fields("html head body svg title desc path circle text"), e.Data) {
				t.Errorf("%s: an element %s", name, e.Data)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" {
					t.Errorf("%s: %s=%q", name, a.Key, a.Val)
				}
			}
		})
		if n < 20 || !strings.Contains(out, `viewBox="0 0 320 `) || !strings.Contains(out, "&lt;script&gt;") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// A drawing with anything that no chart of ours has is no drawing.
func TestDrawingThatIsNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"not closed":          `<svg viewBox="0 0 1 1">`,
		"no box":              `<svg></svg>`,
		"another root":        `<g></g>`,
		"a script":            `<svg viewBox="0 0 1 1"><script>alert(1)</script></svg>`,
		"a drawing in it":     `<svg viewBox="0 0 1 1"><svg viewBox="0 0 1 1"></svg></svg>`,
		"a link":              `<svg viewBox="0 0 1 1"><a href="x"></a></svg>`,
		"an event":            `<svg viewBox="0 0 1 1"><path onload="alert(1)" d="M 0 0"/></svg>`,
		"a path of markup":    `<svg viewBox="0 0 1 1"><path d="&quot;&gt;"/></svg>`,
		"an unknown colour":   `<svg viewBox="0 0 1 1"><path d="M 0 0" style="fill:red"/></svg>`,
		"an unknown property": `<svg viewBox="0 0 1 1"><path d="M 0 0" style="background:url(x)"/></svg>`,
		"a size of markup":    `<svg viewBox="0 0 1 1"><path d="M 0 0" style="font-size:&quot;"/></svg>`,
		"an instruction":      `<?xml version="1.0"?><svg viewBox="0 0 1 1"></svg>`,
		"a comment":           `<svg viewBox="0 0 1 1"><!-- --></svg>`,
	} {
		if out, err := inlineSVG([]byte(text), "x", "t", "d"); !errors.Is(err, errSVG) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
	out, err := inlineSVG([]byte(`<svg viewBox="0 0 1 1"><text x="1" y="2" style="stroke:none;fill:rgb(0,0,1);font-size:11px;font-family:'R'">a&lt;b</text></svg>`), "x", "t", "d")
	if want := `<text x="1" y="2" font-size="11" class="no-stroke fill-ink">a&lt;b</text>`; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s", err, out)
	}
}

// Every class that a drawing can have is in the style sheet.
func TestPaintsHaveStyles(t *testing.T) {
	css, err := embedded.ReadFile("pages/style.css")
	must(t, err)
	used := map[string]bool{}
	for _, c := range []chart{sizeChart([]dayCount{{"2026-03-01", 1, 2}}), sizeChart([]dayCount{{"2026-03-01", 1, 2}, {"2026-03-04", 5, 2}})} {
		out, err := c.lines()
		must(t, err)
		bars, err := c.bars()
		must(t, err)
		doc, err := html.Parse(strings.NewReader(string(out + bars)))
		must(t, err)
		walk(doc, func(n *html.Node) {
			for _, class := range strings.Fields(attribute(n, "class")) {
				used[class] = true
			}
		})
	}
	for class := range used {
		if class != "chart" && !strings.Contains(string(css), ".chart ."+class+" {") {
			t.Errorf("no style for %s", class)
		}
	}
	for _, paint := range paints {
		if strings.HasPrefix(paint, "s") && (!strings.Contains(string(css), ".fill-"+paint+" {") || !strings.Contains(string(css), ".stroke-"+paint+" {")) {
			t.Errorf("no style for %s", paint)
		}
	}
}

func TestAxes(t *testing.T) {
	for top, want := range map[float64]float64{0: 1, 1: 1, 3: 4 - 1, 4: 4, 5: 6, 9: 10, 17: 20, 926: 1000, 100_000: 100_000, 1_000_001: 1_500_000} {
		c := chart{Labels: []string{"a"}, Series: []series{{Values: []float64{top}}}}
		if got := *c.axis(false).Max; got != want {
			t.Errorf("%v: the axis ends at %v, want %v", top, got, want)
		}
	}
	if got := spread([]string{"1", "2", "3", "4", "5", "6", "7"}, 4); !reflect.DeepEqual(got, []string{"1", "", "3", "", "5", "", "7"}) {
		t.Errorf("got %q", got)
	}
}

// No label makes a drawing that a browser reads as anything but a drawing.
func FuzzChart(f *testing.F) {
	f.Add("a.example", 3.0)
	f.Add("</text><script>", 0.0)
	f.Add("]]><!--", 1e18)
	f.Fuzz(func(t *testing.T, label string, value float64) {
		if math.IsNaN(value) || value < 0 || value > 1e15 {
			return // counts are none of these
		}
		c := chart{ID: "x", Title: label, Desc: label, Labels: []string{label, "b"}, Series: []series{{label, []float64{value, 1}}, {"s", []float64{1, 2}}}}
		for _, draw := range []func() (template.HTML, error){c.lines, c.bars} {
			out, err := draw()
			if err != nil {
				t.Fatal(err)
			}
			doc, err := html.Parse(strings.NewReader(string(out)))
			must(t, err)
			walk(doc, func(e *html.Node) {
				if !slices.Contains(strings.Fields("html head body svg title desc path circle text"), e.Data) {
					t.Errorf("an element %s", e.Data)
				}
			})
		}
	})
}

// No cell that is read again begins a formula.
func FuzzCSV(f *testing.F) {
	f.Add("=1")
	f.Add("a\rb")
	f.Add(",\"\n@")
	f.Fuzz(func(t *testing.T, cell string) {
		tb := table{columns: []string{"name", "n"}}
		tb.add(cell, 1)
		data, err := tb.csv()
		must(t, err)
		rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 2 || rows[1][1] != "1" || strings.IndexAny(rows[1][0], "=+-@\t\r\n") == 0 {
			t.Errorf("%q: %q, %v", cell, rows, err)
		}
	})
}
