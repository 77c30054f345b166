package policy

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoEntry says that an edit is for an entry or alias that the file does not have.
var ErrNoEntry = errors.New("no such entry")

// SourceEdit sets or removes one entry of a fragment, or sets what one of its aliases says. What an edit leaves out stays
// as it is: a note, a maintainers' override, who manages the entry.
type SourceEdit struct {
	Domain  Domain    // whose entry it is; zero: it is for the alias Name
	Name    string    // the alias to set, with a zero Domain
	Policy  *Policy   // what it says from now on, by itself and no alias
	Alias   string    // with Domain and no Policy: the alias that the entry takes its policy from
	Managed ManagedBy // who manages the entry from now on; "": as before, and ManagedByOwner for a new one
	Add     bool      // it is new: one that the file has already is an error (ErrFormat) instead of being changed
}

// removes reports whether the edit takes the entry away.
func (e SourceEdit) removes() bool { return e.Policy == nil && e.Alias == "" }

// EmptyFragment is a fragment that lists nothing, for EditFragment to add to.
const EmptyFragment = "{}"

// EditFragment applies edits to a fragment and returns its normal form (FormatFragment). A file in which anything is an
// error is refused (ErrFormat); so is an edit of what is not there (ErrNoEntry).
func EditFragment(f File, edits []SourceEdit) ([]byte, error) {
	if string(f.Data) == EmptyFragment {
		f.Data = []byte(`{"policies":{}}`)
	}
	fr := ParseFragment(f)
	if err := fr.formattable(); err != nil {
		return nil, err
	}
	for _, e := range edits {
		if err := fr.edit(e); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return fr.format(nil), nil
}

// Defines reports whether the fragment defines the alias.
func (f *Fragment) Defines(alias string) bool {
	return slices.ContainsFunc(f.aliases, func(d aliasDef) bool { return d.name == alias })
}

// edit changes the document, which nobody else holds.
func (f *Fragment) edit(e SourceEdit) error {
	table, same, name := "policies", sameDomain(e.Domain), e.Domain.name
	if e.Domain.IsZero() {
		table, same, name = "policy-aliases", func(key string) bool { return key == e.Name }, e.Name
	}
	n := member(&f.doc.Root, table)
	at := slices.IndexFunc(n.Children, func(c Node) bool { return same(c.Key) })
	switch {
	case at >= 0 && e.Add:
		return fmt.Errorf("%w: %s is there already", ErrFormat, name)
	case at < 0 && !e.Add:
		return fmt.Errorf("%w: %s", ErrNoEntry, name)
	case e.removes():
		n.Children = slices.Delete(n.Children, at, at+1)
		return nil
	case at < 0:
		at = len(n.Children)
		n.Children = append(n.Children, Node{Kind: JSONObject, Key: name})
	}
	e.write(&n.Children[at])
	return nil
}

func sameDomain(d Domain) func(key string) bool {
	return func(key string) bool {
		have, err := NormalizeDomain(key)
		return err == nil && have == d
	}
}

// member finds or makes an object in an object.
func member(n *Node, name string) *Node {
	if have, ok := n.Member(name); ok {
		return have
	}
	n.Children = append(n.Children, Node{Kind: JSONObject, Key: name})
	return &n.Children[len(n.Children)-1]
}

// write sets the members of an entry that the edit speaks of.
func (e SourceEdit) write(entry *Node) {
	drop := func(names ...string) {
		entry.Children = slices.DeleteFunc(entry.Children, func(c Node) bool { return slices.Contains(names, c.Key) })
	}
	text := func(name, value string) {
		drop(name)
		entry.Children = append(entry.Children, Node{Kind: JSONString, Key: name, Text: value})
	}
	drop("mode", "mxs", "policy-alias")
	switch {
	case e.Policy == nil:
		text("policy-alias", e.Alias)
	default:
		text("mode", e.Policy.Mode.String())
		mxs := Node{Kind: JSONArray, Key: "mxs"}
		for _, m := range e.Policy.MXs {
			mxs.Children = append(mxs.Children, Node{Kind: JSONString, Text: m.text})
		}
		entry.Children = append(entry.Children, mxs)
	}
	switch e.Managed {
	case "":
	case ManagedByOwner:
		drop("managed-by") // what counts when nothing is said
	default:
		text("managed-by", string(e.Managed))
	}
}
