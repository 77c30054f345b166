package probe

import (
	"context"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// Canary looks at the canary domain, once in a Prober's life. A zero Result means that there is none. When the
// canary's verdict is neither pass nor warn, this vantage's own network is the likeliest cause (a provider that blocks
// port 25, a firewall that strips STARTTLS): then every other result of the Prober is inconclusive. The error is ctx's.
func (p *Prober) Canary(ctx context.Context) (Result, error) {
	if p.opts.Canary.IsZero() {
		return Result{}, nil
	}
	var failed error
	r, err := p.canary.do(ctx, p.opts.Canary, func() Result {
		var r Result
		r, failed = p.look(ctx, Target{Domain: p.opts.Canary})
		return r
	})
	if err == nil {
		err = failed
	}
	return r, err
}

func (r Result) withdrawn() bool {
	return !r.Domain.IsZero() && r.Verdict != Pass && r.Verdict != Warn
}

// withdrawn is the judgement over any domain when the canary looked wrong.
func withdrawn(domain, canary policy.Domain) Judgement {
	j := &judge{domain: domain, verdict: Pass}
	j.add("vantage.withdrawn", "canary %s", canary)
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
