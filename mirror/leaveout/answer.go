package leaveout

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrAnswer is what every line wraps that is none of a Book's.
var ErrAnswer = errors.New("not a line of a domain's answers")

// Answer is what is known of a domain besides its MTA-STS policy. Times are whole seconds, zero for never.
type Answer struct {
	Asked  time.Time // when the domain was asked last, with or without success
	DANE   bool      // it had usable DANE
	DANEAt time.Time // when that was answered
	STSAt  time.Time // when the search for its MTA-STS policy came to an answer
}

// confirmed reports whether an answer of the time at is one that attempts since have not failed to confirm for too long. It
// does not depend on the present: a domain whose turn does not come, because there are so many, keeps its answer. One of a time
// to come, by a clock that was far ahead, ends as well.
func (a Answer) confirmed(at time.Time) bool {
	return !at.IsZero() && a.Asked.Sub(at).Abs() < unconfirmed
}

// format is the line, without its end.
func (a Answer) format(d policy.Domain) string {
	dane := "-"
	if !a.DANEAt.IsZero() {
		dane = "none"
		if a.DANE {
			dane = "dane"
		}
	}
	return strings.Join([]string{d.String(), stamp(a.Asked), dane, stamp(a.DANEAt), stamp(a.STSAt)}, " ")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(policy.TimeFormat)
}

// parseAnswer accepts what format writes, and nothing else.
func parseAnswer(line string) (policy.Domain, Answer, error) {
	var a Answer
	fields := strings.Split(line, " ")
	if len(fields) != 5 {
		return policy.Domain{}, a, fmt.Errorf("%w: %d fields", ErrAnswer, len(fields))
	}
	d, err := policy.ParseDomain(fields[0])
	if err != nil {
		return d, a, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	for i, at := range map[int]*time.Time{1: &a.Asked, 3: &a.DANEAt, 4: &a.STSAt} {
		if fields[i] == "-" {
			continue
		}
		if *at, err = policy.ParseTime(fields[i]); err != nil {
			return d, a, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
	}
	a.DANE = fields[2] == "dane"
	if a.format(d) != line {
		return d, a, fmt.Errorf("%w: it is not spelled as we spell it", ErrAnswer)
	}
	return d, a, nil
}
