package canonical_test

import (
	"errors"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

func TestIntegers(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "7": 7, "9007199254740991": canonical.MaxInt} {
		s := canonical.NewScanner([]byte(in))
		if got := s.Int(); got != want || s.Done() != nil {
			t.Errorf("Int(%s) = %d, %v", in, got, s.Err())
		}
	}
	for _, in := range []string{"", "-1", "+1", "01", "1.0", "1e3", "9007199254740992", "99999999999999999999", "x", " 1"} {
		s := canonical.NewScanner([]byte(in))
		s.Int()
		if err := s.Done(); !errors.Is(err, canonical.ErrSyntax) {
			t.Errorf("Int(%q) was accepted: %v", in, err)
		}
	}
}

func TestStringsRefuseWhatHasTwoSpellings(t *testing.T) {
	for _, in := range []string{`"é"`, "\"\t\"", `"\n"`, `"\u0041"`, `"\/"`, `"open`, `"`, `x`, `"\`, "\"\x7f\""} {
		s := canonical.NewScanner([]byte(in))
		s.Str(100)
		if err := s.Done(); !errors.Is(err, canonical.ErrSyntax) {
			t.Errorf("Str(%q) was accepted", in)
		}
	}
	s := canonical.NewScanner([]byte(`"toolong"`))
	if s.Str(3); s.Err() == nil {
		t.Error("a string beyond its limit was accepted")
	}
}

func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "a", `q"b\c`, "tab\t", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		quoted, err := canonical.AppendString(nil, in)
		if err != nil {
			return
		}
		s := canonical.NewScanner(quoted)
		if got := s.Str(len(in)); got != in || s.Done() != nil {
			t.Errorf("%q came back as %q, %v", in, got, s.Err())
		}
		raw := canonical.NewScanner([]byte(in))
		if v := raw.Str(len(in)); raw.Done() == nil {
			if again, err := canonical.AppendString(nil, v); err != nil || string(again) != in {
				t.Errorf("accepted %q, which formats as %q", in, again)
			}
		}
	})
}
