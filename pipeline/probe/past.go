package probe

import (
	"errors"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Past is what the next scan needs to know of a domain's last one: a few words, where a Record has kilobytes.
type Past struct {
	Verdict Verdict
	Since   time.Time
}

// ReadPast reads an evidence file for Options.Previous: the vantage's own, or a merged one, where its own lines count as
// far as they are there, and the merged ones for the rest.
func ReadPast(in io.Reader, limit int64, vantage string) (map[policy.Domain]Past, error) {
	r, err := NewReader(in, limit)
	if err != nil {
		return nil, err
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
		p := Past{line.Verdict, line.Since}
		for _, own := range line.Seen {
			if own.Vantage == vantage {
				p = Past{own.Verdict, own.Since}
			}
		}
		past[line.Domain] = p
	}
}
