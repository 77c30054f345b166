package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func TestFragmentHasANormalForm(t *testing.T) {
	const human = `{
	"policies": { "b.example": { "mxs": ["mx2.b.example", "*.B.example.", "mx1.b.example"],
	                             "note": "50 % <of> \"it\" \u00fc", "mode": "enforce" },
	  "BÜCHER.example": {"policy-alias": "p", "override": "why", "managed-by": "owner"} },
	"policy-aliases": {"p": {"mxs": ["mx.p.example"], "mode": "testing"}}
}`
	const normal = `{
  "policy-aliases": {
    "p": {"mode": "testing", "mxs": ["mx.p.example"]}
  },
  "policies": {
    "b.example": {"mode": "enforce", "mxs": [".b.example"], "note": "50 % <of> \"it\" ü"},
    "xn--bcher-kva.example": {"policy-alias": "p", "managed-by": "owner", "override": "why"}
  }
}
`
	for _, text := range []string{human, normal} {
		if out, err := policy.FormatFragment(policy.File{Path: "a.json", Data: []byte(text)}); err != nil || string(out) != normal {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestOldSourceKeepsItsHeader(t *testing.T) {
	const text = `{"version": "0.1", "expires": 1546300800, "timestamp": "2018-12-18T16:08:57.264163-08:00", "policies": {}, "policy-aliases": {}}`
	const want = `{
  "timestamp": "2018-12-18T16:08:57.264163-08:00",
  "expires": 1546300800,
  "version": "0.1",
  "policy-aliases": {},
  "policies": {}
}
`
	if out, err := policy.FormatOldSource(policy.File{Path: "old.json", Data: []byte(text)}); err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNothingIsFormattedThatWasNotUnderstood(t *testing.T) {
	for _, text := range []string{
		`{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"]},}}`,
		`{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example"], "comment": "would be lost"}}}`,
		`{"policies": {"a.example": {"policy-alias": "p"}, "a.example": {"policy-alias": "q"}}}`,
		`{"policies": {"a.example": {"policy-alias": "p"}, "A.example": {"policy-alias": "q"}}}`,
		`{"policies": {"a.example": {"mode": "testing", "mxs": ["mx.a.example", "192.0.2.1"]}}}`,
	} {
		out, err := policy.FormatFragment(policy.File{Path: "a.json", Data: []byte(text)})
		if !errors.Is(err, policy.ErrFormat) || !strings.Contains(err.Error(), "a.json:1:") || out != nil {
			t.Errorf("%s: %v\n%s", text, err, out)
		}
	}
	if _, err := policy.FormatSettings(policy.File{Path: "list.json", Data: []byte(`{"author": "a"}`)}); !errors.Is(err, policy.ErrFormat) {
		t.Error(err)
	}
}
