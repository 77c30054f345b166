package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// slowList reads policy.json in the simplest way that can be strict: whole, without remembering anything from line to line.
func slowList(data []byte) ([]policy.Entry, bool) {
	text, ok := strings.CutSuffix(string(data), "}\n}\n")
	lines := strings.SplitAfter(text, "\n")
	if !ok || len(lines) < 8 || lines[len(lines)-1] != "" {
		return nil, false
	}
	lines = lines[:len(lines)-1]
	for i, form := range []string{"{\n", "\"timestamp\":%,\n", "\"expires\":%,\n", "\"version\":\"0.1\",\n", "\"author\":%,\n", "\"policy-aliases\":{},\n", "\"policies\":{\n"} {
		before, after, value := strings.Cut(form, "%")
		s := canonical.NewScanner([]byte(lines[i]))
		s.Literal(before)
		if value {
			v := s.Str(policy.MaxAuthorLen)
			if _, err := policy.ParseTime(v); err != nil && i != 4 {
				return nil, false
			}
			s.Literal(after)
		}
		if s.Done() != nil {
			return nil, false
		}
	}
	var out []policy.Entry
	for i, text := range lines[7:] {
		s := canonical.NewScanner([]byte(text))
		d, err := policy.ParseDomain(s.Str(253))
		s.Literal(":")
		p := policy.ScanPolicy(s, nil)
		if i < len(lines[7:])-1 {
			s.Literal(",")
		}
		s.Literal("\n")
		if err != nil || s.Done() != nil || i > 0 && out[i-1].Domain.String() >= d.String() {
			return nil, false
		}
		out = append(out, policy.Entry{Domain: d, Policy: p})
	}
	return out, true
}

// FuzzListReaders: the reader that streams, shares and remembers takes what the simple one takes, and nothing else, whatever
// list it reads beside.
func FuzzListReaders(f *testing.F) {
	beside := numbered(f, 200)
	f.Add([]byte(canonicalList))
	f.Add(must(numbered(f, 3).Bytes(header())))
	f.Add(must(policy.List{}.Bytes(header())))
	for _, flaw := range []struct{ old, new string }{
		{`"]},`, `"]}`}, {`"]}` + "\n}", `"]},` + "\n}"}, {"b.example\":", "a.example\":"}, {"}\n}\n", "}\n}\n "}, {"}\n}\n", "}\n}"},
		{"enforce", "none"}, {`"mx.a.example"`, `"mx.a.example","mx.a.example"`}, {"mx.b", "mx\\b"}, {"a.example\":", "A.example\":"},
	} {
		f.Add([]byte(strings.Replace(canonicalList, flaw.old, flaw.new, 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, ok := slowList(data)
		for _, like := range []policy.List{{}, beside} {
			_, got, err := policy.ReadList(iotest.HalfReader(bytes.NewReader(data)), like)
			if (err == nil) != ok || err != nil && !errors.Is(err, policy.ErrList) {
				t.Fatalf("%q: %v, the simple reader says %v", data, err, ok)
			}
			if ok {
				sameList(t, got, want)
			}
		}
	})
}

// TestReadListTellsWhoFailed: a reader's own error is no finding about the list.
func TestReadListTellsWhoFailed(t *testing.T) {
	file := fileOf(t, numbered(t, 300))
	torn := errors.New("torn")
	for _, n := range []int{0, 5, 60, len(file) / 2, len(file) - 5, len(file) - 1, len(file)} {
		_, _, err := policy.ReadList(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(torn)), policy.List{})
		if !errors.Is(err, torn) || errors.Is(err, policy.ErrList) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	long := strings.Replace(canonicalList, "b.example", strings.Repeat("b", 1<<20), 1)
	if _, _, err := policy.ParseList([]byte(long)); !errors.Is(err, policy.ErrList) || !strings.Contains(fmt.Sprint(err), "line 9: more than") {
		t.Errorf("a line of a megabyte: %v", err)
	}
	longest := entry(t, strings.Repeat(strings.Repeat("a", 61)+".", 4)[:247]+".com", policy.Testing, "mx.example")
	longest.Policy.MXs = nil
	for i := range policy.MaxMXs {
		longest.Policy.MXs = append(longest.Policy.MXs, mx(t, fmt.Sprintf(".%c%s", 'a'+i, longest.Domain.String()[1:])))
	}
	l := must(policy.NewList([]policy.Entry{longest}))
	sameList(t, l, []policy.Entry{longest})
}

// TestFlawHasItsPlace: an error names the same place whether or not the reader has met the line's policy before.
func TestFlawHasItsPlace(t *testing.T) {
	file := string(fileOf(t, must(policy.NewList([]policy.Entry{
		entry(t, "a.example", policy.Enforce, "mx.example"),
		entry(t, "b.example", policy.Enforce, "mx.example"),
		entry(t, "c.example", policy.Enforce, "mx.other.example"),
		entry(t, "d.example", policy.Enforce, "mx.third.example"),
	}))))
	for old, want := range map[string]string{"b.example": "line 9, column 13: ", "d.example": "line 11, column 13: "} {
		_, _, err := policy.ParseList([]byte(strings.Replace(file, old, "a.example", 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", old, err, want)
		}
	}
}

func mx(t *testing.T, s string) policy.MXPattern {
	t.Helper()
	p, err := policy.ParseMXPattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
