package socketmap

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Decider decides by everything that is known about a domain, in a fixed order: the kill switch, the administrator's
// override, usable DANE, a valid MTA-STS policy, the lists in the order of their configuration, nothing.
//
// MTA-STS must not override a failing DANE validation (RFC 8461 section 2), so DANE comes first. A valid MTA-STS policy
// comes from the domain itself over verified HTTPS and is newer than any list, so it counts in either direction: its
// "testing" and "none" switch a listed "enforce" off. That there is none, or that it cannot be fetched, never does: this
// is what an attacker can bring about, and what the list is for.
//
// Safe for concurrent use once its fields are set.
type Decider struct {
	Now func() time.Time
	Log *slog.Logger
	// Off is the kill switch.
	Off func() bool
	// Testing names domains for which this machine enforces a listed "testing" policy, as an early adopter; nil: none.
	Testing   func(policy.Domain) bool
	Overrides Overrides
	Live      *Live // nil: nobody is asked about anything, the lists decide
	Metrics   *Metrics
	// Tried is told of each answer that would have been a listed policy were that not "testing"; nil: nobody is.
	Tried func(policy.Domain)
	// Seen is told of each decision that a mail server was answered by, before the answer goes out; nil: nobody is. It must not
	// take long. The decision has no Why.
	Seen func(Decision)

	lists atomic.Pointer[[]Held]
}

// SetLists puts lists in force, in the order in which they answer. Answers under way keep those from before.
func (r *Decider) SetLists(lists []Held) { r.lists.Store(&lists) }

// Lists are those in force.
func (r *Decider) Lists() []Held {
	if l := r.lists.Load(); l != nil {
		return *l
	}
	return nil
}

// Answer implements Answerer.
func (r *Decider) Answer(ctx context.Context, mapName, key string) Reply {
	d, ok := domainOf(key)
	if !ok {
		r.Metrics.stranger()
		return Reply{}
	}
	c := Decision{Domain: d, brief: true}
	r.decide(ctx, &c)
	dialect := dialectOf(mapName)
	reply, err := dialect.reply(c)
	if err != nil {
		r.Metrics.refuse()
		r.Log.Error("a policy cannot be told to the mail server", "domain", d.String(), "source", c.Source, "err", err)
	}
	r.Metrics.count(c.Source, reply, dialect)
	if r.Tried != nil && c.Source == SourceList && c.Policy.Mode == policy.Testing {
		r.Tried(d)
	}
	if r.Seen != nil {
		r.Seen(c)
	}
	if c.Downgrade != "" {
		r.Metrics.downgrade()
		r.Log.Warn("possible downgrade", "domain", d.String(), "why", c.Downgrade)
	}
	return reply
}

// Decide decides about mail for d, and says why.
func (r *Decider) Decide(ctx context.Context, d policy.Domain) Decision {
	c := Decision{Domain: d}
	r.decide(ctx, &c)
	return c
}

func (r *Decider) decide(ctx context.Context, c *Decision) {
	now := r.Now()
	c.Source = SourceNone
	if r.Off() {
		c.Source = SourceOff
		c.because("policies are switched off on this machine (starttls-policy enable)")
		return
	}
	if o, ok := r.Overrides.Find(c.Domain, now); ok {
		c.Source, c.Policy = SourceOverride, o.Policy
		c.because("an override of this machine says so: %s", o.Reason)
		if r.Live != nil {
			r.Live.narrow(ctx, c)
		}
		return
	}
	if r.Live != nil && r.Live.decide(ctx, c.Domain, c) {
		return
	}
	r.byLists(c.Domain, now, c)
	if r.Live != nil && c.Source == SourceList {
		r.Live.narrow(ctx, c)
		if c.trouble != "" {
			c.Downgrade = "a listed domain's own policy cannot be looked up: " + c.trouble
		}
	}
}

// byLists lets the first list that names the domain decide. What the lists before it could not be asked for has no say:
// a damaged list must not stop mail.
func (r *Decider) byLists(d policy.Domain, now time.Time, c *Decision) {
	lists := r.Lists()
	for i := range lists {
		h := &lists[i]
		p, ok, err := h.lookup(d, now)
		switch {
		case err != nil:
			r.Metrics.refuse()
			r.Log.Error("a list cannot be read", "list", h.Name, "domain", d.String(), "err", err)
			c.because("list %s cannot be read: %v", h.Name, err)
			continue
		case h.Release == nil:
			c.because("list %s was never fetched", h.Name)
			continue
		case h.Expired(now):
			c.because("list %s expired at %s and counts as empty", h.Name, h.Release.Expires.Format(policy.TimeFormat))
			continue
		case !ok:
			c.because("list %s does not name the domain", h.Name)
			continue
		}
		c.Source, c.List, c.Policy = SourceList, h.Name, p
		if !c.brief { // which nearly all are, and making the arguments costs as much as finding the policy
			c.because("list %s says %s, by its release %d", h.Name, p.Mode, h.Release.Release)
		}
		if p.Mode == policy.Testing && r.Testing != nil && r.Testing(d) {
			c.Policy.Mode = policy.Enforce
			c.because("this machine enforces testing policies of the domain")
		}
		return
	}
}
