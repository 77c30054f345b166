package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// FeedbackSource gives the newest feedback table; an error that wraps fs.ErrNotExist says that there is none yet.
type FeedbackSource func() ([]byte, error)

// maxFeedbackAge is how long after it was due a table speaks: the next one is due a week later, ten days at the end of a month.
const maxFeedbackAge = 21 * 24 * time.Hour

// Codes of releases that look at what mail servers report.
const (
	codeFeedbackRefused  = "feedback.refused"
	codeFeedbackStale    = "feedback.stale"
	codeFeedbackFault    = "feedback.fault"
	codeFeedbackProvider = "feedback.provider"
)

func feedbackCodes() []policy.Code {
	c := func(id string, severity policy.Severity, summary, fix string) policy.Code {
		return policy.Code{ID: id, Rules: []string{"R33"}, Severity: severity, Summary: summary, Fix: fix}
	}
	return []policy.Code{
		c(codeFeedbackRefused, policy.Error, "the feedback table cannot be used, so this release publishes none and holds nothing for it",
			"look where tables in [tlsrpt] leads, and make the table again: starttls-list tlsrpt table"),
		c(codeFeedbackStale, policy.Warning, "the newest feedback table is more than three weeks late, so this release publishes none and holds nothing for it",
			"look why starttls-list tlsrpt serve makes no table, or why the releasing host does not get it"),
		c(codeFeedbackFault, policy.Warning, "mail servers report that TLS fails on the way to a listed domain",
			"compare with what the probe sees; what wants to enforce waits meanwhile, and nothing is weakened for it"),
		c(codeFeedbackProvider, policy.Warning, "mail servers report that TLS fails on the way to many domains of one provider: one incident",
			"tell the provider; what wants to enforce waits meanwhile, and nothing is weakened for it"),
	}
}

// readFeedback takes the newest table, and tells what it shows. One that is no good is no reason to let a list expire.
func (p *Publisher) readFeedback(out *Probed) {
	if p.Feedback == nil {
		return
	}
	data, err := p.Feedback()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var t cells.Table
	if err == nil {
		t, err = cells.Parse(data)
	}
	if err == nil && t.Week.Last().End().After(p.Now()) {
		err = fmt.Errorf("its week ends on %s", t.Week.Last())
	}
	switch {
	case err != nil:
		out.findings = append(out.findings, feedbackFinding(codeFeedbackRefused, "", err.Error()))
	case p.Now().Sub(t.Week.Due()) > maxFeedbackAge:
		out.findings = append(out.findings, feedbackFinding(codeFeedbackStale, "", "it is of the week from "+t.Week.String()))
	default:
		out.feedback = &t
	}
}

// tellFeedback adds what the table shows of what is wanted or listed.
func (p *Probed) tellFeedback(entries []policy.Entry) {
	if p.feedback == nil {
		return
	}
	for _, i := range p.feedback.Incidents(cells.ListOf(entries)) {
		what := fmt.Sprintf("in the week from %s %s of the sessions failed for %s", p.feedback.Week, i.Share, i.Class)
		if i.Provider {
			p.findings = append(p.findings, feedbackFinding(codeFeedbackProvider, "", i.Name+": "+what))
			continue
		}
		p.findings = append(p.findings, feedbackFinding(codeFeedbackFault, i.Name, i.Name+": "+what))
	}
}

// feedbackLine is the last line of the evidence, nil without a table.
func (p *Probed) feedbackLine() []byte {
	if p.feedback == nil {
		return nil
	}
	return probe.AppendFeedback(nil, p.feedback.Bytes())
}

// hear tells the gate what the table has against a domain, nil for no table, and whether it is a canary.
func (g *Gate) hear(in *gate.Input, table *cells.Table) {
	in.Canary = g.Canaries[in.Domain]
	if entry := cmp.Or(in.Wanted, in.Published); table != nil && entry != nil {
		in.Feedback = table.Against(in.Domain, cells.Provider(in.Domain, *entry))
	}
}

func feedbackFinding(code, domain, what string) policy.Finding {
	for _, c := range feedbackCodes() {
		if c.ID == code {
			return policy.Finding{Code: code, Severity: c.Severity, Domain: domain, Summary: what + ": " + c.Summary, Fix: c.Fix}
		}
	}
	return policy.Finding{Code: code, Severity: policy.Error, Domain: domain, Summary: what}
}
