package site

import (
	"fmt"
	"path"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

type domainPage struct {
	view
	Name           string
	Status         Status
	Meaning        string
	Reason, Source string
	Codes          []policy.Code
	Index          int64
	PendingUnknown bool
	Evidence       bool
	Verify         string
	Propose, Leave string
	Copy           bool // Verify is to be run in a copy of the mirror
}

var meanings = map[string]string{
	StatusEnforce: "Senders that use the list deliver mail for this domain only over TLS, to a server that has one of these names and a certificate for it. A name that begins with a dot stands for any one label before it.",
	StatusTesting: "Senders that use the list deliver as they always did, and can report what enforcing this would have stopped. A name that begins with a dot stands for any one label before it.",
}

func (b *builder) addDomains(p *pages) {
	if b.large() {
		b.add("site/domain/index.html", func() ([]byte, error) { return p.render("shard", b.shardPage()) })
		return
	}
	for i := range b.all {
		s := &b.all[i]
		folder := "site/domain/" + s.name
		b.add(folder+"/index.html", func() ([]byte, error) { return p.render("domain", b.domain(s)) })
		if s.domain == nil {
			continue
		}
		b.add(ProofPath(s.name), func() ([]byte, error) { return b.proof(s.domain.Last()) })
		b.add(folder+"/atom.xml", func() ([]byte, error) { return b.domainFeed(s.domain) })
	}
}

func (b *builder) domainFeed(d *Domain) ([]byte, error) {
	events := make([]Event, 0, len(d.Events))
	for i := range d.Events {
		events = append(events, d.Events[len(d.Events)-1-i])
	}
	name := d.Name.String()
	return b.atom(b.feed("Changes of "+name, "../../", b.domainPage(name), events), "domain/"+name, "domain/"+name+"/atom.xml")
}

func (b *builder) domain(s *Status) domainPage {
	d := domainPage{view: b.view(s.name+", "+b.Origin, "", "../../"), Name: s.name, Status: *s, Meaning: meanings[s.Status],
		PendingUnknown: b.Pending == nil, Copy: b.Address == ".", Evidence: b.Model.Evidence.Release > 0,
		Propose: proposeCommand(s.name), Leave: leaveRecord(s.name)}
	if s.Probe != nil {
		for _, code := range s.Probe.Codes {
			d.Codes = append(d.Codes, b.Code(code))
		}
	}
	if s.domain != nil {
		last := s.domain.Last()
		d.Feed, d.Index, d.Reason, d.Source, d.Verify = "atom.xml", last.Index, b.reason(last.Reason), sourceText(last.Source), b.verifyCommand(s.name)
	}
	return d
}

// sourceText says which state of the operator's source a release was made from; "" where it does not say, as of a source that is
// not in Git.
func sourceText(source string) string {
	kind, digest, _ := strings.Cut(source, ":")
	switch {
	case strings.Trim(digest, "0") == "":
		return ""
	case kind == "git":
		return "commit " + digest + " of the list’s source"
	case kind == "import":
		return "the import of a file with the SHA-256 " + digest
	}
	return ""
}

// proposeCommand writes an entry anew; the list's source is the folder that the other pages name, too.
func proposeCommand(name string) string { return fmt.Sprintf("starttls-list propose %s list", name) }

// fingerprint is that of the version where belief began.
func (b *builder) fingerprint() string { return fmt.Sprintf("%x", b.Trust[0].Digest()) }

// verifyCommand is run where the proof was saved; in a copy of the mirror the proof is in its place.
func (b *builder) verifyCommand(name string) string {
	file := ProofPath(name)
	if b.Address != "." {
		file = path.Base(file)
	}
	return fmt.Sprintf("starttls-list site verify %s --mirror %s --fingerprint %s", file, shellWord(b.Address), b.fingerprint())
}

// shardPage shows any domain. The script puts its name in the place of DOMAIN.
type shardPage struct {
	view
	Prove, Propose, Leave string
	Meanings              map[string]string
	PendingKnown          bool
	Evidence              bool // the mirror has some
}

func (b *builder) shardPage() shardPage {
	return shardPage{b.view("Domain, "+b.Origin, "", "../"),
		fmt.Sprintf("starttls-list site prove DOMAIN --mirror %s --fingerprint %s --out DOMAIN.tlog-proof", shellWord(b.Address), b.fingerprint()),
		proposeCommand("DOMAIN"), leaveRecord("DOMAIN"), meanings, b.Pending != nil, b.Model.Evidence.Release > 0}
}

// maxIndex is how many domains a page of the index lists; with more it leads to one page for each next letter. So a
// domain that comes or goes changes the pages on the way to it, and no others.
const maxIndex = 500

type indexPage struct {
	view
	Heading string
	Empty   bool
	Groups  []indexGroup
	Members []indexMember
}

type indexGroup struct {
	Prefix, File string
	Count        int
}

type indexMember struct{ Name, Status string }

func (b *builder) addIndex(p *pages) { b.addIndexPage(p, "index.html", "", b.all) }

func (b *builder) addIndexPage(p *pages, file, prefix string, all []Status) {
	d := indexPage{view: b.view("Domains, "+b.Origin, "domains", "../"), Heading: "Domains", Empty: len(all) == 0}
	if prefix != "" {
		d.Heading = "Domains that begin with " + prefix
	}
	for len(all) > 0 {
		name := all[0].name
		if len(b.all) <= maxIndex || len(all) <= maxIndex && d.Groups == nil && prefix != "" || name == prefix {
			d.Members, all = append(d.Members, indexMember{name, all[0].Status}), all[1:]
			continue
		}
		next := name[:len(prefix)+1]
		n := 0
		for n < len(all) && len(all[n].name) > len(prefix) && all[n].name[:len(next)] == next {
			n++
		}
		group := indexGroup{next, "p-" + next + ".html", n}
		d.Groups = append(d.Groups, group)
		b.addIndexPage(p, group.File, next, all[:n])
		all = all[n:]
	}
	b.add("site/domains/"+file, func() ([]byte, error) { return p.render("domains", d) })
}
