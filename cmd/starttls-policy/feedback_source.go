package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// contribution makes a day's contribution from the configured source.
func (c *contributor) contribution(key feedback.Key, day tlsrpt.Day) (tlsrpt.Contribution, error) {
	listed, err := c.toldOf(c.config)
	if err != nil {
		return tlsrpt.Contribution{}, err
	}
	switch c.config.Feedback.Source {
	case fromSpool:
		dir := string(c.config.Feedback.Spool)
		spool, err := feedback.ReadSpool(dir, day, c.now(), listed)
		if err != nil {
			return tlsrpt.Contribution{}, err
		}
		if spool.Unusable > 0 {
			c.complain("%d of the %d files in %s are no reports: %s", spool.Unusable, spool.Files, dir, strings.Join(spool.Names, "; "))
		}
		return spool.Contribution(key, day, listed), nil
	case fromLog:
		tally, r := c.continueLog(c.config, listed) // what the updates have counted, and what came since
		if r.Error != "" {
			return tlsrpt.Contribution{}, errors.New(r.Error)
		}
		return feedback.FromLog(tally, key, day, listed), nil
	default:
		var lookups feedback.Lookups
		if err := lookups.Load(filepath.Join(c.config.State, feedback.LookupsFile)); err != nil {
			return tlsrpt.Contribution{}, err
		}
		return lookups.Contribution(key, day, listed), nil
	}
}

// toldOf looks domains up in the one list whose operator is told, as it is held and verified. A list that cannot be read is an
// error: nobody can say which domains may be told of. One that has expired names none.
func (a *app) toldOf(cfg config) (trial.Listed, error) {
	lists, err := a.openLists(cfg)
	if err != nil {
		return nil, err
	}
	decider := &socketmap.Decider{Now: a.now}
	for _, l := range lists {
		if l.name != string(cfg.Feedback.List) {
			continue
		}
		held, err := socketmap.Load(l.name, l.client)
		if err == nil && held.Release == nil {
			err = errors.New("it was never fetched")
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", l.name, err)
		}
		decider.SetLists([]socketmap.Held{held})
	}
	return decider.Listed, nil
}
