package policy_test

import (
	"fmt"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// All forms of a time that old lists may have (rule R5).
func TestOldTimes(t *testing.T) {
	for text, want := range map[string]string{
		`1546300800`:                            "2019-01-01T00:00:00Z",
		`"2019-01-01T00:00:00Z"`:                "2019-01-01T00:00:00Z",
		`"2019-01-01t00:00:00z"`:                "2019-01-01T00:00:00Z",
		`"2018-12-31T16:00:00-08:00"`:           "2019-01-01T00:00:00Z",
		`"2018-12-31T16:00:00-0800"`:            "2019-01-01T00:00:00Z",
		`"2018-12-18T16:08:57.264163-08:00"`:    "2018-12-19T00:08:57Z",
		`"2018-07-30T08:44:05.93935487-07:00"`:  "2018-07-30T15:44:05Z",
		`"2016-12-31T23:59:60Z"`:                "2016-12-31T23:59:59Z",
		`"2019-01-01"`:                          "",
		`"2019-01-01T00:00:00"`:                 "",
		`"2019-13-01T00:00:00Z"`:                "",
		`""`:                                    "",
		`-1`:                                    "",
		`1.5e9`:                                 "",
		`99999999999999999999`:                  "",
		`null`:                                  "",
		`{"seconds": 1546300800}`:               "",
		`"2019-01-01T00:00:00Z\u0000 and junk"`: "",
	} {
		list, findings := policy.ParseOldList(policy.File{Path: "old.json", Data: fmt.Appendf(nil,
			`{"timestamp": %s, "expires": "2030-01-01T00:00:00Z", "version": "0.1", "policies": {}, "policy-aliases": {}}`, text)})
		got := ""
		if !list.Timestamp.IsZero() {
			got = list.Timestamp.Format(policy.TimeFormat)
		}
		if refused := codesOf(findings)["time.form"] == 1; got != want || refused != (want == "") {
			t.Errorf("%s is read as %q, want %q; %v", text, got, want, findings)
		}
	}
}

func TestOldListKeepsWhatIsUsable(t *testing.T) {
	list, findings := policy.ParseOldList(policy.File{Path: "old.json", Data: []byte(`{
  "timestamp": "2018-12-18T16:08:57.264163-08:00", "expires": "2019-01-01T16:08:57.264182-08:00", "version": "0.1", "author": "A",
  "pinsets": {}, "policy-aliases": {"p": {"mode": "testing", "mxs": ["*.P.example"]}},
  "policies": {
    "b.example": {"mode": "enforce", "mxs": ["MX.b.example"]},
    "B.example": {"mode": "enforce", "mxs": ["mx9.b.example"]},
    "a.example": {"policy-alias": "p"},
    "bad_name.example": {"policy-alias": "p"},
    "c.example": {"mode": "none", "mxs": ["mx.c.example"]},
    "d.example": {"policy-alias": "gone"}
  }}`)})
	var got string
	for _, e := range list.Entries {
		got += e.Domain.String() + string(e.Policy.AppendJSON(nil)) + "\n"
	}
	if got != "a.example{\"mode\":\"testing\",\"mxs\":[\".p.example\"]}\nb.example{\"mode\":\"enforce\",\"mxs\":[\"mx9.b.example\"]}\n" {
		t.Errorf("entries\n%s", got)
	}
	for _, code := range []string{"source.retired-key", "mx.form", "domain.form", "domain.duplicate", "domain.syntax", "mode.unknown", "alias.unknown", "source.order"} {
		if codesOf(findings)[code] == 0 {
			t.Errorf("%s is not reported", code)
		}
	}
	if list.Expires.Sub(list.Timestamp).Hours() != 14*24 || list.Author != "A" {
		t.Errorf("%+v", list.Header)
	}
}
