package policy

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// JSONKind is the type of a JSON value.
type JSONKind uint8

const (
	JSONNull   JSONKind = iota + 1 // null
	JSONBool                       // true, false
	JSONNumber                     // as written
	JSONString                     // decoded
	JSONArray                      // […]
	JSONObject                     // {…}
)

// String returns the type's name with its article, for messages: "an object".
func (k JSONKind) String() string {
	names := [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// maxJSONDepth is far above what any of our formats nests (4), and far below what would exhaust a stack.
const maxJSONDepth = 32

// Node is one JSON value with its place. Nothing is interpreted: a number is its literal, an object keeps the order
// and the duplicates that the file has. Nodes are values that nobody changes.
type Node struct {
	Kind     JSONKind
	Key      string // the member's name, decoded, where the value stands in an object
	KeyAt    int    // byte offset of the name's opening quote
	At, End  int    // byte offsets [At, End) of the value
	Text     string // decoded string, literal of a number, "true" or "false"
	Children []Node // items or members, in the file's order
}

// Duplicate says that an object names Key twice. Go's and Python's decoders keep the last without a word (rule R2).
type Duplicate struct {
	Key           string
	First, Second int // byte offsets of the names
}

// Document is a parsed file. Its strings share the memory of the file's text.
type Document struct {
	Root       Node
	Duplicates []Duplicate
	lines      *lineIndex
}

// SyntaxError says where a file stops being JSON (RFC 8259) in valid UTF-8 without a byte order mark.
type SyntaxError struct {
	Position
	Encoding bool // the fault lies in the bytes, not in the grammar
	Message  string
}

func (e *SyntaxError) Error() string { return e.Position.String() + ": " + e.Message }

// ParseDocument reads one JSON value that fills data. The error is a *SyntaxError. Duplicate member names are no
// error here but listed in the result: a reader of old lists has to go on, a checker of a source must not.
func ParseDocument(f File) (*Document, error) {
	p := jsonParser{src: string(f.Data)}
	root, fault := p.file()
	lines := newLineIndex(f.Path, p.src)
	if fault != nil {
		return nil, &SyntaxError{Position: lines.position(fault.at), Encoding: fault.encoding, Message: fault.message}
	}
	sort.SliceStable(p.duplicates, func(i, j int) bool { return p.duplicates[i].Second < p.duplicates[j].Second })
	return &Document{Root: root, Duplicates: p.duplicates, lines: lines}, nil
}

// Position turns a byte offset into file, line and column.
func (d *Document) Position(offset int) Position { return d.lines.position(offset) }

// Member returns the first member of an object with that name.
func (n *Node) Member(name string) (*Node, bool) {
	for i := range n.Children {
		if n.Children[i].Key == name && n.Kind == JSONObject {
			return &n.Children[i], true
		}
	}
	return nil, false
}

// jsonFault is a SyntaxError before its offset has become a line.
type jsonFault struct {
	at       int
	encoding bool
	message  string
}

type jsonParser struct {
	src        string
	pos        int
	stack      []Node // children of the values that are still open
	duplicates []Duplicate
}

func (p *jsonParser) file() (Node, *jsonFault) {
	if strings.HasPrefix(p.src, "\ufeff") {
		return Node{}, &jsonFault{0, true, "the file begins with a byte order mark, which JSON does not have (RFC 8259 section 8.1)"}
	}
	if !utf8.ValidString(p.src) {
		return Node{}, &jsonFault{firstInvalid(p.src), true, "these bytes are not UTF-8"}
	}
	p.space()
	root, fault := p.value(0)
	if fault != nil {
		return Node{}, fault
	}
	p.space()
	if p.pos < len(p.src) {
		return Node{}, p.fault("something follows after the end of the value")
	}
	return root, nil
}

func firstInvalid(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(s)
}

func (p *jsonParser) fault(format string, args ...any) *jsonFault {
	return &jsonFault{at: p.pos, message: fmt.Sprintf(format, args...)}
}

// peek is the next byte; 0, which no JSON text holds outside a fault, at the end.
func (p *jsonParser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *jsonParser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *jsonParser) value(depth int) (Node, *jsonFault) {
	if depth > maxJSONDepth {
		return Node{}, p.fault("nested deeper than %d levels", maxJSONDepth)
	}
	n := Node{At: p.pos}
	var fault *jsonFault
	switch c := p.peek(); {
	case c == '{':
		n.Kind = JSONObject
		n.Children, fault = p.container('}', depth)
	case c == '[':
		n.Kind = JSONArray
		n.Children, fault = p.container(']', depth)
	case c == '"':
		n.Kind = JSONString
		n.Text, fault = p.str()
	case c == '-' || c >= '0' && c <= '9':
		n.Kind = JSONNumber
		n.Text, fault = p.number()
	case c == 't', c == 'f', c == 'n':
		n.Kind, n.Text, fault = p.word()
	case p.pos >= len(p.src):
		fault = p.fault("the file ends where a value should stand")
	default:
		fault = p.fault("a value cannot begin with %q", firstRune(p.src[p.pos:]))
	}
	n.End = p.pos
	return n, fault
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func (p *jsonParser) word() (JSONKind, string, *jsonFault) {
	for _, w := range []struct {
		text string
		kind JSONKind
	}{{"true", JSONBool}, {"false", JSONBool}, {"null", JSONNull}} {
		if strings.HasPrefix(p.src[p.pos:], w.text) {
			p.pos += len(w.text)
			return w.kind, w.text, nil
		}
	}
	return 0, "", p.fault("a value cannot begin with %q", firstRune(p.src[p.pos:]))
}

// container reads an object (end '}') or an array (end ']').
func (p *jsonParser) container(end byte, depth int) ([]Node, *jsonFault) {
	p.pos++
	mark := len(p.stack)
	defer func() { p.stack = p.stack[:mark] }()
	p.space()
	if p.peek() == end {
		p.pos++
		return nil, nil
	}
	for {
		child, fault := p.child(end, depth)
		if fault != nil {
			return nil, fault
		}
		p.stack = append(p.stack, child)
		p.space()
		switch p.peek() {
		case end:
			p.pos++
			children := slices.Clone(p.stack[mark:])
			if end == '}' {
				p.noteDuplicates(children)
			}
			return children, nil
		case ',':
			comma := p.pos
			p.pos++
			p.space()
			if p.peek() == end {
				return nil, &jsonFault{at: comma, message: fmt.Sprintf("a comma before %q: JSON has none after the last item", end)}
			}
		default:
			if p.pos >= len(p.src) {
				return nil, p.fault("the file ends where %q or a comma should stand", end)
			}
			return nil, p.fault("%q stands where %q or a comma should", firstRune(p.src[p.pos:]), end)
		}
	}
}

func (p *jsonParser) child(end byte, depth int) (Node, *jsonFault) {
	if end == ']' {
		return p.value(depth + 1)
	}
	keyAt := p.pos
	if p.peek() != '"' {
		return Node{}, p.fault("a member's name should stand here, in double quotes")
	}
	key, fault := p.str()
	if fault != nil {
		return Node{}, fault
	}
	p.space()
	if p.peek() != ':' {
		return Node{}, p.fault("a colon should follow the name %q", key)
	}
	p.pos++
	p.space()
	n, fault := p.value(depth + 1)
	n.Key, n.KeyAt = key, keyAt
	return n, fault
}

// noteDuplicates compares names pairwise in small objects, which nearly all are, and by a map in large ones.
func (p *jsonParser) noteDuplicates(members []Node) {
	if len(members) <= 8 {
		for i := range members {
			for j := range i {
				if members[i].Key == members[j].Key {
					p.duplicates = append(p.duplicates, Duplicate{members[i].Key, members[j].KeyAt, members[i].KeyAt})
					break
				}
			}
		}
		return
	}
	first := make(map[string]int, len(members))
	for i := range members {
		if at, ok := first[members[i].Key]; ok {
			p.duplicates = append(p.duplicates, Duplicate{members[i].Key, at, members[i].KeyAt})
			continue
		}
		first[members[i].Key] = members[i].KeyAt
	}
}

// number follows the grammar of RFC 8259 section 6 to the letter: no plus sign, no leading zero, no bare dot.
func (p *jsonParser) number() (string, *jsonFault) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	zero := p.peek() == '0'
	if n := p.digits(); n == 0 || zero && n > 1 {
		p.pos = start
		return "", p.fault("a number needs digits and has no leading zero")
	}
	if p.peek() == '.' {
		p.pos++
		if p.digits() == 0 {
			return "", p.fault("digits should follow the decimal point")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if p.digits() == 0 {
			return "", p.fault("digits should follow the exponent sign")
		}
	}
	return p.src[start:p.pos], nil
}

func (p *jsonParser) digits() int {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos - start
}
