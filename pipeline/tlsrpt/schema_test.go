package tlsrpt_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
	"github.com/starttls-everywhere/policylist/schema"
	"github.com/starttls-everywhere/policylist/schema/schematest"
)

// The validator takes the contributions that the schema calls valid, and refuses those with a flaw.
func TestContributionSchemaAgrees(t *testing.T) {
	for pattern, want := range map[string]bool{"valid/contribution/*.json": true, "invalid/contribution/*.txtar": false} {
		paths, err := filepath.Glob("../../schema/" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			text := schematest.Canonical(t, path)
			_, err := tlsrpt.ValidateContribution(tlsrpt.Pad(bytes.Clone(text)))
			if (err == nil) != want {
				t.Errorf("%s: %v in %s", path, err, text)
			}
		}
	}
}

// What a contributor's day comes to passes the schema, as other programs read it.
func TestContributionPassesSchema(t *testing.T) {
	set, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := tlsrpt.ParseDay("2026-01-10")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../../schema/valid/contribution/whole.json", "../../schema/valid/contribution/silent-day.json"} {
		c, err := tlsrpt.ValidateContribution(tlsrpt.Pad(schematest.Canonical(t, path)))
		if err != nil || c.Day != d {
			t.Fatal(path, err)
		}
		for i := range tlsrpt.ResultTypes() { // each result and each kind of MX
			for j := range c.Entries {
				c.Entries[j].Failed = 500
				c.Entries[j].Details = []tlsrpt.ContributedDetail{
					{Result: tlsrpt.ResultTypes()[i], Failed: 20}, {Result: tlsrpt.ResultTypes()[i], MX: tlsrpt.ListedPattern, Failed: 50},
					{Result: tlsrpt.ResultTypes()[i], MX: tlsrpt.UnlistedMX, Failed: 500},
				}
			}
			body, err := tlsrpt.MarshalContribution(c)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			decoder := json.NewDecoder(strings.NewReader(string(body)))
			decoder.UseNumber()
			if err := decoder.Decode(&v); err != nil {
				t.Fatal(err)
			}
			for _, flaw := range set.Validate(schema.Contribution, v) {
				t.Errorf("%s: %s in %s", flaw.Pointer, flaw.Message, bytes.TrimRight(body, " "))
			}
		}
	}
}
