package canonical_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

func TestMembers(t *testing.T) {
	members, err := canonical.Members([]byte(`{"a":[1,{"b":"c","d":[]}],"q\"":"x\\y","z":{}}`))
	if err != nil || len(members) != 3 {
		t.Fatalf("%v, %v", members, err)
	}
	for i, want := range []string{`a [1,{"b":"c","d":[]}]`, `q" "x\\y"`, `z {}`} {
		if got := members[i].Name + " " + string(members[i].Value); got != want {
			t.Errorf("member %d: %s, want %s", i, got, want)
		}
	}
	list, err := canonical.Elements(members[0].Value)
	if err != nil || len(list) != 2 || string(list[1]) != `{"b":"c","d":[]}` {
		t.Errorf("%q, %v", list, err)
	}
}

func TestMembersRefused(t *testing.T) {
	for _, in := range []string{
		"", "1", `"a"`, "[]", "{", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}x`, `{"a":1} `, `{"b":1,"a":1}`, `{"a":1,"a":1}`,
		`{"a":null}`, `{"a":true}`, `{"a":1.5}`, `{"a":-1}`, `{"a":01}`, `{"a":"` + "\x7f" + `"}`, `{"a":"\u0041"}`, `{"a":"é"}`,
		`{"a":{"b":1,"b":1}}`, `{"a":[{"c":1,"b":1}]}`, `{"a":[1 ]}`, `{"a":[1,]}`, `{"a":"open}`, `{"a":"\`, `{"\n":1}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}", `{"` + strings.Repeat("n", 65) + `":1}`,
	} {
		if m, err := canonical.Members([]byte(in)); !errors.Is(err, canonical.ErrSyntax) {
			t.Errorf("%q was accepted: %v, %v", in, m, err)
		}
	}
	if _, err := canonical.Members([]byte(`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "}")); err != nil {
		t.Errorf("31 lists in an object: %v", err)
	}
	if _, err := canonical.Elements([]byte(`{}`)); !errors.Is(err, canonical.ErrSyntax) {
		t.Errorf("an object as a list: %v", err)
	}
}

// FuzzMembers: what is accepted is JSON, and comes out of encoding/json, which sorts the keys of maps, as it went in.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c","d":[]}],"q\"":"x\\y","z":{}}`))
	f.Add([]byte(`{"a":9007199254740991}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := canonical.Members(data); err != nil {
			return
		}
		var v any
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil || strings.TrimSuffix(out.String(), "\n") != string(data) {
			t.Fatalf("%q comes back as %q, %v", data, out.String(), err)
		}
	})
}
