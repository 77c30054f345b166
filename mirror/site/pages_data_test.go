package site

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/schema"
)

// properties are the names of all members in a schema, found by another way than the page's.
func properties(v any) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if p, ok := inner.(map[string]any); ok && key == "properties" {
				names = slices.AppendSeq(names, maps.Keys(p))
			}
			if key != "not" && key != "if" { // what must not be, or decides about another
				names = append(names, properties(inner)...)
			}
		}
	case []any:
		for _, inner := range v {
			names = append(names, properties(inner)...)
		}
	}
	return names
}

// Each member of each published schema is in the dictionary, with a description.
func TestDataHasEveryField(t *testing.T) {
	page := html.UnescapeString(rendered(t, story(t).read(Extra{}), "site/data/index.html"))
	described := map[schema.Kind]bool{}
	for _, g := range dataGroups() {
		for _, f := range g.Files {
			for _, kind := range f.kinds {
				described[kind] = true
				format, err := describe(kind)
				must(t, err)
				last := map[string]bool{}
				for _, field := range format.Fields {
					last[field.Path[strings.LastIndexByte(field.Path, '.')+1:]] = true
					if field.What == "" || field.Type == "" {
						t.Errorf("%s: %s has no description or no type: %+v", kind, field.Path, field)
					}
					if !strings.Contains(page, "<dt><code>"+field.Path+"</code></dt><dd>"+field.What+"<") {
						t.Errorf("%s: %s is not on the page", kind, field.Path)
					}
				}
				text, err := schema.Text(kind)
				must(t, err)
				var v any
				must(t, json.Unmarshal(text, &v))
				for _, name := range properties(v) {
					if !last[name] && !last[strings.TrimPrefix(name[strings.LastIndexByte(name, '.')+1:], ".")] {
						t.Errorf("%s: the page has no %s", kind, name)
					}
				}
			}
		}
	}
	for _, f := range csvFiles() {
		if f.What == "" || len(f.Columns) < 2 {
			t.Errorf("%s is not explained", f.Path)
		}
		for _, c := range f.Columns {
			if c.What == "" || !strings.Contains(page, "<dt><code>"+c.Path+"</code></dt><dd>"+c.What+"<") {
				t.Errorf("%s: the column %s is not explained on the page", f.Path, c.Path)
			}
		}
	}
	// What is written by people, or goes from a mail server to the operator, is published nowhere.
	private := []schema.Kind{schema.Settings, schema.Fragment, schema.IncidentReport, schema.OldList, schema.Findings, schema.Contribution, schema.Feedback, schema.Survey}
	for _, kind := range schema.Kinds() {
		if described[kind] == slices.Contains(private, kind) {
			t.Errorf("%s: in the dictionary: %t", kind, described[kind])
		}
	}
}

// Every object of a mirror and of its site is in the dictionary, but for pages and what they are shown with.
func TestDataHasEveryFile(t *testing.T) {
	o := whole(t)
	var patterns []*regexp.Regexp
	for _, g := range dataGroups() {
		for _, f := range g.Files {
			p := regexp.QuoteMeta(f.Path)
			patterns = append(patterns, regexp.MustCompile("^"+regexp.MustCompile(`<[a-z0-9]+>`).ReplaceAllString(p, `[a-z0-9./-]+`)+"$"))
		}
	}
	shown := regexp.MustCompile(`\.html$|^site/(style\.css|icon\.svg|[a-z]+\.js)$`)
	used := map[*regexp.Regexp]bool{}
	for _, m := range []*memory{o.mirror, fresh(t, o.read(Extra{}))} {
		for path := range m.paths() {
			i := slices.IndexFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(path) })
			if i < 0 && !shown.MatchString(path) {
				t.Errorf("%s is not in the dictionary", path)
			}
			if i >= 0 {
				used[patterns[i]] = true
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("%d lines of the dictionary name a file that there is", len(used))
	}
}
