package main

import (
	"path/filepath"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// tellsOfDaemon reports whether the daemon's look-ups are what [feedback] tells.
func tellsOfDaemon(cfg config) bool { return cfg.Feedback != nil && cfg.Feedback.Source == fromDaemon }

// counts returns what counts the daemon's decisions; nil, which costs an answer nothing, unless [feedback] tells of them. It
// does no more than count: what leaves is made and sent by another process.
func (s *served) counts(cfg config) func(socketmap.Decision) {
	if !tellsOfDaemon(cfg) {
		return nil
	}
	return func(c socketmap.Decision) {
		s.lookups.Count(tlsrpt.DayOf(s.app.now()), c, func(d policy.Domain) bool {
			_, ok := s.current.Load().Listed(d)
			return ok
		})
	}
}

func (s *served) lookupsPath() string { return filepath.Join(s.config.State, feedback.LookupsFile) }

func (s *served) restoreLookups() {
	if err := s.lookups.Load(s.lookupsPath()); err != nil {
		s.log.Error("the counts of look-ups begin anew", "err", err)
	}
}

// saveLookups keeps the counts over the daemon's end; a kill loses ten minutes of them.
func (s *served) saveLookups() {
	if now := s.current.Load(); !tellsOfDaemon(now.config) {
		return
	}
	if err := s.lookups.Save(s.lookupsPath()); err != nil {
		s.log.Error("the counts of look-ups not saved", "err", err)
	}
}
