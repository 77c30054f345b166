package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// A code means one thing, whichever part of the program gives it.
func TestCodesAreUniqueAndExplained(t *testing.T) {
	seen := map[string]policy.Code{}
	for _, c := range codes() {
		if first, twice := seen[c.ID]; twice {
			t.Errorf("%s means %q and %q", c.ID, first.Summary, c.Summary)
		}
		seen[c.ID] = c
		if c.Summary == "" || c.Fix == "" || !slices.Contains([]policy.Severity{policy.Error, policy.Warning, policy.Notice, policy.Reason}, c.Severity) {
			t.Errorf("incomplete: %+v", c)
		}
	}
	if len(seen) <= len(policy.Codes()) {
		t.Error("the probe's codes are missing")
	}
}

// What check --format json prints is what its schema says.
func TestJSONReportFollowsItsSchema(t *testing.T) {
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Policy{Mode: policy.Testing}
	m, err := policy.ParseMXPattern("mx.a.example")
	if err != nil {
		t.Fatal(err)
	}
	p.MXs = []policy.MXPattern{m}
	d, err := policy.ParseDomain("a.example")
	if err != nil {
		t.Fatal(err)
	}
	at := policy.Position{File: "list/a.json", Line: 3, Col: 5}
	for _, r := range []report{
		{Source: "list", Verdict: "pass", Findings: []policy.Finding{}},
		{Source: "list", Verdict: "fail", Base: "main", Domains: 1,
			Findings: []policy.Finding{policy.NewFinding("mode.missing", at, "a.example", "no mode"), policy.NewFinding("list.missing", policy.Position{File: "list.json"}, "", "none")},
			Changes: []policy.SourceChange{
				{Change: policy.Change{Domain: d, New: &p, Class: policy.Added}, At: at},
				{Change: policy.Change{Domain: d, Old: &p, New: &p, Class: policy.Strengthened | policy.MXsReplaced}, At: at, Alias: "p"},
				{Change: policy.Change{Domain: d, Old: &p, Class: policy.Removed}},
			}},
	} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		for _, violation := range set.Validate(schema.Findings, v) {
			t.Errorf("%s: %s in %s", violation.Pointer, violation.Message, text)
		}
	}
}
