package survey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/starttls-everywhere/policylist/pipeline/survey"
	"github.com/starttls-everywhere/policylist/policy"
)

func TestReadDomains(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		duplicates int
		bad        string // "2,5"
	}{
		"plain":         {"b.example\na.example\n", "a.example b.example", 0, ""},
		"no last end":   {"a.example", "a.example", 0, ""},
		"CRLF":          {"a.example\r\nb.example\r\n", "a.example b.example", 0, ""},
		"byte mark":     {"\ufeffa.example\n", "a.example", 0, ""},
		"ranking":       {"1,google.example\n2,a.example\n", "a.example google.example", 0, ""},
		"first column":  {"a.example,1\nb.example,x\n", "a.example b.example", 0, ""},
		"named column":  {"\"Rank\",\"Domain\",\"Open Page Rank\"\n\"1\",\"a.example\",\"10.00\"\n2,b.example\n3\n", "a.example b.example", 0, "4"},
		"other columns": {"1;a.example\n2\tb.example\n", "a.example b.example", 0, ""},
		"comments":      {"# all\n\n  a.example # the first\n   \n", "a.example", 0, ""},
		"twice":         {"a.example\nA.EXAMPLE.\nb\u00fccher.example\nxn--bcher-kva.example\n", "a.example xn--bcher-kva.example", 2, ""},
		"IDN":           {"b\u00fccher.example\n", "xn--bcher-kva.example", 0, ""},
		"bad":           {"a.example\nlocalhost\nhttps://b.example/\nc d.example\n192.0.2.1\n_x.example\n\x1b[2J.example\nd.example\n", "a.example d.example", 0, "2,3,4,5,6,7"},
		"numbers":       {"1\n1,\n,a.example\n", "a.example", 0, "1,2"},
		"long":          {"a.example\n" + strings.Repeat("x", 200_000) + "\nb.example\n", "a.example b.example", 0, "2"},
		"long, behind":  {"a.example," + strings.Repeat("x", 200_000) + "\nb.example\n", "b.example", 0, "1"},
		"long comment":  {"#" + strings.Repeat("x", 200_000) + "\nb.example\n", "b.example", 0, "1"},
		"empty":         {"", "", 0, ""},
		"NUL":           {"a.example\x00\n", "", 0, "1"},
	} {
		got, input, err := survey.ReadDomains(iotest.OneByteReader(strings.NewReader(c.text)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var names, bad []string
		for _, d := range got {
			names = append(names, d.String())
		}
		for _, b := range input.BadLines {
			bad = append(bad, fmt.Sprint(b.Line))
			if b.Why == "" {
				t.Errorf("%s: line %d is bad for no reason", name, b.Line)
			}
		}
		if strings.Join(names, " ") != c.want || strings.Join(bad, ",") != c.bad || input.Duplicates != c.duplicates || input.Bad != len(bad) ||
			input.Domains != len(got) || input.Lines != len(got)+len(bad)+c.duplicates {
			t.Errorf("%s: %q, %+v", name, names, input)
		}
	}
}

func TestReadDomainsRefuses(t *testing.T) {
	for name, text := range map[string]string{"UTF-16": "\xff\xfea\x00.\x00b\x00", "UTF-16, the other": "\xfe\xff\x00a"} {
		if _, _, err := survey.ReadDomains(strings.NewReader(text)); !errors.Is(err, survey.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("the disk is broken")
	if _, _, err := survey.ReadDomains(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken reader: %v", err)
	}
	_, input, err := survey.ReadDomains(strings.NewReader(strings.Repeat("localhost\n", 1000)))
	if err != nil || input.Bad != 1000 || len(input.BadLines) != 20 {
		t.Errorf("a thousand bad lines: %v, %d told of %d", err, len(input.BadLines), input.Bad)
	}
}

// FuzzReadDomains: whatever the file, its domains are canonical, sorted and unique, and every line is accounted for.
func FuzzReadDomains(f *testing.F) {
	for _, seed := range []string{"1,a.example\n2,b.example", "domain\na.example", "\ufeff# x\nB\u00dcCHER.example;1\r\n", "\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domains, input, err := survey.ReadDomains(strings.NewReader(text))
		if err != nil {
			return
		}
		for i, d := range domains {
			if _, err := policy.ParseDomain(d.String()); err != nil || i > 0 && domains[i-1].String() >= d.String() {
				t.Fatalf("%q after %q: %v", d, domains[max(i-1, 0)], err)
			}
		}
		if input.Domains != len(domains) || input.Lines != input.Domains+input.Duplicates+input.Bad || input.Lines > strings.Count(text, "\n")+1 {
			t.Fatalf("%d domains, %+v", len(domains), input)
		}
	})
}
