package policy_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func document(text string) (*policy.Document, error) {
	return policy.ParseDocument(policy.File{Path: "f.json", Data: []byte(text)})
}

func TestJSONFaultsHaveTheirPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "f.json:1:1: the file ends where a value should stand"},
		{"{\n  \"a\": 1,\n}", `f.json:2:9: a comma before '}'`},
		{"[1,]", `f.json:1:3: a comma before ']'`},
		{"{\"a\" 1}", `f.json:1:6: a colon should follow`},
		{"{a: 1}", `f.json:1:2: a member's name should stand here`},
		{"{\"a\": 1 \"b\": 2}", `f.json:1:9: '"' stands where '}' or a comma should`},
		{"{\"a\": 1", `f.json:1:8: the file ends where '}' or a comma should stand`},
		{"'a'", `f.json:1:1: a value cannot begin with '\''`},
		{"nul", `f.json:1:1: a value cannot begin with 'n'`},
		{"// no\n1", `f.json:1:1: a value cannot begin with '/'`},
		{"1 2", "f.json:1:3: something follows"},
		{"01", "f.json:1:1: a number needs digits and has no leading zero"},
		{"-", "f.json:1:1: a number needs digits"},
		{"1.", "f.json:1:3: digits should follow the decimal point"},
		{"1e+", "f.json:1:4: digits should follow the exponent"},
		{"+1", "f.json:1:1: a value cannot begin with '+'"},
		{`"a`, "f.json:1:1: this string has no closing quote"},
		{`"a\`, "f.json:1:3: the file ends within an escape"},
		{"\"a\nb\"", "f.json:1:3: a control character (0x0a)"},
		{`"\x41"`, `f.json:1:2: JSON has no escape`},
		{`"\u12"`, "f.json:1:2: four hex digits"},
		{`"\ud800"`, "f.json:1:2: this escape is half of a surrogate pair"},
		{`"\ud800\u0041"`, "f.json:1:2: this escape is half of a surrogate pair"},
		{"\ufeff{}", "f.json:1:1: the file begins with a byte order mark"},
		{"[\"ok\",\n \"\xff\"]", "f.json:2:3: these bytes are not UTF-8"},
		{strings.Repeat("[", 100), "f.json:1:34: nested deeper than 32 levels"},
	} {
		_, err := document(c.text)
		var syntax *policy.SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestNodesKnowTheirPlace(t *testing.T) {
	doc, err := document("{\n  \"policies\": {\n    \"a.example\": {\"mxs\": [\"m\\u0078\", 2]}\n  }\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	second := doc.Root.Find("/policies/a.example/mxs/1")
	if second.Text != "2" || doc.Position(second.At).String() != "f.json:3:38" || second.End != second.At+1 {
		t.Errorf("%+v at %s", second, doc.Position(second.At))
	}
	if first := doc.Root.Find("/policies/a.example/mxs/0"); first.Text != "mx" {
		t.Errorf("%q", first.Text)
	}
	// A pointer that leads nowhere ends at the last place that exists.
	for _, pointer := range []string{"/policies/b.example", "/policies/~2", "/policies/0"} {
		if n := doc.Root.Find(pointer); n.Key != "policies" {
			t.Errorf("%s leads to %q", pointer, n.Key)
		}
	}
}

func TestDuplicatesAreListedWithBothPlaces(t *testing.T) {
	many := `{"k0":0,"k1":0,"k2":0,"k3":0,"k4":0,"k5":0,"k6":0,"k7":0,"k8":0,"k3":1,"k3":2}`
	for text, want := range map[string][]policy.Duplicate{
		`{"a":1,"\u0061":2}`:                {{Key: "a", First: 1, Second: 7}},
		`{"a":{"b":1,"b":2},"c":3,"a":4}`:   {{Key: "b", First: 6, Second: 12}, {Key: "a", First: 1, Second: 25}},
		`[{"a":1},{"a":2}]`:                 nil,
		many:                                {{Key: "k3", First: 22, Second: 64}, {Key: "k3", First: 22, Second: 71}},
		`{"":1,"A":1,"a":1,"\u0000":1}`:     nil,
		`{"x":{"x":{"x":[{"x":1,"x":1}]}}}`: {{Key: "x", First: 17, Second: 23}},
	} {
		doc, err := document(text)
		if err != nil || !reflect.DeepEqual(doc.Duplicates, want) {
			t.Errorf("%s: %v %v", text, doc.Duplicates, err)
		}
	}
}

// FuzzDocument holds the reader against encoding/json: what it accepts the standard library accepts and understands alike.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+3,"x\ud83d\ude00\n",true,false,null]}`, `{"a":1,"a":2}`, "[1,]", "\xff", `"\ud800"`, "{\"\u00fc\": 0}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := document(text)
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err != nil {
			var syntax *policy.SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Col < 1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if !json.Valid([]byte(text)) || d.Decode(&want) != nil {
			t.Fatalf("%q is accepted here and not by encoding/json", text)
		}
		if got := doc.Root.Value(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v here, %v there", text, got, want)
		}
	})
}
