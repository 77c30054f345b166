// Package proof reads and writes a domain owner's proof of control, and judges whether it speaks for a change. It is
// pure: TXT strings and times in, values out; package discovery looks it up.
//
// The proof is one TXT record at _starttls-policy.<domain>, in one of three forms:
//
//	v=STP1; change=<hex SHA-256 of the canonical new entry {"mode","mxs"}>; exp=2026-12-31
//	v=STP1; remove; exp=2026-12-31
//	v=STP1; emergency; exp=2026-12-31
//
// Exactly one record that begins with "v=STP1;" counts; all others at the name are ignored. A CNAME may lead to a
// provider's record: since the digest is of the entry and not of the domain, one record proves for every domain whose
// entry is the same.
package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/txtrecord"
)

// Name is the label below which the record stands.
const Name = "_starttls-policy"

// version begins each record.
const version = "v=STP1"

// MaxDays is how many days ahead a proof may expire: what an owner forgets in the DNS must not speak for the next.
const MaxDays = 60

// Status is what the records of one name are worth.
type Status string

const (
	OK      Status = "ok"      // one good record
	None    Status = "none"    // no record
	Many    Status = "many"    // more than one, which is as good as none
	Invalid Status = "invalid" // one record, but broken; Detail says how
	Expired Status = "expired" // its day is over
	TooFar  Status = "too-far" // it expires later than MaxDays from now
)

// Kind is what the owner of a domain asks for.
type Kind string

const (
	Change    Kind = "change"    // the entry with the hash Record.Change
	Remove    Kind = "remove"    // no entry
	Emergency Kind = "emergency" // mail cannot arrive: to testing
)

// Record is what a proof asks for. Records compare with ==; the zero value asks for nothing.
type Record struct {
	Kind    Kind
	Change  string    // with Change: 64 lower-case hex digits
	Expires time.Time // the end of the day exp, UTC: the first moment at which the record is void
}

// Reading is what the TXT records of one name say.
type Reading struct {
	Record        // set for any record that is not broken
	Status Status //
	Detail string // what is wrong, text of the record in it quoted as Go quotes strings; "" for OK and None
}

// Parse finds and reads the record among the TXT records of one name, each with its strings joined without a space, as
// of now.
func Parse(txts []string, now time.Time) Reading {
	fields, found := txtrecord.Versioned(version, txts)
	switch found {
	case 0:
		return Reading{Status: None}
	case 1:
	default:
		return Reading{Status: Many, Detail: fmt.Sprintf("%d records begin with %s", found, version)}
	}
	var p Reading
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return Reading{Status: Invalid, Detail: err.Error()}
		}
	}
	switch {
	case p.Kind == "":
		return Reading{Status: Invalid, Detail: "it asks for nothing: neither change=… nor remove nor emergency"}
	case p.Expires.IsZero():
		return Reading{Status: Invalid, Detail: "it has no exp"}
	}
	if p.Status = p.At(now); p.Status == Expired {
		p.Detail = "its day is over"
	} else if p.Status == TooFar {
		p.Detail = fmt.Sprintf("it expires more than %d days from now", MaxDays)
	}
	return p
}

// At is what a record that is not broken is worth at a time: OK, Expired or TooFar.
func (r Record) At(now time.Time) Status {
	today := now.UTC().Truncate(24 * time.Hour)
	switch {
	case !now.Before(r.Expires):
		return Expired
	case r.Expires.After(today.AddDate(0, 0, MaxDays+1)):
		return TooFar
	}
	return OK
}

// String is the text that Parse reads back, "" for a Record that asks for nothing.
func (r Record) String() string {
	what := string(r.Kind)
	switch r.Kind {
	case "":
		return ""
	case Change:
		what += "=" + r.Change
	}
	return version + "; " + what + "; exp=" + r.Expires.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
}

// For is the record that asks for entry through the day on which exp falls, UTC.
func For(entry policy.Policy, exp time.Time) Record {
	return Record{Kind: Change, Change: Digest(entry), Expires: exp.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)}
}

// Digest is the Record.Change that asks for entry: the hex SHA-256 of its canonical JSON, {"mode":"…","mxs":["…"]}.
func Digest(entry policy.Policy) string {
	sum := sha256.Sum256(entry.AppendJSON(nil))
	return hex.EncodeToString(sum[:])
}

// field reads one field. Unlike in other records an unknown one is an error: what it was meant to limit would be done
// without the limit.
func (r *Record) field(field string) error {
	name, value, _ := strings.Cut(field, "=")
	shown := field[:min(len(field), 100)]
	if name == "exp" {
		day, err := time.Parse(time.DateOnly, value)
		if err != nil || !r.Expires.IsZero() {
			return fmt.Errorf("field %q: one date, YYYY-MM-DD, is wanted", shown)
		}
		r.Expires = day.AddDate(0, 0, 1)
		return nil
	}
	if r.Kind != "" {
		return fmt.Errorf("field %q: it already asks for %q", shown, r.Kind)
	}
	switch {
	case field == string(Remove) || field == string(Emergency):
		r.Kind = Kind(field)
	case name == string(Change) && isDigest(value):
		r.Kind, r.Change = Change, value
	default:
		return fmt.Errorf("field %q is none of change=<64 lower-case hex digits>, remove, emergency and exp=<date>", shown)
	}
	return nil
}

// isDigest reports whether s is a SHA-256 in lower-case hex.
func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
