package mirror

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// LoadText is Load for those who look domains up one at a time: the list stays the bytes of its file, so that a million
// domains are ready in a fraction of a second and take no more memory than that file. Outcome.List is empty. It is there
// when it has expired, too: who keeps it looks at the clock at each question, and the clock may be put right meanwhile.
func (c *Client) LoadText() (Outcome, policy.Text, error) {
	h, out, err := c.load()
	if err != nil || !h.any() {
		return out, policy.Text{}, err
	}
	if h.pin != nil {
		text, err := h.pin.text()
		return out, text, err
	}
	text, err := h.loadText(c.Dir)
	return out, text, err
}

// loadText reads the held list without decoding its lines: the digest in the signed release vouches for them. Errors wrap
// ErrDamaged.
func (s *state) loadText(dir string) (policy.Text, error) {
	data, name, err := s.listBytes(dir)
	if err != nil {
		return policy.Text{}, err
	}
	_, text, err := policy.OpenText(data)
	if err != nil {
		return policy.Text{}, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	return text, nil
}
