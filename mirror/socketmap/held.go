package socketmap

import (
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// Held is one list as it is held: verified, and looked up in its bytes.
type Held struct {
	Name    string
	Release *mirror.ReleaseLeaf // nil: no list yet
	Keep    bool                // an expired list stays in force
	Outcome *mirror.Outcome     // the rest of what is known of it, as it was when it was read
	text    policy.Text
	domains int       // in text, where they were counted
	expires time.Time // by the local clock
}

// maxAhead is how far what the log says about the time may move the local clock, as in package mirror.
const maxAhead = 24 * time.Hour

// Load reads the list that a client holds. What is damaged counts as no list, and the error tells: then its domains are
// delivered to as if they were not listed, until the next update repairs it.
func Load(name string, c *mirror.Client) (Held, error) {
	h := Held{Name: name, Keep: c.KeepStale}
	out, text, err := c.LoadText()
	if err == nil && out.Release == nil {
		err = out.Damaged
	}
	if err != nil || out.Release == nil {
		return h, err
	}
	h.Release, h.Outcome, h.text = out.Release, &out, text.Indexed()
	h.domains = h.text.Len()
	h.expires = out.Release.Expires.Add(-min(out.ClockBehind, maxAhead))
	return h, nil
}

// Expired reports whether the list has come to its end, unless it is to stay in force.
func (h *Held) Expired(now time.Time) bool {
	return h.Release != nil && !h.Keep && !now.Before(h.expires)
}

// Len is the number of domains. They are counted once: a scrape that reads a hundred megabytes for it takes the processor away
// from the answers.
func (h *Held) Len() int {
	if h.domains > 0 {
		return h.domains
	}
	return h.text.Len()
}

// lookup finds a policy. A line that is none counts as none.
func (h *Held) lookup(d policy.Domain, now time.Time) (policy.Policy, bool, error) {
	if h.Release == nil || h.Expired(now) {
		return policy.Policy{}, false, nil
	}
	return h.text.Lookup(d)
}
