package policy

import (
	"encoding/json"
	"strings"
)

// Value returns the node as encoding/json would decode it with UseNumber: what a JSON Schema validator takes. Of
// duplicate members the last counts.
func (n *Node) Value() any {
	switch n.Kind {
	case JSONObject:
		m := make(map[string]any, len(n.Children))
		for i := range n.Children {
			m[n.Children[i].Key] = n.Children[i].Value()
		}
		return m
	case JSONArray:
		items := make([]any, len(n.Children))
		for i := range n.Children {
			items[i] = n.Children[i].Value()
		}
		return items
	case JSONString:
		return n.Text
	case JSONNumber:
		return json.Number(n.Text)
	case JSONBool:
		return n.Text == "true"
	}
	return nil
}

// Find follows a JSON pointer (RFC 6901) from n as far as it leads and returns the last node met: the place to show
// for a complaint about the pointer's target.
func (n *Node) Find(pointer string) *Node {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, token := range strings.Split(pointer, "/")[1:] {
		next := n.step(unescape.Replace(token))
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func (n *Node) step(token string) *Node {
	if n.Kind == JSONObject {
		// The last of duplicates, as in Value.
		for i := len(n.Children) - 1; i >= 0; i-- {
			if n.Children[i].Key == token {
				return &n.Children[i]
			}
		}
		return nil
	}
	index := 0
	for _, c := range token {
		if c < '0' || c > '9' || index > len(n.Children) {
			return nil
		}
		index = index*10 + int(c-'0')
	}
	if token == "" || n.Kind != JSONArray || index >= len(n.Children) {
		return nil
	}
	return &n.Children[index]
}
