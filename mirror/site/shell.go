package site

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Shell renders pages that are made when somebody asks for them, in the layout of the site that they stand beside. It is safe
// for concurrent use.
type Shell struct {
	pages   pages
	view    view
	missing []byte // on the Check page, where a site was built without an address that probes
	own     []byte // what leads from probing to one's own means, on that page
}

// maxListFile bounds api/v1/list.json, some hundred bytes.
const maxListFile = 1 << 20

// NewShell reads what the layout needs from a folder with a site, and parses templates: all *.html at its top. Each defines
// "content", to which the value given to Page is .Data.
func NewShell(root *os.Root, templates fs.FS) (*Shell, error) {
	f, err := root.Open("site/api/v1/list.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list listFile
	if err := json.NewDecoder(io.LimitReader(f, maxListFile)).Decode(&list); err != nil || list.Format != listFormat {
		return nil, fmt.Errorf("site/api/v1/list.json: not what site build writes: %v", err)
	}
	s := &Shell{pages: pages{sets: map[string]*template.Template{}}, view: view{Origin: list.Origin, Digits: list.ShardDigits, PagesKind: "each"}}
	if list.Domains > maxPages {
		s.view.PagesKind = "shards"
	}
	layout, err := newLayout(&Model{explain: policy.LookupCode, maxPages: maxPages})
	if err != nil {
		return nil, err
	}
	own := pages{sets: map[string]*template.Template{}}
	if err := errors.Join(own.parse(layout, embedded, "pages/check.html"), s.pages.parse(layout, templates, "*.html")); err != nil {
		return nil, err
	}
	if s.missing, err = own.part("check", "probing", ""); err == nil {
		s.own, err = own.part("check", "own", nil)
	}
	return s, err
}

// PutProbing puts a form in the place of the Check page's word that nobody probes here; ok is false for any other page. It also
// lets the browser say whose page the form is.
func (s *Shell) PutProbing(page, form []byte) (out []byte, ok bool) {
	if bytes.Count(page, s.missing) != 1 {
		return page, false
	}
	page = bytes.Replace(page, s.missing, slices.Concat(form, s.own), 1)
	return bytes.Replace(page, []byte(`<meta name="referrer" content="no-referrer">`), []byte(`<meta name="referrer" content="same-origin">`), 1), true
}

// Part renders one definition of the template NAME.html.
func (s *Shell) Part(name, definition string, data any) ([]byte, error) {
	return s.pages.part(name, definition, data)
}

func (p *pages) part(name, definition string, data any) ([]byte, error) {
	var b bytes.Buffer
	err := p.sets[name].ExecuteTemplate(&b, definition, data)
	return b.Bytes(), err
}

// Page renders the template NAME.html; up leads from the page's folder to site/.
func (s *Shell) Page(name, title, up string, data any) ([]byte, error) {
	v := s.view
	v.Title, v.Here, v.Root = title+", "+v.Origin, "check", up
	return s.pages.render(name, struct {
		view
		Data any
	}{v, data})
}

// CheckRepository keeps anything out of links that is no repository's address; "" passes.
func CheckRepository(address string) error { return checkRepository(address) }

// Harmless bounds a text that somebody's server sent, and replaces what no page should hold: control characters, and those
// that turn the direction of what follows. To escape it is the template's affair.
func Harmless(s string) string { return cut(s) }

// parse adds all templates that match, by their names without folder and suffix.
func (p *pages) parse(layout *template.Template, from fs.FS, pattern string) error {
	names, err := fs.Glob(from, pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		set, err := layout.Clone()
		if err == nil {
			set, err = set.ParseFS(from, name)
		}
		if err != nil {
			return err
		}
		p.sets[strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".html")] = set
	}
	return nil
}
