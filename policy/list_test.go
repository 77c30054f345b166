package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func entry(t testing.TB, name string, mode policy.Mode, mxs ...string) policy.Entry {
	t.Helper()
	patterns := make([]policy.MXPattern, len(mxs))
	for i, m := range mxs {
		var err error
		if patterns[i], err = policy.ParseMXPattern(m); err != nil {
			t.Fatal(err)
		}
	}
	p, err := policy.NewPolicy(mode, patterns)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Entry{Domain: domain(t, name), Policy: p}
}

func header() policy.Header {
	ts := time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	return policy.Header{Timestamp: ts, Expires: ts.AddDate(0, 0, 14), Author: `A "list" operator`}
}

const canonicalList = `{
"timestamp":"2026-05-03T10:00:00Z",
"expires":"2026-05-17T10:00:00Z",
"version":"0.1",
"author":"A \"list\" operator",
"policy-aliases":{},
"policies":{
"a.example":{"mode":"enforce","mxs":[".mail.a.example","mx.a.example"]},
"b.example":{"mode":"testing","mxs":["mx.b.example"]}
}
}
`

func TestListHasOneForm(t *testing.T) {
	l, err := policy.NewList([]policy.Entry{
		entry(t, "b.example", policy.Testing, "mx.b.example"),
		entry(t, "a.example", policy.Enforce, "mx.a.example", ".mail.a.example", "mx.a.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Bytes(header())
	if err != nil || string(got) != canonicalList {
		t.Fatalf("%v\n%s", err, got)
	}
	h, back, err := policy.ParseList(got)
	if err != nil || h != header() || back.Len() != 2 {
		t.Fatalf("read back: %v %v %d", err, h, back.Len())
	}
	empty, err := policy.List{}.Bytes(header())
	if err != nil || !strings.HasSuffix(string(empty), "\"policies\":{\n}\n}\n") {
		t.Fatalf("empty list: %v\n%s", err, empty)
	}
	if _, none, err := policy.ParseList(empty); err != nil || none.Len() != 0 {
		t.Fatalf("empty list read back: %v", err)
	}
}

// TestMalformedList flips one thing at a time; every flaw is refused with its line.
func TestMalformedList(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, place string }{
		"cut off":             {"\n}\n}\n", "\n", "line 10"},
		"no final newline":    {"\n}\n}\n", "\n}\n}", "line 11"},
		"more after the end":  {"\n}\n}\n", "\n}\n}\n\n", "line 11"},
		"unsorted":            {"b.example\":", "0.example\":", "line 9"},
		"duplicate":           {"b.example\":", "a.example\":", "line 9"},
		"capitals":            {"\"mx.b.", "\"MX.b.", "line 9"},
		"unknown mode":        {"testing", "none", "line 9"},
		"no mxs":              {"[\"mx.b.example\"]", "[]", "line 9"},
		"mxs unsorted":        {"[\".mail.a.example\",\"mx.a.example\"]", "[\"mx.a.example\",\".mail.a.example\"]", "line 8"},
		"star pattern":        {"\".mail", "\"*.mail", "line 8"},
		"missing comma":       {"]},\n", "]}\n", "line 9"},
		"comma at the end":    {"]}\n}", "]},\n}", "line 9"},
		"white space":         {"{\"mode\":\"testing\"", "{ \"mode\":\"testing\"", "line 9"},
		"time with fraction":  {"10:00:00Z\",\n\"expires", "10:00:00.0Z\",\n\"expires", "line 2"},
		"time with offset":    {"2026-05-17T10:00:00Z", "2026-05-17T10:00:00+00:00", "line 3"},
		"day 30 of February":  {"2026-05-17", "2026-02-30", "line 3"},
		"version":             {"\"0.1\"", "\"0.2\"", "line 4"},
		"alias":               {"\"policy-aliases\":{}", "\"policy-aliases\":{\"x\":1}", "line 6"},
		"IP address as MX":    {"mx.b.example", "192.0.2.1", "line 9"},
		"carriage return":     {"{\n\"time", "{\r\n\"time", "line 1"},
		"unicode in author":   {"operator", "opérator", "line 5"},
		"key order of fields": {"\"mode\":\"testing\",\"mxs\":[\"mx.b.example\"]", "\"mxs\":[\"mx.b.example\"],\"mode\":\"testing\"", "line 9"},
	} {
		bad := strings.Replace(canonicalList, tt.old, tt.new, 1)
		if bad == canonicalList {
			t.Fatalf("%s: the flaw was not made", name)
		}
		_, _, err := policy.ParseList([]byte(bad))
		if !errors.Is(err, policy.ErrList) || !strings.Contains(err.Error(), tt.place) {
			t.Errorf("%s: got %v, want an error at %s", name, err, tt.place)
		}
	}
}

func TestApplyRefusesWhatHasNoEffect(t *testing.T) {
	a, b := entry(t, "a.example", policy.Enforce, "mx.a.example"), entry(t, "b.example", policy.Testing, "mx.b.example")
	l, err := policy.NewList([]policy.Entry{a, b})
	if err != nil {
		t.Fatal(err)
	}
	c := entry(t, "aa.example", policy.Testing, "mx.c.example")
	got, err := l.Apply([]policy.Edit{{Domain: a.Domain}, {Domain: c.Domain, Policy: &c.Policy}, {Domain: b.Domain, Policy: &a.Policy}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes, _ := got.Bytes(header()); !strings.Contains(string(bytes), `{
"aa.example":{"mode":"testing","mxs":["mx.c.example"]},
"b.example":{"mode":"enforce","mxs":["mx.a.example"]}
}`) {
		t.Errorf("after three edits:\n%s", bytes)
	}
	if l.Len() != 2 {
		t.Error("Apply changed its receiver")
	}
	for name, edits := range map[string][]policy.Edit{
		"set to the same":   {{Domain: a.Domain, Policy: &a.Policy}},
		"remove the absent": {{Domain: c.Domain}},
		"unsorted":          {{Domain: b.Domain}, {Domain: a.Domain}},
		"twice":             {{Domain: a.Domain}, {Domain: a.Domain}},
	} {
		if _, err := l.Apply(edits); !errors.Is(err, policy.ErrList) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPatternStandsForOneLabel(t *testing.T) {
	for _, tt := range []struct {
		pattern, host string
		want          bool
	}{
		{"mx.a.example", "mx.a.example", true},
		{"mx.a.example", "a.mx.a.example", false},
		{".a.example", "mx.a.example", true},
		{".a.example", "a.example", false},
		{".a.example", "b.mx.a.example", false},
		{".a.example", "mx.ba.example", false},
		{".h-v1.mx.microsoft", "t-x.h-v1.mx.microsoft", true},
		{".mx.microsoft", "t-x.h-v1.mx.microsoft", false},
	} {
		p, err := policy.ParseMXPattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Matches(domain(t, tt.host)); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.pattern, tt.host, got)
		}
	}
	if (policy.MXPattern{}).Matches(policy.Domain{}) {
		t.Error("the zero pattern matches something")
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", ".", "a", "a.", ".a.example", "A.example", "a..example", "-a.example", "a-.example",
		"192.0.2.1", "a.1", "mx_1.a.example", "a b.example", "a.example\n", "ü.example", "[192.0.2.1]",
		strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefgh.", 31) + "example"} {
		if _, err := policy.ParseDomain(bad); !errors.Is(err, policy.ErrName) {
			t.Errorf("ParseDomain(%q): %v", bad, err)
		}
	}
	for in, want := range map[string]string{"ASPMX.L.Example": "aspmx.l.example", "bücher.example.": "xn--bcher-kva.example", "a.xn--p1ai": "a.xn--p1ai"} {
		if d, err := policy.NormalizeDomain(in); err != nil || d.String() != want {
			t.Errorf("NormalizeDomain(%q) = %q, %v", in, d, err)
		}
	}
	for in, want := range map[string]string{"*.MX.example": ".mx.example", ".mx.example.": ".mx.example", "MX.example": "mx.example"} {
		if m, err := policy.NormalizeMXPattern(in); err != nil || m.String() != want {
			t.Errorf("NormalizeMXPattern(%q) = %q, %v", in, m, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(canonicalList))
	f.Add([]byte("{\n}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, l, err := policy.ParseList(data)
		if err != nil {
			return
		}
		if again, err := l.Bytes(h); err != nil || string(again) != string(data) {
			t.Errorf("accepted a list that writes back differently: %v\n%q\n%q", err, data, again)
		}
	})
}
