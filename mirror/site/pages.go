package site

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

//go:embed pages
var embedded embed.FS

// maxPages is how many domains have a page each. Beyond it one page shows any of them, from the status API: publishing
// then costs what changed, and not a file for each domain.
const maxPages = 50_000

// view is what every page's template is given; pages embed it.
type view struct {
	Title  string
	Here   string // which entry of the navigation is this page's
	Root   string // leads from the page's folder to site/, "" or ending in a slash
	Feed   string
	Origin string
	Digits int
	// PagesKind is "each" or "shards".
	PagesKind string
}

// pages renders the templates. Safe for concurrent use.
type pages struct{ sets map[string]*template.Template }

// newPages parses the templates, each page's with the layout.
func newPages(m *Model) (*pages, error) {
	layout, err := newLayout(m)
	if err != nil {
		return nil, err
	}
	p := &pages{sets: map[string]*template.Template{}}
	return p, p.parse(layout, embedded, "pages/*.html")
}

// newLayout is what all pages have in common.
func newLayout(m *Model) (*template.Template, error) {
	funcs := template.FuncMap{
		"moment": momentText, "stamp": stamp,
		"domainLink": func(up, name string) string { return up + m.domainPage(name) },
		"known":      m.known,
		"reason":     m.reason,
		"marks":      marks,
	}
	return template.New("").Funcs(funcs).ParseFS(embedded, "pages/layout.html")
}

func (p *pages) render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := p.sets[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (b *builder) view(title, here, root string) view {
	kind := "each"
	if b.large() {
		kind = "shards"
	}
	return view{Title: title, Here: here, Root: root, Origin: b.Origin, Digits: b.digits, PagesKind: kind}
}

// large reports whether domains have no pages of their own.
func (m *Model) large() bool { return len(m.Domains) > m.maxPages }

// domainPage is where a domain is shown, from site/. What stands behind # stays with the reader.
func (m *Model) domainPage(name string) string {
	if m.large() {
		return "domain/index.html#" + name
	}
	return "domain/" + name + "/index.html"
}

// known reports whether a domain was ever listed, and so has a page.
func (m *Model) known(name string) bool {
	_, ok := slices.BinarySearchFunc(m.Domains, name, func(d Domain, name string) int { return strings.Compare(d.Name.String(), name) })
	return ok
}

// reason is a code with its text.
func (m *Model) reason(code string) string {
	if c := m.Code(code); c.Summary != "" {
		return fmt.Sprintf("%s (%s)", c.Summary, code)
	}
	return code
}

// momentText is a time as people read it.
func momentText(at string) string {
	t, err := policy.ParseTime(at)
	if err != nil {
		return at
	}
	return t.Format("2 January 2006, 15:04 UTC")
}

// addPages adds all pages and what they are shown with.
func (b *builder) addPages() error {
	p, err := newPages(b.Model)
	if err != nil {
		return err
	}
	for _, name := range []string{"style.css", "site.js", "icon.svg"} {
		b.add("site/"+name, func() ([]byte, error) { return embedded.ReadFile("pages/" + name) })
	}
	b.add(homePath, func() ([]byte, error) { return p.render("root", b.view(b.Origin, "", "site/")) })
	b.add("site/index.html", func() ([]byte, error) { return p.render("home", b.home()) })
	b.add("site/log/index.html", func() ([]byte, error) { return p.render("log", b.logPage()) })
	b.addIndex(p)
	b.addChanges(p)
	b.addStatistics(p)
	b.addDomains(p)
	b.addOwnerPages(p)
	b.addUse(p)
	b.addBadges()
	b.addData(p)
	b.addIncidents(p)
	b.addCheck(p)
	return nil
}

type homePage struct {
	view
	Count   int
	Modes   map[string]int
	Newest  Release
	Changes []Change
}

func (b *builder) home() homePage {
	h := homePage{b.view("Is a domain on the list? "+b.Origin, "home", ""), b.List.Len(), b.modes, b.Newest(), nil}
	h.Feed = "changes/atom.xml"
	for _, e := range b.events[:min(len(b.events), 10)] {
		h.Changes = append(h.Changes, newChange(e))
	}
	return h
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
