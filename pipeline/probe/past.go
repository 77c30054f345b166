package probe

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Past is what the next scan needs to know of a domain's last one: a few words, where a Record has kilobytes.
type Past struct {
	Verdict Verdict
	Since   time.Time

	Waiting      string // the code of trouble that may yet pass, "" for none, see Waiting
	WaitingSince time.Time
}

func pastOf(l Line) Past {
	p := Past{Verdict: l.Verdict, Since: l.Since}
	p.Waiting, p.WaitingSince = waitingOf(l)
	return p
}

// ReadPast reads an evidence file for Options.Previous: the vantage's own, or a merged one, where its own lines count as
// far as they are there, and the merged ones for the rest. The file of another vantage is refused: what that one saw did
// not begin when this one's verdicts say it did.
func ReadPast(in io.Reader, limit int64, vantage string) (map[policy.Domain]Past, error) {
	r, err := NewReader(in, limit)
	if err != nil {
		return nil, err
	}
	if theirs := r.Header().Vantage; !r.Merged() && theirs != vantage {
		return nil, r.at(fmt.Errorf("%w: it is of vantage %q, not of this one, %q", ErrEvidence, theirs, vantage))
	}
	past := make(map[policy.Domain]Past)
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return past, nil
		}
		if err != nil {
			return nil, err
		}
		p := pastOf(line)
		for _, own := range line.Seen {
			if own.Vantage == vantage {
				p = pastOf(own)
			}
		}
		past[line.Domain] = p
	}
}
