package tlsrpt_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// TestOneBadField puts something else into each place of a report, one place at a time, and leaves each place out: the report
// is read all the same, and all that is not in that place stays as it was.
func TestOneBadField(t *testing.T) {
	_, second, _ := strings.Cut(plain, `"policies": [`)
	text := strings.TrimSuffix(plain, "]\n}") + "," + second // twice the same policy
	whole := read(t, text)
	if len(whole.Policies) != 2 || len(whole.Notes) > 0 {
		t.Fatal(whole.Notes)
	}
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, path := range paths(tree, nil) {
		for _, bad := range []string{"null", "true", "-1", "1.5", `""`, `"\u001b[31m"`, "[]", "{}", `[[{"x":[1]}]]`, `{"report-id":{}}`, "NaN", "1e999", ""} {
			spoilt := write(tree, path, bad)
			r, err := tlsrpt.Read([]byte(spoilt), tlsrpt.DefaultLimits())
			if err != nil {
				t.Fatalf("/%s = %s loses the report: %v\n%s", strings.Join(path, "/"), bad, err, spoilt)
			}
			tried++
			if what := lost(whole, r, path); what != "" {
				t.Fatalf("/%s = %s loses %s:\n%+v\n%s", strings.Join(path, "/"), bad, what, r, spoilt)
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d reports were tried", tried)
	}
}

// paths are those of all values below v.
func paths(v any, at []string) (all [][]string) {
	visit := func(step string, child any) {
		path := append(append([]string(nil), at...), step)
		all = append(append(all, path), paths(child, path)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			visit(name, child)
		}
	case []any:
		for i, child := range v {
			visit(strconv.Itoa(i), child)
		}
	}
	return all
}

// write is the tree as JSON with bad at the path, or nothing at all for "".
func write(v any, path []string, bad string) string {
	if path != nil && len(path) == 0 {
		return bad
	}
	below := func(step string) []string {
		if len(path) > 0 && path[0] == step {
			return path[1:]
		}
		return nil
	}
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			if s := write(child, below(name), bad); s != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", name, s))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		for i, child := range v {
			if s := write(child, below(strconv.Itoa(i)), bad); s != "" {
				parts = append(parts, s)
			}
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lost names what of the whole report is not in r though it stood outside of the path.
func lost(whole, r *tlsrpt.Report, path []string) string {
	in := func(p ...string) bool { // the path leads there, or to something around it
		return len(path) <= len(p) && reflect.DeepEqual(path, p[:len(path)])
	}
	switch {
	case r.ID != whole.ID && !in("report-id"):
		return "report-id"
	case r.Organization != whole.Organization && !in("organization-name"):
		return "organization-name"
	case !r.Begin.Equal(whole.Begin) && !in("date-range", "start-datetime"):
		return "start-datetime"
	case !r.End.Equal(whole.End) && !in("date-range", "end-datetime"):
		return "end-datetime"
	case in("policies"):
		return ""
	}
	last := len(r.Policies) - 1 // one policy is spoilt, or left out; the last or the first is whole
	if last < 0 || path[0] != "policies" && last != 1 {
		return "a policy"
	}
	if path[0] != "policies" || path[1] == "0" {
		if !reflect.DeepEqual(r.Policies[last], whole.Policies[1]) {
			return "the second policy"
		}
	}
	if path[0] != "policies" || path[1] == "1" {
		if !reflect.DeepEqual(r.Policies[0], whole.Policies[0]) {
			return "the first policy"
		}
		return ""
	}
	if len(path) < 4 || last != 1 {
		return ""
	}
	return lostPolicy(&whole.Policies[0], &r.Policies[0], path[2:])
}

// lostPolicy is lost within a policy.
func lostPolicy(whole, p *tlsrpt.Policy, path []string) string {
	switch {
	case path[0] != "policy" && (p.Type != whole.Type || p.Domain != whole.Domain || !reflect.DeepEqual(p.MXHosts, whole.MXHosts)):
		return "what tells the policy"
	case path[0] == "policy" && path[1] != "policy-type" && p.Type != whole.Type:
		return "policy-type"
	case path[0] == "policy" && path[1] != "policy-domain" && p.Domain != whole.Domain:
		return "policy-domain"
	case path[0] != "summary" && (p.Successful != whole.Successful || p.Failed != whole.Failed):
		return "the summary"
	case path[0] == "summary" && path[1] != "total-failure-session-count" && p.Failed != whole.Failed:
		return "the failures"
	case path[0] != "failure-details" && !reflect.DeepEqual(p.Details, whole.Details):
		return "the details"
	case path[0] == "failure-details" && len(path) == 3 && len(p.Details) != len(whole.Details):
		return "a detail"
	case path[0] == "failure-details" && path[1] == "0" && !reflect.DeepEqual(p.Details[len(p.Details)-2:], whole.Details[1:]):
		return "another detail"
	}
	return ""
}
