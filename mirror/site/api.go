package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Formats of the API's documents.
const (
	statusFormat = "status/1"
	listFormat   = "status-list/1"
	codesFormat  = "status-codes/1"
)

const (
	// maxTwoDigits is how many domains 256 shards hold: beyond it there are 4,096, so that none is much larger than a page.
	maxTwoDigits = 10_000
	// maxChangeLines bounds changes.jsonl; the log has all.
	maxChangeLines = 10_000
)

// shardDigits is how many hex digits of a domain's SHA-256 name its shard, in a site that has so many.
func (m *Model) shardDigits(domains int) int {
	if domains > m.maxTwoDigits {
		return 3
	}
	return 2
}

// shardOf names a domain's shard. Whoever asks for it tells the server no more than these digits.
func shardOf(domain string, digits int) string {
	sum := sha256.Sum256([]byte(domain))
	return hex.EncodeToString(sum[:])[:digits]
}

// statusFile is a shard: schema/status.schema.json.
type statusFile struct {
	Format  string             `json:"format"`
	Domains map[string]*Status `json:"domains"`
}

// listFile is api/v1/list.json: schema/status-list.schema.json.
type listFile struct {
	Format      string            `json:"format"`
	Origin      string            `json:"origin"`
	Release     int64             `json:"release"`
	Timestamp   string            `json:"timestamp"`
	Expires     string            `json:"expires"`
	Domains     int               `json:"domains"` // on the list
	Modes       map[string]int    `json:"modes"`
	ShardDigits int               `json:"shard-digits"`
	Size        int64             `json:"size"` // of the log
	Root        string            `json:"root"` // base64, as in the checkpoint
	Trust       map[string]string `json:"trust"`
	Evidence    string            `json:"evidence,omitempty"` // digest; absent: the mirror has none
	Pending     string            `json:"pending"`            // "known" or "not yet"
	Feedback    string            `json:"feedback"`           // the last day of its table, or "not yet"
}

func (b *builder) addAPI() {
	shards := map[string]map[string]*Status{}
	for i := range b.all {
		s := &b.all[i]
		name := shardOf(s.name, b.digits)
		if shards[name] == nil {
			shards[name] = map[string]*Status{}
		}
		shards[name][s.name] = s
	}
	for i := range 1 << (4 * b.digits) {
		name := fmt.Sprintf("%0*x", b.digits, i)
		domains := shards[name]
		if domains == nil {
			domains = map[string]*Status{} // so that "not there" is an answer and not an error
		}
		b.add("site/api/v1/domain/"+name+".json", func() ([]byte, error) { return compact(statusFile{statusFormat, domains}) })
	}
	b.add("site/api/v1/codes.json", func() ([]byte, error) { return indented(b.codes()) })
	b.add("site/api/v1/list.json", func() ([]byte, error) { return indented(b.listFile()) })
}

// codesFile is api/v1/codes.json: schema/status-codes.schema.json.
type codesFile struct {
	Format string              `json:"format"`
	Codes  map[string]codeText `json:"codes"`
}

type codeText struct {
	Summary string `json:"summary"`
	Fix     string `json:"fix"`
}

// codes explains those that the statuses have.
func (b *builder) codes() codesFile {
	f := codesFile{codesFormat, map[string]codeText{}}
	explain := func(id string) {
		if c := b.Code(id); c.Summary != "" {
			f.Codes[id] = codeText{c.Summary, c.Fix}
		}
	}
	for _, s := range b.all {
		for _, c := range s.History {
			explain(c.Reason)
		}
		if s.Probe != nil {
			for _, code := range s.Probe.Codes {
				explain(code)
			}
		}
	}
	return f
}

func (b *builder) listFile() listFile {
	m := b.Model
	newest := m.Newest()
	f := listFile{Format: listFormat, Origin: m.Origin, Release: newest.Release, Timestamp: stamp(newest.Timestamp), Expires: stamp(newest.Expires),
		Domains: m.List.Len(), Modes: b.modes, ShardDigits: b.digits, Size: m.Checkpoint.Tree.N, Root: m.Checkpoint.Tree.Hash.String(),
		Trust: map[string]string{}, Pending: "not yet", Feedback: "not yet"}
	for _, t := range m.Trust {
		digest := t.Digest()
		f.Trust[fmt.Sprint(t.Version)] = hex.EncodeToString(digest[:])
	}
	if m.Evidence.Release > 0 {
		f.Evidence = hex.EncodeToString(m.Evidence.Digest[:])
	}
	if m.Pending != nil {
		f.Pending = "known"
	}
	if m.Evidence.Feedback != nil {
		f.Feedback = m.Evidence.Feedback.To
	}
	return f
}

// addFeeds adds what tells of changes, newest first.
func (b *builder) addFeeds() {
	m := b.Model
	b.add("site/changes/changes.jsonl", func() ([]byte, error) {
		var out []byte
		for _, e := range b.events[:min(len(b.events), maxChangeLines)] {
			line, err := compact(newChange(e))
			if err != nil {
				return nil, err
			}
			out = append(out, line...)
		}
		return out, nil
	})
	feed := func() []Event { return b.events }
	title := "Changes of " + m.Origin
	b.add("site/changes/atom.xml", func() ([]byte, error) {
		return m.atom(m.feed(title, "../", "changes/index.html", feed()), "changes", "changes/atom.xml")
	})
	b.add("site/changes/feed.json", func() ([]byte, error) {
		return m.jsonFeed(m.feed(title, "../", "changes/index.html", feed()), "changes/feed.json")
	})
	b.addPending()
}

// compact is one line of JSON.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
