// Package mtasts reads what RFC 8461 lets a domain publish: the TXT record at _mta-sts.<domain> and the policy text at
// https://mta-sts.<domain>/.well-known/mta-sts.txt. It is pure: bytes in, values out; who fetches them and how is not
// its business.
//
//	rec, err := mtasts.ParseRecord([]string{"v=STSv1; id=20260101;"})
//	rec.ID                   // "20260101"
//	p, err := mtasts.ParsePolicy([]byte("version: STSv1\nmode: enforce\nmx: *.a.example\nmax_age: 604800\n"))
//	p.Mode                   // mtasts.Enforce
//	p.MXs[0]                 // policy.MXPattern ".a.example"
//	p.Deviations             // nil: the text keeps to the grammar
//
// Reading is tolerant where senders in the field are, and says so: Policy.Deviations lists what a reader that keeps to
// the letter of the grammar would refuse.
package mtasts

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoRecord says that a domain has no MTA-STS: no record, or more than one (RFC 8461 section 3.1).
	ErrNoRecord = errors.New("no MTA-STS record")
	// ErrManyRecords is the ErrNoRecord of a domain with more than one record.
	ErrManyRecords = fmt.Errorf("%w: more than one begins with v=STSv1", ErrNoRecord)
	// ErrRecord says that the one record is broken, which to a sender is the same as none.
	ErrRecord = errors.New("broken MTA-STS record")
)

// maxID is the longest id (RFC 8461 section 3.1).
const maxID = 32

// Record is an MTA-STS TXT record. Two fetches with the same ID have the same policy.
type Record struct{ ID string }

// ParseRecord finds the record among the TXT records of one name, each with its strings joined without a space. Those
// that do not begin with "v=STSv1;" are other people's and are ignored.
func ParseRecord(txts []string) (Record, error) {
	var found []string
	for _, txt := range txts {
		if rest, ok := strings.CutPrefix(txt, "v=STSv1"); ok && strings.HasPrefix(trim(rest), ";") {
			found = append(found, rest)
		}
	}
	switch len(found) {
	case 0:
		return Record{}, ErrNoRecord
	case 1:
		return parseFields(found[0])
	}
	return Record{}, ErrManyRecords
}

// parseFields reads what follows the version: fields, each behind a semicolon; one semicolon may end the record.
func parseFields(rest string) (Record, error) {
	fields := strings.Split(rest, ";")[1:]
	if last := len(fields) - 1; trim(fields[last]) == "" {
		fields = fields[:last]
	}
	rec, seen := Record{}, false
	for _, field := range fields {
		name, value, ok := strings.Cut(trim(field), "=")
		switch {
		case !ok || !fieldName(name) || !fieldValue(value):
			return Record{}, fmt.Errorf("%w: field %q", ErrRecord, field)
		case name != "id":
		case seen:
			// The RFC leaves open which one counts, so senders differ.
			return Record{}, fmt.Errorf("%w: two ids", ErrRecord)
		case len(value) > maxID || !all(value, alphanumeric):
			return Record{}, fmt.Errorf("%w: id %q is not 1 to %d letters and digits", ErrRecord, value, maxID)
		default:
			rec.ID, seen = value, true
		}
	}
	if !seen {
		return Record{}, fmt.Errorf("%w: no id", ErrRecord)
	}
	return rec, nil
}

// trim takes off WSP (RFC 5234 appendix B.1), which is less than what Go calls space.
func trim(s string) string { return strings.Trim(s, " \t") }

// fieldName is sts-ext-name: a letter or digit, then up to 31 letters, digits, "_", "-" and ".".
func fieldName(s string) bool {
	return s != "" && len(s) <= 32 && alphanumeric(s[0]) &&
		all(s, func(c byte) bool { return alphanumeric(c) || c == '_' || c == '-' || c == '.' })
}

// fieldValue is sts-ext-value: printable ASCII without space, "=" and ";".
func fieldValue(s string) bool {
	return s != "" && all(s, func(c byte) bool { return c > 0x20 && c < 0x7f && c != '=' && c != ';' })
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func all(s string, ok func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
