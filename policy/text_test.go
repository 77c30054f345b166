package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// textOf writes entries as policy.json and opens it as Text.
func textOf(t testing.TB, entries []policy.Entry) (policy.List, policy.Text) {
	t.Helper()
	l, err := policy.NewList(entries)
	if err != nil {
		t.Fatal(err)
	}
	data, err := l.Bytes(header())
	if err != nil {
		t.Fatal(err)
	}
	h, text, err := policy.OpenText(data)
	if err != nil || h != header() {
		t.Fatalf("%+v, %v", h, err)
	}
	return l, text
}

// sameAnswer demands that list and text say the same of name.
func sameAnswer(t *testing.T, l policy.List, text policy.Text, d policy.Domain) {
	t.Helper()
	want, listed := l.Lookup(d)
	for _, text := range []policy.Text{text, text.Indexed()} {
		got, found, err := text.Lookup(d)
		if err != nil || found != listed || !got.Equal(want) {
			t.Errorf("%s of %d: %v %v %v, want %v %v", d, l.Len(), got, found, err, want, listed)
		}
	}
}

// TestTextAnswersAsTheList: for lists of every small size, each domain and its neighbours on both sides.
func TestTextAnswersAsTheList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var entries []policy.Entry
	for n := range 60 {
		l, text := textOf(t, entries)
		if text.Len() != len(entries) {
			t.Errorf("%d domains, want %d", text.Len(), len(entries))
		}
		for _, e := range entries {
			name := e.Domain.String()
			for _, near := range []string{name, "a" + name, strings.Replace(name, ".", "-x.", 1), strings.Replace(name, ".", "0.", 1), name + "x"} {
				sameAnswer(t, l, text, domain(t, near))
			}
		}
		for _, name := range []string{"0.example", "a.example", "zzz.zzz"} {
			sameAnswer(t, l, text, domain(t, name))
		}
		name := fmt.Sprintf("%s%d%s.example", strings.Repeat("m", rnd.IntN(50)), n, []string{"", "-0", ".b"}[n%3])
		entries = append(entries, entry(t, name, []policy.Mode{policy.Enforce, policy.Testing}[n%2], "mx."+name, "."+name))
	}
}

// TestTextRefusesWhatIsNoList: a file cut short is refused when it is opened, a damaged line when it is met; neither is
// ever taken for "not listed".
func TestTextRefusesWhatIsNoList(t *testing.T) {
	for n := range len(canonicalList) {
		if _, _, err := policy.OpenText([]byte(canonicalList[:n])); !errors.Is(err, policy.ErrList) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	for _, damage := range [][2]string{
		{`"a.example":`, `a.example":`}, {`"a.example":`, `"a.example`}, {`{"mode":"enforce"`, `{"mode":"enforced"`},
		{`"b.example":{`, `b.example:{`}, {"]},\n", "]},,\n"},
	} {
		_, text, err := policy.OpenText([]byte(strings.Replace(canonicalList, damage[0], damage[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		_, _, errA := text.Lookup(domain(t, "a.example"))
		_, _, errB := text.Lookup(domain(t, "b.example"))
		if !errors.Is(errA, policy.ErrList) && !errors.Is(errB, policy.ErrList) {
			t.Errorf("%q for %q: %v, %v", damage[1], damage[0], errA, errB)
		}
	}
}

// FuzzText: whatever the bytes, a lookup ends; and where they are a list, it says what the list says.
func FuzzText(f *testing.F) {
	f.Add([]byte(canonicalList), "a.example")
	f.Add([]byte(strings.Replace(canonicalList, "b.example", "a.example", 1)), "b.example")
	f.Add([]byte(strings.Replace(canonicalList, ",\n\"b", "\n\"b", 1)), "c.example")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		d, err := policy.ParseDomain(name)
		if err != nil {
			return
		}
		_, text, err := policy.OpenText(data)
		_, l, strict := policy.ParseList(data)
		if strict == nil && err != nil {
			t.Fatalf("a list is refused: %v", err)
		}
		if err != nil {
			return
		}
		if _, _, err := text.Lookup(d); err != nil && !errors.Is(err, policy.ErrList) {
			t.Fatal(err)
		}
		if _, _, err := text.Indexed().Lookup(d); err != nil && !errors.Is(err, policy.ErrList) {
			t.Fatal(err)
		}
		if strict == nil {
			sameAnswer(t, l, text, d)
		}
	})
}

// BenchmarkText compares a lookup in the bytes with one in the decoded list, for a million domains, and what it takes
// to be ready for either.
func BenchmarkText(b *testing.B) {
	entries := make([]policy.Entry, 1_000_000)
	for i := range entries {
		entries[i] = entry(b, fmt.Sprintf("d%06d.example", i), policy.Enforce, fmt.Sprintf("mx%d.provider.example", i%2000), ".mail.provider.example")
	}
	l, text := textOf(b, entries)
	data, err := l.Bytes(header())
	if err != nil {
		b.Fatal(err)
	}
	at := func(i int) policy.Domain { return entries[i*7919%len(entries)].Domain }
	b.Run("list", func(b *testing.B) {
		for i := range b.N {
			l.Lookup(at(i))
		}
	})
	b.Run("text", func(b *testing.B) {
		for i := range b.N {
			text.Lookup(at(i))
		}
	})
	indexed := text.Indexed()
	b.Run("indexed", func(b *testing.B) {
		for i := range b.N {
			indexed.Lookup(at(i))
		}
	})
	b.Run("index", func(b *testing.B) {
		for range b.N {
			text.Indexed()
		}
	})
	b.Run("parse", func(b *testing.B) {
		for range b.N {
			policy.ParseList(data)
		}
	})
	b.Run("open", func(b *testing.B) {
		for range b.N {
			policy.OpenText(bytes.Clone(data))
		}
	})
}
