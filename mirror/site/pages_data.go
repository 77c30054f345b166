package site

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// dataPage is the dictionary of what is published. Nothing in it is from a release.
type dataPage struct {
	view
	Groups []dataGroup
}

type dataGroup struct {
	Title string
	Files []dataFile
}

// dataFile is a file, or many whose names have a part in angle brackets.
type dataFile struct {
	Path    string // from the mirror's root
	What    string
	kinds   []schema.Kind
	Formats []dataFormat
	Columns []field // of a table
}

// dataFormat is a schema in words.
type dataFormat struct {
	Kind, Title, What string
	Fields            []field
}

// field is a member of a format, with the words that its schema has for it.
type field struct {
	Path     string // "domains.<name>.history[].op"
	Type     string
	Optional bool
	What     string
}

// dataGroups are all files, but for the pages and what they are shown with.
func dataGroups() []dataGroup {
	return []dataGroup{
		{"The list", []dataFile{
			{Path: "policy.json", What: "the list, one domain a line", kinds: []schema.Kind{schema.List}},
			{Path: "policy.json.asc", What: "OpenPGP signature over policy.json, for other people's tools"},
			{Path: "policy.json.sigstore.json", What: "Sigstore bundle over policy.json, for other people's tools"},
			{Path: "policy.json.keyless.sigstore.json", What: "Sigstore bundle by an identity in place of a key, where the operator makes one"},
			{Path: "list/<sha256>.zst", What: "the list of a release, compressed by zstd"},
			{Path: "list/<sha256>.asc", What: "its OpenPGP signature"},
		}},
		{"The log", []dataFile{
			{Path: "policy.json.tlog-proof", What: "proof of the newest release (C2SP tlog-proof): clients begin here"},
			{Path: "checkpoint", What: "the same checkpoint, for tools that read logs (C2SP tlog-checkpoint)"},
			{Path: "tile/<level>/<number>", What: "hashes of the log (C2SP tlog-tiles)"},
			{Path: "tile/entries/<number>", What: "entries of the log, 256 in each full bundle, each one of these", kinds: []schema.Kind{schema.ChangeLeaf, schema.TrustLeaf, schema.ReleaseLeaf}},
			{Path: "release/<number>.tlog-proof", What: "proof of a release, made when it was the newest"},
			{Path: "trust/<version>", What: "whose signatures count (C2SP signed-note)"},
		}},
		{"Evidence", []dataFile{
			{Path: "evidence/<sha256>.jsonl.zst", What: "what the vantages saw, one line a domain, compressed by zstd; the release leaf has its digest", kinds: []schema.Kind{
				schema.EvidenceHeader, schema.EvidenceDomain, schema.EvidenceSignature, schema.EvidenceMerged, schema.EvidenceMergedDomain, schema.EvidenceMergedEnd, schema.EvidenceFeedback}},
		}},
		{"Status API", []dataFile{
			{Path: "site/api/v1/list.json", What: "which release the API is about, and how its shards are named", kinds: []schema.Kind{schema.StatusList}},
			{Path: "site/api/v1/domain/<digits>.json", What: "domains, by the first hex digits of the name's SHA-256", kinds: []schema.Kind{schema.Status}},
			{Path: "site/api/v1/codes.json", What: "texts of the codes that occur", kinds: []schema.Kind{schema.StatusCodes}},
			{Path: "site/api/v1/pending.json", What: "all changes that are held", kinds: []schema.Kind{schema.StatusPending}},
		}},
		{"Changes", []dataFile{
			{Path: "site/changes/changes.jsonl", What: "the newest 10,000 changes, one a line", kinds: []schema.Kind{schema.StatusChange}},
			{Path: "site/changes/atom.xml", What: "the newest changes as an Atom feed (RFC 4287)"},
			{Path: "site/changes/feed.json", What: "the same as a JSON Feed (version 1.1)", kinds: []schema.Kind{schema.JSONFeed}},
			{Path: "site/changes/pending.xml", What: "what is about to be weakened or removed, as an Atom feed"},
			{Path: "site/changes/pending.json", What: "the same as a JSON Feed"},
			{Path: "site/domain/<domain>/atom.xml", What: "changes of one domain"},
			{Path: "site/domain/<domain>/<domain>.tlog-proof", What: "proof of its newest change (C2SP tlog-proof)"},
		}},
		{"Incidents", []dataFile{
			{Path: "site/incidents/atom.xml", What: "what went wrong, as an Atom feed, where the operator tells it"},
		}},
		{"Statistics", csvFiles()},
		{"Pictures", []dataFile{
			{Path: "site/badge/<state>.svg", What: "badge of a state"},
			{Path: "site/domain/<domain>/badge.svg", What: "badge of one domain, where domains have pages of their own"},
		}},
		{"The site itself", []dataFile{
			{Path: "site/manifest.json", What: "SHA-256 of every object of the site, for the next build of it", kinds: []schema.Kind{schema.SiteManifest}},
		}},
	}
}

