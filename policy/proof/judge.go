package proof

import (
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// The codes of a proof that does not speak for a change. Those that the probe gives as well, proof.many, proof.invalid,
// proof.expired and proof.too-far, are the same faults, seen at another time.
const (
	CodeMissing  = "proof.missing"
	CodeOther    = "proof.other"
	CodeReplayed = "proof.replayed"
	codeMany     = "proof.many"
	codeInvalid  = "proof.invalid"
	codeExpired  = "proof.expired"
	codeTooFar   = "proof.too-far"
)

// Codes explains the codes that only a judgement gives; package probe explains the others.
func Codes() []policy.Code {
	return []policy.Code{
		{ID: CodeMissing, Rules: []string{"R40", "R49"}, Severity: policy.Warning, Summary: "the owner's proof of control is not in the DNS",
			Fix: "publish the TXT record at _starttls-policy.<domain> that starttls-list propose prints"},
		{ID: CodeOther, Rules: []string{"R49"}, Severity: policy.Warning, Summary: "the proof of control is for another change than this one",
			Fix: "publish the record for this very entry: its digest changes with every mode and mx"},
		{ID: CodeReplayed, Rules: []string{"R49"}, Severity: policy.Warning, Summary: "the proof of control was used already: the entry that it asks for was made, and changed again later",
			Fix: "publish the record with another exp, so that it is a new word of the owner's"},
	}
}

// Used is when the list last took on the entry that a record asks for, and when that record was first seen; both zero
// when it never did.
type Used struct {
	Made, Seen time.Time
}

// replayed reports whether the record made that entry before: it was there before the change, so it cannot speak for
// a second one.
func (u Used) replayed() bool { return !u.Made.IsZero() && !u.Seen.After(u.Made) }

// Judge tells what keeps the records of a name from speaking for one of the wanted records, "" when nothing does. Of
// wanted only Kind and Change count. With several wanted any will do.
func Judge(r Reading, used Used, now time.Time, wanted ...Record) (code, detail string) {
	switch r.Status {
	case "", None:
		return CodeMissing, ""
	case Many:
		return codeMany, r.Detail
	case Invalid:
		return codeInvalid, r.Detail
	}
	switch r.At(now) {
	case Expired:
		return codeExpired, "it was good through " + r.Expires.AddDate(0, 0, -1).Format(time.DateOnly)
	case TooFar:
		return codeTooFar, fmt.Sprintf("at most %d days ahead", MaxDays)
	}
	for _, w := range wanted {
		if r.Kind != w.Kind || r.Change != w.Change {
			continue
		}
		if r.Kind == Change && used.replayed() {
			return CodeReplayed, "the list took it on at " + used.Made.UTC().Format(policy.TimeFormat)
		}
		return "", ""
	}
	return CodeOther, "it says " + r.String()
}
