package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// newProber returns nil when [testing] wants no probes.
func (s *served) newProber() (*trial.Prober, error) {
	if !s.config.Testing.probes() {
		return nil, nil
	}
	dns, err := s.newDNS()
	if err != nil {
		return nil, err
	}
	p := &trial.Prober{DNS: dns, Listed: s.tested, Allow: discovery.Public, Now: s.app.now}
	if name, err := os.Hostname(); err == nil {
		if d, err := policy.NormalizeDomain(name); err == nil {
			p.EHLO = d.String()
		}
	}
	if err := p.Restore(s.probes()); err != nil {
		s.log.Error("earlier probes are lost", "err", err)
	}
	return p, nil
}

// tested returns the policy of a domain that a list in force has as testing.
func (s *served) tested(d policy.Domain) (policy.Policy, bool) {
	p, ok := s.current.Load().Listed(d)
	return p, ok && p.Mode == policy.Testing
}

// wrote lets a testing domain that mail goes to be looked at.
func (s *served) wrote(d policy.Domain) {
	if s.prober != nil {
		s.prober.Want(d)
	}
}

func (s *served) probes() string { return filepath.Join(s.config.State, probesFile) }

// probe goes on with the probes while nothing is switched off, and saves what it found.
func (s *served) probe(ctx context.Context) {
	if s.off() {
		return
	}
	if s.prober.Step(ctx) && ctx.Err() == nil {
		s.saveProbes()
	}
}

func (s *served) saveProbes() {
	if err := s.prober.Save(s.probes()); err != nil {
		s.log.Error("probes not saved", "err", err)
	}
}
