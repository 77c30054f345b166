package probe

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/starttls-everywhere/policylist/schema"
)

// TestEvidenceKeepsToTheSchemas holds whole files, as the lab and as paper give them, against the published schemas.
func TestEvidenceKeepsToTheSchemas(t *testing.T) {
	set, err := schema.Load()
	must(t, err)
	for _, file := range [][]byte{
		scan(t, vantageKey(1), func(o *Options) { o.Canary, o.TrustAD = domain("a.example"), true }), onPaper(t, vantageKey(2)),
	} {
		lines := bytes.Split(bytes.TrimSuffix(file, []byte("\n")), []byte("\n"))
		for i, line := range lines {
			kind := schema.EvidenceDomain
			switch i {
			case 0:
				kind = schema.EvidenceHeader
			case len(lines) - 1:
				kind = schema.EvidenceSignature
			}
			checkSchema(t, set, kind, line)
		}
	}
}

func checkSchema(t *testing.T, set *schema.Set, kind schema.Kind, line []byte) {
	t.Helper()
	var v any
	must(t, json.Unmarshal(line, &v))
	for _, violation := range set.Validate(kind, v) {
		t.Errorf("%s: %s: %s\n%s", kind, violation.Pointer, violation.Message, line)
	}
}
