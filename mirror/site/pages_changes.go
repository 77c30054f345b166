package site

import "fmt"

const (
	maxRecent     = 200   // changes on the first page
	maxPerRelease = 1_000 // of one release, on any page: the log has all
)

type changesPage struct {
	view
	Heading  string
	Releases []releaseChanges
	Months   []string // newest first
}

// releaseChanges are one release's, as far as a page has room.
type releaseChanges struct {
	Number  int64
	Time    string
	Changes []Change
	More    int
}

// addChanges adds the newest changes, and a page for each month that had some: one that is over stays as it is.
func (b *builder) addChanges(p *pages) {
	first := changesPage{view: b.view("Changes, "+b.Origin, "changes", "../"), Heading: "Changes"}
	months := map[string]*changesPage{}
	for i, e := range b.events {
		month := e.Time.UTC().Format("2006-01")
		m := months[month]
		if m == nil {
			m = &changesPage{view: b.view("Changes of "+month+", "+b.Origin, "changes", "../"), Heading: "Changes of " + month}
			months[month] = m
			first.Months = append(first.Months, month)
		}
		m.take(e)
		if i < maxRecent {
			first.take(e)
		}
	}
	b.add("site/changes/pending.html", func() ([]byte, error) { return p.render("pending", b.pendingPage()) })
	first.Feed = "atom.xml"
	b.add("site/changes/index.html", func() ([]byte, error) { return p.render("changes", first) })
	for month, page := range months {
		page.Feed = "atom.xml"
		b.add(fmt.Sprintf("site/changes/%s.html", month), func() ([]byte, error) { return p.render("changes", page) })
	}
}

// take adds an event; they come newest first.
func (p *changesPage) take(e Event) {
	n := len(p.Releases)
	if n == 0 || p.Releases[n-1].Number != e.Release {
		p.Releases = append(p.Releases, releaseChanges{Number: e.Release, Time: stamp(e.Time)})
		n++
	}
	r := &p.Releases[n-1]
	if len(r.Changes) == maxPerRelease {
		r.More++
		return
	}
	r.Changes = append(r.Changes, newChange(e))
}
