package canonical

// Member is one name and its value of a canonical object.
type Member struct {
	Name  string
	Value []byte // the value as it stands, itself canonical; a slice of what was read
}

// maxDepth is how deep objects and lists may be nested; what this project writes stays below ten.
const maxDepth = 32

// Members takes an object apart whose members the reader does not all know: a format that says "at least" these
// members may gain others, and still has one spelling. The whole of data must be one canonical object: names sorted and
// unique at every level, nothing but objects, lists, strings and integers. Unlike a name, a value costs no copy.
func Members(data []byte) ([]Member, error) {
	s := NewScanner(data)
	members := s.members(1, true)
	if err := s.Done(); err != nil {
		return nil, err
	}
	return members, nil
}

// Elements takes a canonical list apart, like Members.
func Elements(data []byte) ([][]byte, error) {
	s := NewScanner(data)
	elements := s.elements(1, true)
	if err := s.Done(); err != nil {
		return nil, err
	}
	return elements, nil
}

// maxMemberName caps the names of members, in bytes. Ours are single words.
const maxMemberName = 64

func (s *Scanner) members(depth int, keep bool) (out []Member) {
	s.Literal("{")
	if s.err != nil || s.Try("}") {
		return nil
	}
	last := ""
	for first := true; s.err == nil; first = false {
		name := s.Str(maxMemberName)
		if !first && name <= last {
			s.Fail("member %q after %q", name, last)
		}
		last = name
		s.Literal(":")
		start := s.off
		s.value(depth)
		if keep {
			out = append(out, Member{name, s.data[start:s.off]})
		}
		if !s.More("}") {
			break
		}
	}
	return out
}

func (s *Scanner) elements(depth int, keep bool) (out [][]byte) {
	s.Literal("[")
	if s.err != nil || s.Try("]") {
		return nil
	}
	for s.err == nil {
		start := s.off
		s.value(depth)
		if keep {
			out = append(out, s.data[start:s.off])
		}
		if !s.More("]") {
			break
		}
	}
	return out
}

// value steps over any value; depth is how many objects and lists are around it.
func (s *Scanner) value(depth int) {
	if s.err != nil {
		return
	}
	if s.off == len(s.data) {
		s.Fail("expected a value")
		return
	}
	switch s.data[s.off] {
	case '{', '[':
		if depth == maxDepth {
			s.Fail("nested deeper than %d", maxDepth)
		} else if s.data[s.off] == '{' {
			s.members(depth+1, false)
		} else {
			s.elements(depth+1, false)
		}
	case '"':
		s.skipString()
	default:
		s.Int()
	}
}

// skipString steps over a string without copying it.
func (s *Scanner) skipString() {
	s.off++
	for ; s.off < len(s.data); s.off++ {
		switch c := s.data[s.off]; {
		case c == '"':
			s.off++
			return
		case c < 0x20 || c > 0x7e:
			s.Fail("byte %#02x in a string", c)
			return
		case c == '\\':
			s.off++
			if s.off == len(s.data) || s.data[s.off] != '"' && s.data[s.off] != '\\' {
				s.Fail("an escape other than \\\" and \\\\")
				return
			}
		}
	}
	s.Fail("string without an end")
}