func (b *builder) addData(p *pages) {
	b.add("site/data/index.html", func() ([]byte, error) {
		d, err := b.data()
		if err != nil {
			return nil, err
		}
		return p.render("data", d)
	})
}

func (b *builder) data() (dataPage, error) {
	d := dataPage{b.view("Data, "+b.Origin, "data", "../"), dataGroups()}
	for _, g := range d.Groups {
		for i := range g.Files {
			what := g.Files[i].What
			g.Files[i].What = strings.ToUpper(what[:1]) + what[1:]
			for _, kind := range g.Files[i].kinds {
				f, err := describe(kind)
				if err != nil {
					return d, err
				}
				g.Files[i].Formats = append(g.Files[i].Formats, f)
			}
		}
	}
	return d, nil
}

// describe words a schema.
func describe(kind schema.Kind) (dataFormat, error) {
	text, err := schema.Text(kind)
	if err != nil {
		return dataFormat{}, err
	}
	doc, err := policy.ParseDocument(policy.File{Path: string(kind), Data: text})
	if err != nil {
		return dataFormat{}, err
	}
	f := dataFormat{Kind: string(kind), Title: word(&doc.Root, "title"), What: word(&doc.Root, "description")}
	f.add(&doc.Root, "")
	if defs := member(&doc.Root, "definitions"); defs != nil {
		for i := range defs.Children {
			f.add(&defs.Children[i], defs.Children[i].Key)
		}
	}
	return f, nil
}

// add appends the members of an object's schema, and of what is in them.
func (f *dataFormat) add(s *policy.Node, path string) {
	if properties := member(s, "properties"); properties != nil {
		for i := range properties.Children {
			p := &properties.Children[i]
			at := p.Key
			if path != "" {
				at = path + "." + p.Key
			}
			f.Fields = append(f.Fields, field{at, typeOf(p), !requires(s, p.Key), word(p, "description")})
			f.add(p, at)
		}
	}
	if items := member(s, "items"); items != nil {
		f.add(items, path+"[]")
	}
	if named := member(s, "additionalProperties"); named != nil && named.Kind == policy.JSONObject {
		f.add(named, path+".<name>")
	}
	for _, name := range []string{"oneOf", "anyOf", "allOf"} {
		if any := member(s, name); any != nil {
			for i := range any.Children {
				f.add(&any.Children[i], path)
			}
		}
	}
}

// typeOf says what a value may be: a JSON type, one of some values, or a part that is described below.
func typeOf(s *policy.Node) string {
	if ref := word(s, "$ref"); ref != "" {
		return strings.TrimPrefix(ref, "#/definitions/")
	}
	if items := member(s, "items"); items != nil {
		if word(items, "$ref") != "" {
			return "array of " + typeOf(items)
		}
		return "array"
	}
	if c := member(s, "const"); c != nil {
		return fmt.Sprintf("%q", c.Text)
	}
	if values := member(s, "enum"); values != nil {
		var texts []string
		for _, v := range values.Children {
			texts = append(texts, v.Text)
		}
		return strings.Join(texts, " | ")
	}
	return word(s, "type")
}

func requires(s *policy.Node, name string) bool {
	required := member(s, "required")
	if required == nil {
		return false
	}
	for _, r := range required.Children {
		if r.Text == name {
			return true
		}
	}
	return false
}

func member(n *policy.Node, name string) *policy.Node {
	if n.Kind != policy.JSONObject {
		return nil
	}
	for i := range n.Children {
		if n.Children[i].Key == name {
			return &n.Children[i]
		}
	}
	return nil
}

func word(n *policy.Node, name string) string {
	if m := member(n, name); m != nil {
		return m.Text
	}
	return ""
}
