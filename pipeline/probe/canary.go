package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrVantage is what a scan wraps over which the canary, good at first, went wrong: from some moment on the vantage saw
// its own network, and nobody knows from which.
var ErrVantage = errors.New("this vantage cannot be believed any more")

// lastLook is how old the last look at the canary may be when a scan ends.
const lastLook = time.Minute

// watch is what a Prober knows of its canary.
type watch struct {
	looks flight[policy.Domain, Result] // forgets after Options.CanaryEvery

	mu     sync.Mutex // guards what follows
	looked time.Time
	good   bool    // it was, once
	bad    *Result // it is, since then
}

// Canary looks at the canary domain: once at first, and again when Options.CanaryEvery has passed. A zero Result means
// that there is none. When the canary's verdict is neither pass nor warn, and is not on a second look either, this
// vantage's own network is the likeliest cause (a provider that blocks port 25, a firewall that strips STARTTLS): then
// every other result of the Prober is inconclusive from then on. The error is ctx's.
func (p *Prober) Canary(ctx context.Context) (Result, error) {
	if p.opts.Canary.IsZero() {
		return Result{}, nil
	}
	if bad := p.watch.isBad(); bad != nil {
		return *bad, nil
	}
	var failed error
	r, err := p.watch.looks.do(ctx, p.opts.Canary, func() Result {
		var r Result
		r, failed = p.lookTwice(ctx, p.opts.Canary)
		if failed == nil {
			p.watch.note(r, p.opts.Clock.Now())
		}
		return r
	})
	if err == nil {
		err = failed
	}
	return r, err
}

// lookTwice looks at a domain without regard to what was seen before, and again when it does not look right.
func (p *Prober) lookTwice(ctx context.Context, domain policy.Domain) (Result, error) {
	r, err := p.afresh().look(ctx, Target{Domain: domain})
	if err != nil || !r.withdrawn() {
		return r, err
	}
	return p.afresh().look(ctx, Target{Domain: domain})
}

func (w *watch) note(r Result, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = now
	if r.withdrawn() {
		w.bad = &r
	} else {
		w.good = true
	}
}

func (w *watch) isBad() *Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad
}

// broke returns an error that wraps ErrVantage when the canary went wrong after it had been good.
func (w *watch) broke() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.good || w.bad == nil {
		return nil
	}
	return fmt.Errorf("%w: the canary was good and is now %s (%s)", ErrVantage, w.bad, strings.Join(w.bad.Codes, " "))
}

// endScan looks at the canary a last time, unless that was done just now. The error is ctx's or wraps ErrVantage.
func (p *Prober) endScan(ctx context.Context) error {
	if p.opts.Canary.IsZero() {
		return ctx.Err()
	}
	p.watch.mu.Lock()
	old := p.opts.Clock.Now().Sub(p.watch.looked) >= lastLook
	p.watch.mu.Unlock()
	if old {
		p.watch.looks.forget(p.opts.Canary)
		if _, err := p.Canary(ctx); err != nil {
			return err
		}
	}
	if err := p.watch.broke(); err != nil {
		return err
	}
	return ctx.Err()
}

func (r Result) withdrawn() bool {
	return !r.Domain.IsZero() && r.Verdict != Pass && r.Verdict != Warn
}

// withdrawn is the judgement over any domain when the canary looked wrong.
func withdrawn(domain policy.Domain, canary Result) Judgement {
	j := &judge{domain: domain, verdict: Pass}
	j.add("vantage.withdrawn", "canary %s", join(canary.String(), strings.Join(canary.Codes, " ")))
	return Judgement{Verdict: j.verdict, Codes: j.codes, Findings: j.findings}
}

// canaryLine is the canary as the evidence header shows it.
func (r Result) canaryLine() *canaryLine {
	if r.Domain.IsZero() {
		return nil
	}
	return &canaryLine{Codes: append([]string{}, r.Codes...), Domain: r.Domain.String(), Verdict: r.Verdict}
}

// String is for people: "good.example pass".
func (r Result) String() string { return fmt.Sprintf("%s %s", r.Domain, r.Verdict) }
