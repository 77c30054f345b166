package tlsrpt

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// dictionary reads PRIVACY.md: the fields of each heading, and how many cells their rows have.
func dictionary(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("PRIVACY.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	heading := ""
	row := regexp.MustCompile("^\\| `([^`]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$")
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		switch m := regexp.MustCompile("^### `([^`]+)`").FindStringSubmatch(line); {
		case m != nil:
			heading = m[1]
			out[heading] = nil
		case strings.HasPrefix(line, "| `"):
			f := row.FindStringSubmatch(line)
			if f == nil {
				t.Fatalf("not a field with why, how long and who: %s", line)
			}
			out[heading] = append(out[heading], f[1])
		}
	}
	return out
}

// fields are the names that a struct is stored or sent by: of its JSON, else its own.
func fields(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		out = append(out, name)
	}
	return out
}

// TestDictionary: whatever is stored or sent is in PRIVACY.md, and what is there is stored or sent.
func TestDictionary(t *testing.T) {
	said := dictionary(t)
	for heading, want := range map[string][]string{
		"tlsrpt.Contribution":      fields(reflect.TypeFor[tlsrpt.Contribution]()),
		"tlsrpt.Contributed":       fields(reflect.TypeFor[tlsrpt.Contributed]()),
		"tlsrpt.ContributedDetail": fields(reflect.TypeFor[tlsrpt.ContributedDetail]()),
		"headers":                  {tlsrpt.ContributorHeader, tlsrpt.SignatureHeader},
		"tlsrpt.Receipt":           fields(reflect.TypeFor[tlsrpt.Receipt]()),
		"feedback.Book":            fields(reflect.TypeFor[feedback.Book]()),
		"feedback.Entry":           fields(reflect.TypeFor[feedback.Entry]()),
		"feedback.Asked":           fields(reflect.TypeFor[feedback.Asked]()),
		"Line":                     fields(reflect.TypeFor[Line]()),
		"Enrolment":                fields(reflect.TypeFor[Enrolment]()),
		"Contributed":              fields(reflect.TypeFor[Contributed]()),
		"Row":                      fields(reflect.TypeFor[Row]()),
		"tlsrpt.Tally":             fields(reflect.TypeFor[tlsrpt.Tally]()),
		"tlsrpt.PolicyTally":       fields(reflect.TypeFor[tlsrpt.PolicyTally]()),
		"tlsrpt.ResultTally":       fields(reflect.TypeFor[tlsrpt.ResultTally]()),
		"cells.Observation":        fields(reflect.TypeFor[cells.Observation]()),
		"chosen":                   {"domains", "month", "providers"},
		"cells.Table":              fields(reflect.TypeFor[cells.Table]()),
		"cells.Row":                fields(reflect.TypeFor[cells.Row]()),
		"policy.Finding":           fields(reflect.TypeFor[policy.Finding]()),
		"log":                      logLines(t),
		// What no struct has:
		"connection": {"IP address", "names looked up in the DNS", "size", "time of arrival"},
		"counts":     {"bytes by reporter", "by outcome", "keys of documents"},
	} {
		got := slices.Sorted(slices.Values(said[heading]))
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: PRIVACY.md has %q, the code %q", heading, got, want)
		}
		delete(said, heading)
	}
	for heading := range said {
		t.Errorf("PRIVACY.md speaks of %s, which no test knows", heading)
	}
	// The store's own forms have no fields beyond those of what is documented.
	for _, c := range []struct {
		stored reflect.Type
		known  []string
	}{
		{reflect.TypeFor[rowJSON](), []string{"reports", "sessions", "failed", "policies"}},
		{reflect.TypeFor[policyJSON](), []string{"type", "ok", "failed", "results"}},
		{reflect.TypeFor[resultJSON](), []string{"type", "n"}},
		{reflect.TypeFor[enrolmentJSON](), []string{"state", "added", "looked", "seen", "faults"}},
	} {
		if got := fields(c.stored); !slices.Equal(got, c.known) {
			t.Errorf("%s: %q is stored: say so in PRIVACY.md, and here", c.stored, got)
		}
	}
	if len(buckets) != 6 {
		t.Errorf("the store has %d buckets: say in PRIVACY.md what is in the new one, and here", len(buckets))
	}
}

// logLines are the messages that the server and its daily work log; an error's are one.
func logLines(t *testing.T) []string {
	t.Helper()
	out := map[string]bool{"err": true}
	for _, path := range []string{"server.go", "intake.go", "../../cmd/starttls-list/config_feedback.go"} {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?i)\blog\.(Debug|Info|Warn)\("([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
			out[m[2]] = true
		}
	}
	var all []string
	for line := range out {
		all = append(all, line)
	}
	return all
}
