package policy

import "strings"

// ManagedBy says who moves an entry: the domain's MTA-STS policy, its owner by proof in DNS, or the operator.
type ManagedBy string

const (
	ManagedByMTASTS  ManagedBy = "mta-sts" // it follows what the domain publishes
	ManagedByOwner   ManagedBy = "owner"   // what counts when the entry says nothing
	ManagedByCurated ManagedBy = "curated" // testing only, until the owner takes over
)

// Fragment is one parsed file of a source. Reading one needs no other, so many may be read at once.
type Fragment struct {
	path     string
	doc      *Document // nil when the file is no JSON
	findings []Finding
	aliases  []aliasDef
	entries  []SourceEntry
	times    oldTimes // of an old list
}

// aliasDef is an alias where it is defined.
type aliasDef struct {
	name   string
	policy Policy // zero when the file gives no usable one
	place
}

// place is a position that is worked out only when somebody asks.
type place struct {
	lines *lineIndex
	at    int
}

// Position returns file, line and column.
func (p place) Position() Position { return p.lines.position(p.at) }

// SourceEntry is one domain as a source lists it.
type SourceEntry struct {
	Domain    Domain
	Alias     string // name of the alias whose policy it takes, "" when it has its own
	Policy    Policy // zero when the source gives no usable one, which a finding says
	ManagedBy ManagedBy
	Note      string
	Override  string // the maintainers' reason for a value that bots may not change, "" for none
	place
	key string // the domain as written
}

// ParseFragment reads a file that holds "policy-aliases", "policies" or both (FORMATS section 2).
func ParseFragment(f File) *Fragment {
	r, fr := openFragment(f)
	if fr.doc != nil {
		m := r.members(&fr.doc.Root, "a fragment", "policy-aliases", "policies")
		if m != nil && m["policy-aliases"] == nil && m["policies"] == nil {
			r.report("source.shape", fr.doc.Root.At, "", "a fragment holds \"policy-aliases\" or \"policies\" or both, this one neither")
		}
		r.read(m)
	}
	fr.findings = r.findings
	return fr
}

// Document returns the parsed file, nil when it is no JSON.
func (f *Fragment) Document() *Document { return f.doc }

// Findings returns what is wrong with this file by itself; NewSource repeats them.
func (f *Fragment) Findings() []Finding { return f.findings }

// fragmentReader fills a Fragment.
type fragmentReader struct {
	nodeReader
	fr    *Fragment
	known []string // the members that an entry may have
}

func openFragment(f File) (*fragmentReader, *Fragment) {
	r := &fragmentReader{
		nodeReader: openDocument(f),
		known:      []string{"mode", "mxs", "policy-alias", "managed-by", "note", "override"},
	}
	r.fr = &Fragment{path: f.Path, doc: r.doc}
	return r, r.fr
}

func (r *fragmentReader) read(m map[string]*Node) {
	if n := m["policy-aliases"]; n != nil && r.is(n, JSONObject, "policy-aliases", "") {
		r.sorted(n)
		for i := range n.Children {
			r.readAlias(&n.Children[i])
		}
	}
	if n := m["policies"]; n != nil && r.is(n, JSONObject, "policies", "") {
		r.sorted(n)
		r.fr.entries = make([]SourceEntry, 0, len(n.Children))
		for i := range n.Children {
			r.readEntry(&n.Children[i])
		}
	}
}

// sorted warns once an object, at the first name out of order (rule R45).
func (r *fragmentReader) sorted(n *Node) {
	for i := 1; i < len(n.Children); i++ {
		if before, c := &n.Children[i-1], &n.Children[i]; c.Key < before.Key {
			r.report("source.order", c.KeyAt, "", "%q should stand before %q", c.Key, before.Key)
			return
		}
	}
}

func (r *fragmentReader) place(at int) place { return place{r.doc.lines, at} }

// body sorts the members of an entry or an alias; ok is false when n is no object.
func (r *fragmentReader) body(n *Node, where, domain string) (b body, ok bool) {
	if !r.is(n, JSONObject, where, domain) {
		return body{}, false
	}
	b.at = n
	for i := range n.Children {
		c := &n.Children[i]
		switch c.Key {
		case "mode":
			b.mode = c
			continue
		case "mxs":
			b.mxs = c
			continue
		case "policy-alias":
			b.alias = c
			continue
		}
		switch {
		case len(r.known) > 3 && c.Key == "managed-by":
			b.managed = c
		case len(r.known) > 3 && c.Key == "note":
			b.note = c
		case len(r.known) > 3 && c.Key == "override":
			b.override = c
		default:
			r.stray(c, where, domain, r.known)
		}
	}
	return b, true
}

