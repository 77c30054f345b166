package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/feeds"

	"github.com/starttls-everywhere/policylist/policy"
)

// weakens reports whether a change asks less of senders than before: the owner should know of it before it is made. It may
// be the owner's own wish, a fault of the mail servers, or somebody who got hold of the domain's DNS.
func (h Held) weakens() bool {
	for _, class := range strings.Split(h.Class, "+") {
		switch class {
		case policy.Weakened.String(), policy.Removed.String(), policy.MXsWidened.String(), policy.MXsReplaced.String():
			return true
		}
	}
	return false
}

// when is the earliest time at which the change can be made, as a sentence.
func (h Held) when() string {
	if h.Until == "" {
		return "Each release looks at it again."
	}
	return fmt.Sprintf("Not before %s.", h.Until)
}

// weakenings are what is about to be weakened, removed or given other names: the newest first, those of which nobody knows
// since when behind them.
func (p *Pending) weakenings() []Held {
	if p == nil {
		return nil
	}
	var out []Held
	for _, h := range p.Held {
		if h.weakens() {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b Held) int { return strings.Compare(b.Since, a.Since) }) // RFC 3339 in UTC sorts as text
	return out
}

// addPending adds what tells of changes that are held: all of them for programs, and a feed of those that weaken.
func (b *builder) addPending() {
	m := b.Model
	b.add("site/api/v1/pending.json", func() ([]byte, error) { return indented(b.pendingFile()) })
	b.add("site/changes/pending.xml", func() ([]byte, error) {
		return m.atom(m.pendingFeed(), "pending", "changes/pending.xml")
	})
	b.add("site/changes/pending.json", func() ([]byte, error) { return m.jsonFeed(m.pendingFeed(), "changes/pending.json") })
}

// pendingFeed is the feed of weakenings. An entry goes when the change is made, which the other feed tells, or given up.
// Its name is that of the same change being held since the same time: where it begins anew, it is another.
func (m *Model) pendingFeed() *feeds.Feed {
	f := m.feed("About to be weakened: "+m.Origin, "../", "changes/pending.html", nil)
	f.Description = "Changes of entries that ask less of senders than before, while the operator’s gate holds them."
	if m.Pending == nil {
		f.Description += " What is held is not told here yet."
	}
	held := m.Pending.weakenings()
	for _, h := range held[:min(len(held), maxFeed)] {
		at := m.heldSince(h)
		if at.After(f.Updated) {
			f.Updated = at
		}
		f.Items = append(f.Items, &feeds.Item{
			Id: m.tag(fmt.Sprintf("held/%s/%s/%s", h.Domain, strings.ReplaceAll(h.Class, "+", "/"), h.Since)), Title: fmt.Sprintf("%s: may be %s", h.Domain, h.Class),
			Link: &feeds.Link{Href: m.link("../", m.domainPage(h.Domain))}, Description: h.describe(), Updated: at, Created: at,
		})
	}
	return f
}

// heldSince is when an entry of the feed is from. Where the gate cannot tell, it is when the domain last changed, and not
// now, which would be another time at each build.
func (m *Model) heldSince(h Held) time.Time {
	if t, err := policy.ParseTime(h.Since); err == nil {
		return t
	}
	at, ok := slices.BinarySearchFunc(m.Domains, h.Domain, func(d Domain, name string) int { return strings.Compare(d.Name.String(), name) })
	if ok {
		return m.Domains[at].Last().Time
	}
	return m.Releases[0].Timestamp
}

func (h Held) describe() string {
	text := h.when()
	for _, f := range h.Findings {
		text += fmt.Sprintf(" %s: %s.", f.Code, strings.TrimSuffix(f.Summary, "."))
		if f.Fix != "" {
			text += fmt.Sprintf(" What to do: %s.", strings.TrimSuffix(f.Fix, "."))
		}
	}
	return text
}

const pendingFormat = "status-pending/1"

// pendingFile is api/v1/pending.json: schema/status-pending.schema.json.
type pendingFile struct {
	Format string `json:"format"`
	State  string `json:"state"` // "known" or "not yet"
	Held   []Held `json:"held"`  // by domain
}

func (b *builder) pendingFile() pendingFile {
	if b.Pending == nil {
		return pendingFile{pendingFormat, "not yet", []Held{}}
	}
	return pendingFile{pendingFormat, "known", append([]Held{}, b.Pending.Held...)}
}

// pendingPage lists what is held.
type pendingPage struct {
	view
	Known  bool
	Groups []heldGroup
}

type heldGroup struct {
	Heading, Note string
	Held          []Held
	More          int
}

// maxHeld is how many held changes of a kind the page shows: an import holds thousands, and pending.json has all.
const maxHeld = 500

func (b *builder) pendingPage() pendingPage {
	p := pendingPage{view: b.view("Held changes, "+b.Origin, "changes", "../"), Known: b.Pending != nil}
	p.Feed = "pending.xml"
	if !p.Known {
		return p
	}
	weak := heldGroup{Heading: "About to be weakened or removed", Held: b.Pending.weakenings(),
		Note: "These ask less of senders than the entry does now. Whoever runs such a domain and does not know why should look at its DNS first."}
	others := heldGroup{Heading: "Others"}
	for _, h := range b.Pending.Held {
		if !h.weakens() {
			others.Held = append(others.Held, h)
		}
	}
	for _, g := range []heldGroup{weak, others} {
		g.More = len(g.Held) - min(len(g.Held), maxHeld)
		g.Held = g.Held[:len(g.Held)-g.More]
		p.Groups = append(p.Groups, g)
	}
	return p
}
