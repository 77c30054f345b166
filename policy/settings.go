package policy

import (
	"crypto/ed25519"
	"encoding/base64"
	"strconv"
	"strings"
)

// The bounds of a release's lifetime in days (rule R8), and what counts when list.json says nothing.
const (
	MinLifetimeDays     = 7
	MaxLifetimeDays     = 30
	DefaultLifetimeDays = 14
)

// Settings is list.json, what a source says of itself.
type Settings struct {
	Author       string    // printable ASCII, published with every release
	Origin       string    // names the log: host name, slash, path
	LifetimeDays int       // MinLifetimeDays to MaxLifetimeDays
	Vantages     []Vantage // the hosts whose probes count, in the file's order; none: only the releasing host's
	Quorum       int       // how many vantages must agree; 0 without vantages
}

// Vantage is a probing host, known by the key that signs its evidence.
type Vantage struct {
	Name string // a-z, 0-9, hyphen; 1 to 32 characters
	Key  ed25519.PublicKey
}

// VantageKeys are the keys by name; nil without vantages.
func (s Settings) VantageKeys() map[string]ed25519.PublicKey {
	var keys map[string]ed25519.PublicKey
	for _, v := range s.Vantages {
		if keys == nil {
			keys = make(map[string]ed25519.PublicKey)
		}
		keys[v.Name] = v.Key
	}
	return keys
}

// ParseSettings reads list.json. With errors among the findings the result is not to be used.
func ParseSettings(f File) (Settings, []Finding) {
	r := openDocument(f)
	s := Settings{LifetimeDays: DefaultLifetimeDays}
	if r.doc == nil {
		return s, r.findings
	}
	root := &r.doc.Root
	m := r.members(root, "list.json", "author", "origin", "lifetime", "vantages", "quorum")
	if m == nil {
		return s, r.findings
	}
	s.Author = r.author(m["author"], root)
	s.Origin = r.origin(m["origin"], root)
	if n := m["lifetime"]; n != nil {
		s.LifetimeDays = r.bounded(n, "list.lifetime", "lifetime", MinLifetimeDays, MaxLifetimeDays)
	}
	if n := m["vantages"]; n != nil && r.is(n, JSONArray, "vantages", "") {
		s.Vantages = r.vantages(n)
	}
	s.Quorum = min(len(s.Vantages), max(1, len(s.Vantages)-1))
	if n := m["quorum"]; n != nil {
		s.Quorum = r.bounded(n, "list.quorum", "quorum", 1, len(s.Vantages))
	}
	return s, r.findings
}

func (r *nodeReader) required(n, in *Node, what string) bool {
	if n == nil {
		r.report("source.shape", in.At, "", "%s is missing", what)
		return false
	}
	return r.is(n, JSONString, what, "")
}

func (r *nodeReader) author(n, root *Node) string {
	if !r.required(n, root, "author") {
		return ""
	}
	if n.Text == "" || len(n.Text) > MaxAuthorLen || strings.IndexFunc(n.Text, notPrintableASCII) >= 0 {
		r.report("list.author", n.At, "", "the author %q is not 1 to %d characters of printable ASCII", n.Text, MaxAuthorLen)
		return ""
	}
	return n.Text
}

func notPrintableASCII(c rune) bool { return c < 0x20 || c > 0x7e }

func (r *nodeReader) origin(n, root *Node) string {
	if !r.required(n, root, "origin") {
		return ""
	}
	if err := CheckOrigin(n.Text); err != nil {
		r.report("list.origin", n.At, "", "%s", err)
		return ""
	}
	return n.Text
}

// bounded reads a whole number from low to high.
func (r *nodeReader) bounded(n *Node, code, what string, low, high int) int {
	if !r.is(n, JSONNumber, what, "") {
		return low
	}
	v, err := strconv.Atoi(n.Text)
	if err != nil || v < low || v > high {
		r.report(code, n.At, "", "%s is %s and should be a whole number from %d to %d", what, n.Text, low, high)
		return low
	}
	return v
}

func (r *nodeReader) vantages(n *Node) []Vantage {
	var out []Vantage
	seen := map[string]bool{}
	for i := range n.Children {
		c := &n.Children[i]
		m := r.members(c, "a vantage", "name", "key")
		if m == nil || !r.required(m["name"], c, "a vantage's name") || !r.required(m["key"], c, "a vantage's key") {
			continue
		}
		v := Vantage{Name: m["name"].Text}
		key, err := base64.StdEncoding.Strict().DecodeString(m["key"].Text)
		v.Key = ed25519.PublicKey(key)
		switch {
		case !shortName(v.Name):
			r.report("list.vantage", m["name"].At, "", "%q is no name for a vantage", v.Name)
		case err != nil || len(key) != ed25519.PublicKeySize:
			r.report("list.vantage", m["key"].At, "", "the key of vantage %q is not the base64 of %d bytes", v.Name, ed25519.PublicKeySize)
		case WeakKey(v.Key):
			r.report("list.vantage", m["key"].At, "", "the key of vantage %q is none: anybody can sign for it", v.Name)
		case seen["n"+v.Name] || seen["k"+string(key)]:
			r.report("list.vantage", c.At, "", "the name or the key of vantage %q is taken already: one host would count twice", v.Name)
		}
		seen["n"+v.Name], seen["k"+string(key)] = true, true
		out = append(out, v)
	}
	return out
}