// shortName reports whether s is 1 to 32 characters of a-z, 0-9 and hyphen, as names of aliases (rule R16) and of
// vantages are.
func shortName(s string) bool {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	return s != "" && len(s) <= 32 && strings.IndexFunc(s, odd) < 0
}

func (r *fragmentReader) readAlias(n *Node) {
	def := aliasDef{name: n.Key, place: r.place(n.KeyAt)}
	if !shortName(n.Key) {
		r.report("alias.name", n.KeyAt, "", "%q is not 1 to 32 characters of a-z, 0-9 and hyphen", n.Key)
	}
	b, ok := r.body(n, "an alias", "")
	if !ok {
		r.fr.aliases = append(r.fr.aliases, def)
		return
	}
	if b.alias != nil {
		r.report("alias.nested", b.alias.KeyAt, "", "the alias %q refers to another alias", n.Key)
	}
	for _, c := range []*Node{b.managed, b.override} {
		if c != nil {
			r.report("source.unknown-key", c.KeyAt, "", "an alias has no %q; say it in the entries that use it", c.Key)
		}
	}
	r.note(b, "")
	if b.alias == nil || b.mode != nil || b.mxs != nil {
		def.policy, _ = r.policy(b, "")
	}
	r.fr.aliases = append(r.fr.aliases, def)
}

func (r *fragmentReader) readEntry(n *Node) {
	e := SourceEntry{Domain: r.domain(n), ManagedBy: ManagedByOwner, place: r.place(n.KeyAt), key: n.Key}
	name := e.Domain.name
	if e.Domain.IsZero() {
		name = n.Key
	}
	b, ok := r.body(n, "an entry", name)
	if !ok {
		return
	}
	if b.managed != nil {
		e.ManagedBy = r.managedBy(b.managed, name)
	}
	e.Note = r.note(b, name)
	if b.override != nil {
		if e.Override = r.text(b.override, "override", name); b.override.Kind == JSONString && strings.TrimSpace(e.Override) == "" {
			r.report("override.empty", b.override.At, name, "the override has no reason")
		}
	}
	switch own := b.mode != nil || b.mxs != nil; {
	case b.alias != nil && own:
		r.report("entry.alias-and-policy", b.alias.KeyAt, name, "the entry has \"policy-alias\" and also %s", ownKeys(b))
	case b.alias != nil:
		e.Alias = r.text(b.alias, "policy-alias", name)
		if e.Alias == "" && b.alias.Kind == JSONString {
			r.report("alias.unknown", b.alias.At, name, "the name of the alias is empty")
		}
	default:
		if e.Policy, ok = r.policy(b, name); ok && !e.Domain.IsZero() {
			r.foreign(n, e.Domain, e.Policy, b.mxs)
		}
	}
	if !e.Domain.IsZero() {
		r.fr.entries = append(r.fr.entries, e)
	}
}

func ownKeys(b body) string {
	switch {
	case b.mode == nil:
		return `"mxs"`
	case b.mxs == nil:
		return `"mode"`
	}
	return `"mode" and "mxs"`
}

func (r *fragmentReader) managedBy(n *Node, domain string) ManagedBy {
	switch m := ManagedBy(r.text(n, "managed-by", domain)); m {
	case ManagedByMTASTS, ManagedByOwner, ManagedByCurated:
		return m
	default:
		if n.Kind == JSONString {
			r.report("entry.managed-by", n.At, domain, "managed-by is %q", n.Text)
		}
		return ManagedByOwner
	}
}

func (r *fragmentReader) note(b body, domain string) string {
	if b.note == nil {
		return ""
	}
	text := r.text(b.note, "note", domain)
	if holdsAddress(text) {
		r.report("note.email", b.note.At, domain, "the note holds an @ between words")
	}
	return text
}

// holdsAddress reports whether a text seems to have somebody's e-mail address (rule R40).
func holdsAddress(text string) bool {
	local, host, at := strings.Cut(text, "@")
	return at && local != "" && !strings.HasSuffix(local, " ") && strings.Contains(host, ".")
}

// Forget lets go of the parsed document; entries and findings stay. A source of a million domains would hold several
// times its own size otherwise.
func (f *Fragment) Forget() { f.doc = nil }
