package site

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
)

// errSVG means that the chart library wrote something that no page of ours may have.
var errSVG = errors.New("not a drawing for a page")

// paints names the colours that charts are drawn with; the style sheet gives them one look by day and one by night. Their
// values are marks that nobody sees.
var paints = map[string]string{
	"rgb(0,0,1)": "ink", "rgb(0,0,2)": "axis", "rgb(0,0,3)": "grid", "rgb(0,0,4)": "paper",
	"rgb(1,0,0)": "s1", "rgb(2,0,0)": "s2", "rgb(3,0,0)": "s3", "rgb(4,0,0)": "s4", "rgb(5,0,0)": "s5", "rgb(6,0,0)": "s6",
}

// drawn are the elements of a drawing, with the attributes that each may have besides style.
var drawn = map[string][]string{
	"svg": {"viewBox"}, "path": {"d", "stroke-dasharray"}, "circle": {"cx", "cy", "r", "stroke-dasharray"}, "text": {"x", "y", "transform"},
}

// geometry is what such attributes hold: numbers, letters of paths, and what stands between them.
var geometry = regexp.MustCompile(`^[A-Za-z0-9.,()\s-]*$`)

// inlineSVG writes a drawing of the chart library again, with what a page allows: the elements and attributes of drawn and
// no others, classes for colours, since a style attribute would need a Content-Security-Policy that allows it, and a title
// and a description for those who cannot see it. id is the page's name for the chart.
func inlineSVG(drawing []byte, id, title, desc string) (template.HTML, error) {
	d := xml.NewDecoder(strings.NewReader(string(drawing)))
	var b strings.Builder
	depth := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSVG, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if (depth == 0) != (t.Name.Local == "svg") {
				return "", fmt.Errorf("%w: element %s in depth %d", errSVG, t.Name.Local, depth)
			}
			if depth++; depth == 1 {
				err = openSVG(&b, t, id, title, desc)
			} else {
				err = openShape(&b, t)
			}
		case xml.EndElement:
			depth--
			fmt.Fprintf(&b, "</%s>\n", t.Name.Local)
		case xml.CharData:
			b.WriteString(html.EscapeString(string(t)))
		default:
			err = fmt.Errorf("%w: a %T", errSVG, t)
		}
		if err != nil {
			return "", err
		}
	}
	if depth != 0 || b.Len() == 0 {
		return "", fmt.Errorf("%w: it does not end", errSVG)
	}
	return template.HTML(b.String()), nil
}

func openSVG(b *strings.Builder, e xml.StartElement, id, title, desc string) error {
	for _, a := range e.Attr {
		if a.Name.Local == "viewBox" && geometry.MatchString(a.Value) {
			fmt.Fprintf(b, `<svg class="chart" viewBox="%s" role="img" aria-labelledby="%[2]s-title %[2]s-desc"><title id="%[2]s-title">%[3]s</title><desc id="%[2]s-desc">%[4]s</desc>`+"\n",
				a.Value, html.EscapeString(id), html.EscapeString(title), html.EscapeString(desc))
			return nil
		}
	}
	return fmt.Errorf("%w: it has no viewBox", errSVG)
}

func openShape(b *strings.Builder, e xml.StartElement) error {
	allowed, ok := drawn[e.Name.Local]
	if !ok {
		return fmt.Errorf("%w: element %s", errSVG, e.Name.Local)
	}
	fmt.Fprintf(b, "<%s", e.Name.Local)
	for _, a := range e.Attr {
		switch {
		case a.Name.Local == "style":
			if err := writeStyle(b, a.Value); err != nil {
				return err
			}
		case slices.Contains(allowed, a.Name.Local) && geometry.MatchString(a.Value):
			fmt.Fprintf(b, ` %s="%s"`, a.Name.Local, strings.ReplaceAll(a.Value, "\n", " "))
		default:
			return fmt.Errorf("%w: attribute %s=%q of %s", errSVG, a.Name.Local, a.Value, e.Name.Local)
		}
	}
	b.WriteString(">")
	return nil
}

// writeStyle turns a style into a class for what is painted, and attributes for sizes.
func writeStyle(b *strings.Builder, style string) error {
	var classes []string
	for property := range strings.SplitSeq(style, ";") {
		name, value, _ := strings.Cut(property, ":")
		switch name {
		case "stroke", "fill":
			if value == "none" {
				classes = append(classes, "no-"+name)
				continue
			}
			paint, ok := paints[value]
			if !ok {
				return fmt.Errorf("%w: colour %q", errSVG, value)
			}
			classes = append(classes, name+"-"+paint)
		case "stroke-width", "font-size":
			if !geometry.MatchString(value) {
				return fmt.Errorf("%w: %s %q", errSVG, name, value)
			}
			fmt.Fprintf(b, ` %s="%s"`, name, strings.TrimSuffix(value, "px"))
		case "font-family": // the page's own
		default:
			return fmt.Errorf("%w: style %q", errSVG, property)
		}
	}
	fmt.Fprintf(b, ` class="%s"`, strings.Join(classes, " "))
	return nil
}
