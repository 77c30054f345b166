package site

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// golden compares with a file in testdata, or writes it.
func golden(t testing.TB, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if string(want) != string(got) {
		t.Errorf("%s is\n%s\nand should be\n%s", name, got, want)
	}
}

func TestBadges(t *testing.T) {
	sink := fresh(t, whole(t).read(Extra{Pending: []byte(held)}))
	for _, b := range badges() {
		golden(t, "badge/"+b.State+".svg", sink.objects["site/badge/"+b.State+".svg"])
	}
	golden(t, "badge/wait.example.svg", sink.objects["site/domain/wait.example/badge.svg"])
	for domain, state := range map[string]string{"wait.example": "held", "xn--bcher-kva.example": "enforce", "a.example": ""} {
		svg := string(sink.objects["site/domain/"+domain+"/badge.svg"])
		if !strings.Contains(svg, `<title>`+domain+": ") || !strings.Contains(svg, ">"+state) {
			t.Errorf("%s: %s", domain, svg)
		}
	}
}

// A badge is well-formed, loads nothing and runs nothing, whatever is in its title.
func TestBadgeIsHarmless(t *testing.T) {
	for _, b := range badges() {
		svg := b.svg(`</title><script xlink:href="https://x.example">&`)
		d := xml.NewDecoder(strings.NewReader(string(svg)))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			must(t, err)
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			if !strings.Contains(" svg title rect path g text ", " "+e.Name.Local+" ") {
				t.Errorf("%s has an element %s", b.State, e.Name.Local)
			}
			for _, a := range e.Attr {
				if a.Name.Local == "href" || a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "url(") {
					t.Errorf("%s has %s=%q", b.State, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// contrast is the ratio of WCAG 2.2, of two colours written as #rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	light := func(c string) float64 {
		var l float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(c[1+2*i:3+2*i], 16, 8)
			must(t, err)
			v := float64(n) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			l += weight * v
		}
		return l + 0.05
	}
	x, y := light(a), light(b)
	return max(x, y) / min(x, y)
}

// Letters are read on the badge's own colours (WCAG 2.2, 1.4.3), and its outline is seen on light pages and on dark ones (1.4.11).
func TestBadgeContrast(t *testing.T) {
	for _, b := range badges() {
		for _, ground := range []string{b.colour, badgeLeft} {
			if c := contrast(t, ground, badgeText); c < 4.5 {
				t.Errorf("%s: letters have %.1f on %s", b.State, c, ground)
			}
		}
	}
	css, err := embedded.ReadFile("pages/style.css")
	must(t, err)
	for _, paper := range []string{"#ffffff", "#14181b", "#000000"} {
		if c := contrast(t, badgeLine, paper); c < 3 {
			t.Errorf("the outline has %.1f on %s", c, paper)
		}
	}
	if !strings.Contains(string(css), "--paper: #14181b") {
		t.Error("the dark pages have another colour")
	}
}

// Lists that have no pages for domains have badges for states only; a domain's badge is written when its state changes, and
// not else.
func TestBadgesAreWrittenWithTheirDomains(t *testing.T) {
	o := whole(t)
	m := o.read(Extra{})
	m.maxPages = 1
	n := 0
	for p := range fresh(t, m).paths() {
		if strings.HasSuffix(p, "badge.svg") {
			t.Errorf("%s in a large list", p)
		}
		if strings.HasPrefix(p, "site/badge/") {
			n++
		}
	}
	if n != len(badges()) {
		t.Errorf("%d badges", n)
	}
	sink := fresh(t, o.read(Extra{}))
	o.publish(set("a.example", policy.Enforce, "mx7.a.example"))
	build(t, o.read(Extra{}), sink)
	if sink.put["site/domain/a.example/index.html"] != 1 {
		t.Error("the domain did not change")
	}
	for p := range sink.put {
		if regexp.MustCompile(`domain/[^a][^/]*/badge`).MatchString(p) {
			t.Errorf("%s was written", p)
		}
	}
	if fmt.Sprint(badgeOf("nonsense")) != fmt.Sprint(badge{}, false) {
		t.Error("a badge of nothing")
	}
}
