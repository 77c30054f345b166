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
	if strings.HasPrefix(m.Address, "https://") || strings.HasPrefix(m.Address, "http://") {
		return strings.TrimSuffix(m.Address, "/") + "/site/" + page
	}
	return up + page
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

// atom is RFC 4287.
func (m *Model) atom(f *feeds.Feed, id string) ([]byte, error) {
	a := (&feeds.Atom{Feed: f}).AtomFeed()
	a.Id = m.tag(id)
	for _, e := range a.Entries {
		if e.Summary != nil {
			e.Summary.Type = "text" // the library takes all for HTML
		}
	}
	data, err := xml.MarshalIndent(a, "", " ")
	return append(append([]byte(xml.Header), data...), '\n'), err
}

// jsonFeed is JSON Feed 1.1 (jsonfeed.org/version/1.1).
func (m *Model) jsonFeed(f *feeds.Feed) ([]byte, error) {
	j := (&feeds.JSON{Feed: f}).JSONFeed()
	j.Author = nil // of version 1.0
	if !strings.Contains(j.HomePageUrl, "://") {
		j.HomePageUrl = ""
	}
	for i, item := range j.Items {
		item.ContentText, item.Summary = item.Summary, ""
		item.Author, item.Authors = nil, nil
		if !strings.Contains(item.Url, "://") {
			item.Url = "" // the format has no relative ones
		}
		at := f.Items[i].Updated.UTC().Truncate(time.Second)
		item.PublishedDate, item.ModifiedDate = &at, nil
	}
	return indented(j)
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
