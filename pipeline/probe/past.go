package probe

import (
	"fmt"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Past is what the next scan needs to know of a domain's last one: a few words, where a Record has kilobytes.
type Past struct {
	Verdict Verdict
	Since   time.Time
}

// Past returns what the next scan carries on.
func (r Record) Past() (Past, error) {
	since, err := time.Parse(timeFormat, r.Since)
	if err != nil {
		return Past{}, fmt.Errorf("%w: since %q", ErrEvidence, r.Since)
	}
	return Past{r.Verdict, since}, nil
}

// ReadPast reads an evidence file for Options.Previous.
func ReadPast(r io.Reader, limit int64) (map[policy.Domain]Past, error) {
	past := make(map[policy.Domain]Past)
	_, err := WalkEvidence(r, limit, func(d policy.Domain, rec Record) error {
		p, err := rec.Past()
		past[d] = p
		return err
	})
	if err != nil {
		return nil, err
	}
	return past, nil
}
