package site

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/gorilla/feeds"
)

// maxFeed is how many changes a feed has, newest first: readers ask daily, and a list that starts has thousands.
const maxFeed = 100

// feed makes one of events, newest first. up leads from the feed's folder to site/.
func (m *Model) feed(title, up, page string, events []Event) *feeds.Feed {
	events = events[:min(len(events), maxFeed)]
	f := &feeds.Feed{Title: title, Author: &feeds.Author{Name: m.Origin}, Link: &feeds.Link{Href: m.link(up, page), Rel: "alternate"},
		Updated: m.Releases[0].Timestamp}
	for _, e := range events {
		if e.Time.After(f.Updated) {
			f.Updated = e.Time
		}
		f.Items = append(f.Items, &feeds.Item{
			Id: m.tag(fmt.Sprintf("entry/%d", e.Index)), Title: e.title(), Link: &feeds.Link{Href: m.link(up, m.domainPage(e.Domain.String()))},
			Description: e.describe(m), Updated: e.Time, Created: e.Time,
		})
	}
	return f
}

// link is absolute where the mirror's address is known, else relative to the feed.
func (m *Model) link(up, page string) string {
	if m.absolute() {
		return strings.TrimSuffix(m.Address, "/") + "/site/" + page
	}
	return up + page
}

// absolute reports whether readers know the mirror by an address.
func (m *Model) absolute() bool {
	return strings.HasPrefix(m.Address, "https://") || strings.HasPrefix(m.Address, "http://")
}

// tag is a name for ever (RFC 4151), whatever mirror serves the feed.
func (m *Model) tag(what string) string {
	host, rest, _ := strings.Cut(m.Origin, "/")
	if rest != "" {
		rest += "/"
	}
	return fmt.Sprintf("tag:%s,%d:%s%s", host, m.Releases[0].Timestamp.UTC().Year(), rest, what)
}

func (e Event) title() string { return fmt.Sprintf("%s: %s", e.Domain, e.Class()) }

func (e Event) describe(m *Model) string {
	text := fmt.Sprintf("Release %d, %s.", e.Release, stamp(e.Time))
	if s := newSetting(e.Before); s != nil {
		text += fmt.Sprintf(" Before: %s, %s.", s.Mode, strings.Join(s.MXs, " "))
	}
	if s := newSetting(e.After); s != nil {
		text += fmt.Sprintf(" Now: %s, %s.", s.Mode, strings.Join(s.MXs, " "))
	}
	if c := m.Code(e.Reason); c.Summary != "" {
		return text + fmt.Sprintf(" Reason: %s (%s).", c.Summary, e.Reason)
	}
	return text + fmt.Sprintf(" Reason: %s.", e.Reason)
}

// atomFeed has both links that RFC 4287 4.1.1 asks for; the library has room for one.
type atomFeed struct {
	*feeds.AtomFeed
	Links []feeds.AtomLink
}

// atom is RFC 4287. self is where the feed is, from site/.
func (m *Model) atom(f *feeds.Feed, id, self string) ([]byte, error) {
	a := atomFeed{(&feeds.Atom{Feed: f}).AtomFeed(), nil}
	a.Id, a.Subtitle = m.tag(id), f.Description
	a.Links, a.Link = []feeds.AtomLink{*a.Link}, nil
	if m.absolute() {
		a.Links = append(a.Links, feeds.AtomLink{Href: m.link("", self), Rel: "self", Type: "application/atom+xml"})
	}
	for _, e := range a.Entries {
		if e.Summary != nil {
			e.Summary.Type = "text" // the library takes all for HTML
		}
	}
	data, err := xml.MarshalIndent(a, "", " ")
	return append(append([]byte(xml.Header), data...), '\n'), err
}

// jsonFeed is JSON Feed 1.1 (jsonfeed.org/version/1.1). self is where the feed is, from site/. Addresses in it have to be
// whole ones: without the mirror's there are none.
func (m *Model) jsonFeed(f *feeds.Feed, self string) ([]byte, error) {
	j := (&feeds.JSON{Feed: f}).JSONFeed()
	j.Author = nil // of version 1.0
	j.Language, j.Description = "en", f.Description
	if j.HomePageUrl, j.FeedUrl = "", ""; m.absolute() {
		j.HomePageUrl, j.FeedUrl = f.Link.Href, m.link("", self)
	}
	for i, item := range j.Items {
		item.ContentText, item.Summary = item.Summary, ""
		item.Author, item.Authors = nil, nil
		if !m.absolute() {
			item.Url = ""
		}
		at := f.Items[i].Updated.UTC().Truncate(time.Second)
		item.PublishedDate, item.ModifiedDate = &at, nil
	}
	items := j.Items
	if items == nil {
		items = []*feeds.JSONItem{} // required, where the library leaves an empty list out
	}
	j.Items = nil
	return indented(struct {
		*feeds.JSONFeed
		Items []*feeds.JSONItem `json:"items"`
	}{j, items})
}

// indented is JSON as people read it.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
