package transparency

import "fmt"

// TrustChain is a sequence of trust versions without gaps, each of which may follow the one before.
type TrustChain struct{ versions []*Trust }

// NewTrustChain starts at a version that the caller trusts by other means: its digest was compared, or it comes from
// the caller's own state. The version's own roots must have signed it.
func NewTrustChain(first *Trust) (*TrustChain, error) {
	if err := first.VerifySelf(); err != nil {
		return nil, err
	}
	return &TrustChain{[]*Trust{first}}, nil
}

// Extend adds the next version after verifying it (VerifyNext). On an error, which wraps ErrTrust, the chain stays as it is.
func (c *TrustChain) Extend(next *Trust) error {
	if err := c.Newest().VerifyNext(next); err != nil {
		return err
	}
	c.versions = append(c.versions, next)
	return nil
}

// Newest is the last version; only its expiry counts.
func (c *TrustChain) Newest() *Trust { return c.versions[len(c.versions)-1] }

// Versions returns all versions, oldest first; the caller must not change them.
func (c *TrustChain) Versions() []*Trust { return c.versions }

// Version returns version v, or an error, which wraps ErrTrust, when the chain does not hold it.
func (c *TrustChain) Version(v int64) (*Trust, error) {
	i := v - c.versions[0].Version
	if i < 0 || i >= int64(len(c.versions)) {
		return nil, fmt.Errorf("%w: version %d is not among the versions %d to %d", ErrTrust, v, c.versions[0].Version, c.Newest().Version)
	}
	return c.versions[i], nil
}
