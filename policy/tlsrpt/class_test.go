package tlsrpt_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Each result of RFC 8460 has a class, each class is reached, and what is unknown is "other".
func TestClasses(t *testing.T) {
	want := map[tlsrpt.Class]string{
		tlsrpt.ClassNoSTARTTLS:   "starttls-not-supported",
		tlsrpt.ClassHostMismatch: "certificate-host-mismatch",
		tlsrpt.ClassCertificate:  "certificate-expired certificate-not-trusted",
		tlsrpt.ClassSTS:          "sts-policy-fetch-error sts-policy-invalid sts-webpki-invalid",
		tlsrpt.ClassDANE:         "tlsa-invalid dnssec-invalid dane-required",
		tlsrpt.ClassOther:        "validation-failure",
	}
	got := map[tlsrpt.Class]string{}
	for _, r := range tlsrpt.ResultTypes() {
		if parsed, known := tlsrpt.ParseResultType(string(r)); !known || parsed != r {
			t.Errorf("%s is not known", r)
		}
		got[r.Class()] = strings.TrimSpace(got[r.Class()] + " " + string(r))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if c := tlsrpt.ResultType("dane-mismatch").Class(); c != tlsrpt.ClassOther {
		t.Error(c)
	}
	if len(tlsrpt.Classes()) != len(want)+1 {
		t.Error(tlsrpt.Classes())
	}
}

func TestByClass(t *testing.T) {
	for _, c := range []struct {
		name   string
		report string
		want   string
	}{
		{"all good", entries("sts d.example 7/0"), "ok=7"},
		{"one cause", entries("sts d.example 5/2 certificate-expired=2"), "certificate=2 ok=5"},
		{"two results of one class", entries("sts d.example 5/3 certificate-expired=2 certificate-not-trusted=1"), "certificate=3 ok=5"},
		{"no word of the cause", entries("sts d.example 5/2"), "ok=5 other=2"},
		{"a word of some", entries("sts d.example 5/3 sts-policy-invalid=1"), "ok=5 other=2 sts=1"},
		{"the same seen twice", entries("sts d.example 5/2 certificate-host-mismatch=2", "tlsa d.example 6/1 tlsa-invalid=1"), "dane=1 host-mismatch=2 ok=5"},
		{"without a policy", entries("no-policy-found d.example 1/3 starttls-not-supported=3", "sts d.example 5/2 starttls-not-supported=2"), "ok=6 starttls-not-supported=5"},
		{"one session in two ways", entries("sts d.example 5/1 certificate-expired=1 certificate-host-mismatch=1"), "certificate=1 host-mismatch=1 ok=5"},
	} {
		var got []string
		for class, n := range tlsrpt.Tallies(read(t, c.report))[0].ByClass() {
			got = append(got, fmt.Sprintf("%s=%d", class, n))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// Reports of a day add up, in whatever order they come.
func TestMerge(t *testing.T) {
	var all []tlsrpt.Tally
	for _, text := range []string{
		entries("sts d.example 7/2 certificate-expired=2", "tlsa d.example 9/0"), entries("tlsa d.example 1/1 tlsa-invalid=1"),
		entries("no-policy-found d.example 3/0"), entries("sts d.example 1/1 sts-policy-invalid=1"), entries("sts d.example 9007199254740991/0"),
	} {
		all = append(all, tlsrpt.Tallies(read(t, text))...)
	}
	const want = "d.example 2026-01-10 9007199254740991 sessions 4 failed; no-policy-found 3/0; sts 9007199254740991/3 certificate-expired=2 sts-policy-invalid=1; tlsa 10/1 tlsa-invalid=1"
	for range all {
		all = append(all[1:], all[0])
		sum := tlsrpt.Tally{Domain: all[0].Domain, Day: all[0].Day}
		for _, tally := range all {
			sum = tlsrpt.Merge(sum, tally)
		}
		if got := show([]tlsrpt.Tally{sum}); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

func TestDay(t *testing.T) {
	for text, want := range map[string]tlsrpt.Day{"1970-01-01": 0, "1969-12-31": -1, "2026-01-10": 20463, "2024-02-29": 19782} {
		d, err := tlsrpt.ParseDay(text)
		if err != nil || d != want || d.String() != text || tlsrpt.DayOf(d.Begin()) != d || tlsrpt.DayOf(d.End()) != d || tlsrpt.DayOf(d.End().Add(time.Second)) != d+1 {
			t.Errorf("%s: %d, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "2026-1-10", "2026-01-32", "2025-02-29", "2026-01-10T00:00:00Z", "10.1.2026"} {
		if _, err := tlsrpt.ParseDay(text); err == nil {
			t.Errorf("%q is a day", text)
		}
	}
	text, err := json.Marshal(map[tlsrpt.Day]tlsrpt.Day{20463: 20464})
	var back map[tlsrpt.Day]tlsrpt.Day
	if err != nil || string(text) != `{"2026-01-10":"2026-01-11"}` || json.Unmarshal(text, &back) != nil || back[20463] != 20464 {
		t.Errorf("%s, %v", text, err)
	}
	if err := json.Unmarshal([]byte(`["yesterday"]`), &[]tlsrpt.Day{}); err == nil {
		t.Error("yesterday is a day")
	}
}
