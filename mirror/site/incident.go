package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gorilla/feeds"

	"github.com/starttls-everywhere/policylist/policy"
)

// incidentsPage tells what went wrong, newest first.
type incidentsPage struct {
	view
	Known     bool // somebody said what there was
	Incidents []incidentView
}

type incidentView struct {
	ID, Title    string
	Began, Ended string // RFC 3339; Ended is "" while it goes on
	Text         []string
	Domains      []string
	Releases     []int64
}

// parseIncidents reads the operator's files; nil gives nil. One that check would not pass is refused: the site stays as it
// was rather than tell half.
func parseIncidents(files []policy.File) ([]policy.Incident, error) {
	if files == nil {
		return nil, nil
	}
	out := []policy.Incident{}
	seen := map[string]bool{}
	for _, f := range files {
		i, findings := policy.ParseIncident(f)
		for _, found := range findings {
			if found.Severity == policy.Error {
				return nil, fmt.Errorf("%w: %s: %s (%s)", ErrExtra, found.Position, found.Summary, found.Code)
			}
		}
		if seen[i.ID] {
			return nil, fmt.Errorf("%w: there are two incidents %s", ErrExtra, i.ID)
		}
		seen[i.ID] = true
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b policy.Incident) int {
		if c := b.Began.Compare(a.Began); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

func (b *builder) addIncidents(p *pages) {
	page := b.incidentsPage()
	b.add("site/incidents/index.html", func() ([]byte, error) { return p.render("incidents", page) })
	if page.Known {
		b.add("site/incidents/atom.xml", func() ([]byte, error) { return b.incidentFeed() })
	}
}

func (b *builder) incidentsPage() incidentsPage {
	p := incidentsPage{view: b.view("Incidents, "+b.Origin, "incidents", "../"), Known: b.incidents != nil}
	if p.Known {
		p.Feed = "atom.xml"
	}
	for _, i := range b.incidents {
		v := incidentView{ID: i.ID, Title: i.Title, Began: stamp(i.Began), Text: i.Text, Releases: i.Releases}
		if !i.Ended.IsZero() {
			v.Ended = stamp(i.Ended)
		}
		for _, d := range i.Domains {
			v.Domains = append(v.Domains, d.String())
		}
		p.Incidents = append(p.Incidents, v)
	}
	return p
}

// incidentFeed has them all: there are not many, or nobody would follow the list.
func (b *builder) incidentFeed() ([]byte, error) {
	f := &feeds.Feed{Title: "Incidents of " + b.Origin, Author: &feeds.Author{Name: b.Origin}, Updated: b.Releases[0].Timestamp,
		Link: &feeds.Link{Href: b.link("../", "incidents/index.html"), Rel: "alternate"}}
	for _, i := range b.incidents[:min(len(b.incidents), maxFeed)] {
		at, state := i.Began, "It goes on."
		if !i.Ended.IsZero() {
			at, state = i.Ended, "It ended at "+stamp(i.Ended)+"."
		}
		if at.After(f.Updated) {
			f.Updated = at
		}
		f.Items = append(f.Items, &feeds.Item{Id: b.tag("incident/" + i.ID), Title: i.Title, Updated: at, Created: i.Began,
			Link:        &feeds.Link{Href: b.link("../", "incidents/index.html#i-"+i.ID)},
			Description: strings.Join(append(slices.Clone(i.Text), "It began at "+stamp(i.Began)+".", state), "\n\n")})
	}
	return b.atom(f, "incidents", "incidents/atom.xml")
}
