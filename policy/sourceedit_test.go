package policy

import (
	"errors"
	"testing"
)

const editable = `{"policies": {
 "B.example.": {"policy-alias": "shared", "note": "moved by hand", "override": "the old host stays till May"},
 "a.example": {"mode": "testing", "mxs": ["*.a.example"], "managed-by": "mta-sts"}},
 "policy-aliases": {"shared": {"mode": "testing", "mxs": ["mx.shared.example"], "note": "all of them"}}}`

func TestEditFragment(t *testing.T) {
	domain := func(s string) Domain {
		d, err := ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	pol := func(mode Mode, mxs ...string) *Policy {
		var ms []MXPattern
		for _, s := range mxs {
			m, err := ParseMXPattern(s)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		p, err := NewPolicy(mode, ms)
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	const alias = "  \"policy-aliases\": {\n    \"shared\": {\"mode\": \"testing\", \"mxs\": [\"mx.shared.example\"], \"note\": \"all of them\"}\n  },\n"
	const a = "    \"a.example\": {\"mode\": \"testing\", \"mxs\": [\".a.example\"], \"managed-by\": \"mta-sts\"}"
	const b = "    \"b.example\": {\"policy-alias\": \"shared\", \"override\": \"the old host stays till May\", \"note\": \"moved by hand\"}"
	for _, c := range []struct {
		name string
		edit SourceEdit
		want string
		err  error
	}{
		{"an entry of its own keeps who manages it", SourceEdit{Domain: domain("a.example"), Policy: pol(Enforce, "mx.a.example")},
			"{\n" + alias + "  \"policies\": {\n    \"a.example\": {\"mode\": \"enforce\", \"mxs\": [\"mx.a.example\"], \"managed-by\": \"mta-sts\"},\n" + b + "\n  }\n}\n", nil},
		{"a member leaves its alias and keeps override and note", SourceEdit{Domain: domain("b.example"), Policy: pol(Enforce, "mx.shared.example")},
			"{\n" + alias + "  \"policies\": {\n" + a + ",\n    \"b.example\": {\"mode\": \"enforce\", \"mxs\": [\"mx.shared.example\"], \"override\": \"the old host stays till May\", \"note\": \"moved by hand\"}\n  }\n}\n", nil},
		{"an alias", SourceEdit{Name: "shared", Policy: pol(Enforce, "mx.shared.example")},
			"{\n  \"policy-aliases\": {\n    \"shared\": {\"mode\": \"enforce\", \"mxs\": [\"mx.shared.example\"], \"note\": \"all of them\"}\n  },\n  \"policies\": {\n" + a + ",\n" + b + "\n  }\n}\n", nil},
		{"an entry goes", SourceEdit{Domain: domain("a.example")},
			"{\n" + alias + "  \"policies\": {\n" + b + "\n  }\n}\n", nil},
		{"a new entry, its owner's", SourceEdit{Domain: domain("aa.example"), Alias: "shared", Managed: ManagedByOwner, Add: true},
			"{\n" + alias + "  \"policies\": {\n" + a + ",\n    \"aa.example\": {\"policy-alias\": \"shared\"},\n" + b + "\n  }\n}\n", nil},
		{"an absent entry", SourceEdit{Domain: domain("c.example")}, "", ErrNoEntry},
		{"an absent alias", SourceEdit{Name: "other", Policy: pol(Testing, "mx.a.example")}, "", ErrNoEntry},
		{"one that is there", SourceEdit{Domain: domain("b.example"), Alias: "shared", Add: true}, "", ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := EditFragment(File{Path: "f.json", Data: []byte(editable)}, []SourceEdit{c.edit})
			if !errors.Is(err, c.err) || string(got) != c.want {
				t.Fatalf("%v\n%s\nwant\n%s", err, got, c.want)
			}
			if err != nil {
				return
			}
			again, err := FormatFragment(File{Path: "f.json", Data: got})
			if err != nil || string(again) != c.want {
				t.Errorf("no fixed point of the normal form: %v\n%s", err, again)
			}
		})
	}
	if _, err := EditFragment(File{Path: "f.json", Data: []byte(`{"policies": {"a.example": {}}}`)}, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a file with an error: %v", err)
	}
	got, err := EditFragment(File{Path: "f.json", Data: []byte(EmptyFragment)}, []SourceEdit{{Domain: domain("a.example"), Policy: pol(Testing, "mx.a.example"), Managed: ManagedByMTASTS, Add: true}})
	if want := "{\n  \"policies\": {\n    \"a.example\": {\"mode\": \"testing\", \"mxs\": [\"mx.a.example\"], \"managed-by\": \"mta-sts\"}\n  }\n}\n"; err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
