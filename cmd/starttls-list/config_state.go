package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// leaseConfig is what policylist.toml says of a state on S3 besides its place.
type leaseConfig struct {
	Publisher string `toml:"publisher"`
	LeaseTerm string `toml:"lease-term"`
}

// A lease must outlast the steps between two looks at it, and a run that died must not keep the list from its next
// release for long.
const (
	minLeaseTerm = time.Minute
	maxLeaseTerm = 24 * time.Hour
)

// remoteState reports whether the state is a place on S3.
func (c *config) remoteState() bool { return strings.HasPrefix(c.State, "s3://") }

// checkState judges the keys about the state. Those about the lease may stay when the state moves to a folder.
func (c *config) checkState() error {
	if len(c.Publisher) > maxMirrorName || strings.ContainsFunc(c.Publisher, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return fmt.Errorf("publisher: %q is not up to %d characters of printable ASCII", c.Publisher, maxMirrorName)
	}
	if _, err := c.term(); err != nil {
		return err
	}
	switch scheme, _, err := splitReference(c.State); {
	case err != nil:
		return fmt.Errorf("state: %w; it is a folder or s3://bucket/prefix", err)
	case scheme == "file" && strings.Contains(c.State, "://"), scheme != "file" && scheme != "s3":
		return fmt.Errorf("state: %q is neither a folder nor s3://bucket/prefix", c.State)
	case scheme == "file":
		return nil
	}
	state, err := s3.Parse(c.State)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for i, m := range c.Mirrors {
		// What lies in a mirror's place is public, and a mirror that is copied or emptied must not touch the state.
		o, err := s3.Parse(m.URL)
		if err == nil && o.Bucket == state.Bucket && sameEndpoint(o, state) && (inPrefix(o.Prefix, state.Prefix) || inPrefix(state.Prefix, o.Prefix)) {
			return fmt.Errorf("state (%s) and url of [[mirror]] number %d (%s): neither may lie in the other", c.State, i+1, m.URL)
		}
	}
	return nil
}

func sameEndpoint(a, b s3.Options) bool {
	norm := func(e string) string { return strings.ToLower(strings.TrimSuffix(e, "/")) }
	return norm(a.Endpoint) == norm(b.Endpoint)
}

// inPrefix reports whether the keys below a are among those below b.
func inPrefix(a, b string) bool { return b == "" || a == b || strings.HasPrefix(a, b+"/") }

func (c *config) term() (time.Duration, error) {
	if c.LeaseTerm == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.LeaseTerm)
	if err != nil || d < minLeaseTerm || d > maxLeaseTerm {
		return 0, fmt.Errorf("lease-term: %q is not between %v and %v, such as 10m", c.LeaseTerm, minLeaseTerm, maxLeaseTerm)
	}
	return d, nil
}

// setState tells a publisher where its state is.
func (c *config) setState(ctx context.Context, p *pipeline.Publisher) error {
	if !c.remoteState() {
		p.State = c.path(c.State)
		return nil
	}
	store, err := openS3(ctx, c.State)
	term, errTerm := c.term()
	if err = errors.Join(err, errTerm); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	p.Vault = &pipeline.Vault{Store: store, Publisher: c.Publisher, Term: term}
	return nil
}
