package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/registration"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// Probed is the second stage: what the next release will publish, and which changes it holds back. It comes from a
// checked source and live observation, or from a file of an imported history.
type Probed struct {
	list     policy.List
	changes  []mirror.ChangeLeaf // sorted by domain; the release number comes with signing
	held     []Held
	author   string
	origin   string
	lifetime time.Duration
	source   string // see mirror.ReleaseLeaf.Source
	override string
	evidence *observed                   // nil when nothing was observed
	feedback *cells.Table                // what mail servers report, nil for nothing
	looks    map[policy.Domain]gate.Look // of this scan, where the gate decides; nil else
	tracks   *tracks                     // what it remembers
	findings []policy.Finding

	registrations *registration.File // nil where nobody was asked, or the file is no good
	timestamp     time.Time
	expires       time.Time // with timestamp, of an imported file; both zero otherwise

	incomplete     bool // the scan was not of the whole list
	voters, quorum int  // vantages that looked at a domain, at most, and how many it takes; both zero for the releasing host
}

// Held is a change that this release does not make: the domain's last published policy stays, or it stays absent.
type Held struct {
	Change  policy.Change
	Verdict probe.Verdict    // "" when it was not probed, or the gate holds it
	Codes   []string         // why
	Found   []policy.Finding // what the probe found or the gate misses, each with its fix

	// Where the gate holds it, see gate.Wait:
	Automatic bool      // no commit asks for the change
	Since     time.Time // when the first look showed what asks for it
	Until     time.Time // the earliest time at which it can go out; zero: not before what Found says is done
}

// ByGate reports whether the gate holds the change, and not a probe of this run.
func (h Held) ByGate() bool { return h.Verdict == "" && len(h.Found) > 0 }

// Changes returns what the release changes, sorted by domain.
func (p Probed) Changes() []mirror.ChangeLeaf { return p.changes }

// Told returns what a person should read: what is wrong with the source, and with the evidence.
func (p Probed) Told(c Checked) []policy.Finding { return slices.Concat(c.Findings(), p.findings) }

// Held returns the changes that wait.
func (p Probed) Held() []Held { return p.held }

// List returns the whole list that the release publishes.
func (p Probed) List() policy.List { return p.list }

// Observer looks at domains live and tells what it saw; *probe.Prober is one.
type Observer interface {
	Probe(ctx context.Context, targets []probe.Target) ([]probe.Result, error)
	Header(ctx context.Context, shard string) (probe.Header, error)
}

// codeNotProbed stands where a release admits or holds entries without evidence.
const codeNotProbed = "probe.off"

// probe decides what of a checked source goes into the next release: by the gate where there is one, with what it
// remembers. Else, without an observer, everything is admitted, and the release leaf says so for all to see. A source with
// errors changes nothing then: the last list is renewed.
func (p *Publisher) probe(ctx context.Context, c Checked, last *Published, t *tracks) (Probed, error) {
	settings := c.Source().Settings()
	out := Probed{author: settings.Author, origin: settings.Origin, lifetime: time.Duration(settings.LifetimeDays) * 24 * time.Hour}
	p.readFeedback(&out)
	out.tellFeedback(wantedOf(c, last))
	if p.Gate != nil {
		return out, p.gated(ctx, c, last, t, &out)
	}
	before := last.list()
	if hasErrors(c.Findings()) {
		out.list, out.source = before, "renew"
		return out, nil
	}
	targets := p.targets(c, before, last)
	results, err := p.observe(ctx, c, targets, &out)
	if err != nil {
		return out, err
	}
	p.whole(before, c.Entries(), targets, results, &out)
	wanted := c.Entries()
	if last.imported() {
		wanted = unproven(wanted, results)
	}
	var edits []policy.Edit
	for _, change := range before.DiffEntries(wanted) {
		leaf, held := p.admit(change, results, last)
		if held == nil && out.incomplete && asksMore(change) {
			back := heldBack(change)
			held = &back
		}
		if held != nil {
			out.held = append(out.held, *held)
			continue
		}
		out.changes = append(out.changes, leaf)
		edits = append(edits, leaf.Edit())
	}
	if out.source = p.Commit; len(edits) == 0 {
		out.source = "renew"
	}
	if p.blind() && len(edits) > 0 {
		out.override = codeNotProbed
	}
	if out.list, err = before.Apply(edits); err == nil {
		out.startles(before, last)
	}
	return out, err
}

// targets are the domains to look at: what changes, or everything when ScanAll is set or the last list was imported.
func (p *Publisher) targets(c Checked, before policy.List, last *Published) []probe.Target {
	var targets []probe.Target
	if p.ScanAll || last.imported() {
		for _, e := range c.Entries() {
			targets = append(targets, probe.Target(e))
		}
		return targets
	}
	for _, ch := range before.DiffEntries(c.Entries()) {
		if ch.New != nil {
			targets = append(targets, probe.Target{Domain: ch.Domain, Policy: *ch.New})
		}
	}
	return targets
}

// unproven turns imported enforce entries that were not seen to work into testing: history is no fact about today.
func unproven(entries []policy.Entry, results map[policy.Domain]probe.Result) []policy.Entry {
	out := slices.Clone(entries)
	for i, e := range out {
		if e.Policy.Mode == policy.Enforce && !good(results[e.Domain]) {
			out[i].Policy.Mode = policy.Testing
		}
	}
	return out
}

func good(r probe.Result) bool { return r.Verdict == probe.Pass || r.Verdict == probe.Warn }

// blind reports whether releases are made without looking at servers.
func (p *Publisher) blind() bool { return p.Observer == nil && p.Evidence == nil }

// observe probes targets, or takes what the vantages saw of them, and keeps the evidence.
func (p *Publisher) observe(ctx context.Context, c Checked, targets []probe.Target, out *Probed) (map[policy.Domain]probe.Result, error) {
	switch {
	case p.Evidence != nil:
		return p.vouched(ctx, c, targets, out)
	case p.Observer == nil || len(targets) == 0:
		return nil, nil
	}
	// First the header: it says when the scan began, and what was seen before that is no part of it.
	header, err := p.Observer.Header(ctx, "")
	if err != nil {
		return p.unseen(ctx, targets, fmt.Errorf("probe: canary: %w", err), out)
	}
	found, err := p.Observer.Probe(ctx, targets)
	if err != nil {
		return p.unseen(ctx, targets, fmt.Errorf("probe: %w", err), out)
	}
	results := make(map[policy.Domain]probe.Result, len(found))
	packer, err := newEvidencePacker()
	if err != nil {
		return nil, err
	}
	w, err := probe.NewEvidence(packer, header)
	for _, r := range found {
		results[r.Domain] = r
		out.see(r)
		err = errors.Join(err, w.Add(r))
	}
	if err == nil {
		_, err = packer.Write(out.feedbackLine())
	}
	if err == nil {
		out.evidence, err = packer.done()
	}
	if err != nil {
		return p.unseen(ctx, targets, err, out)
	}
	return results, nil
}

// see keeps what the releasing host saw, for the gate.
func (p *Probed) see(r probe.Result) {
	if p.looks != nil {
		p.looks[r.Domain] = lookOfResult(r)
	}
}

// admit turns a change into a leaf, or holds it. What only takes something away needs no evidence that it works.
func (p *Publisher) admit(c policy.Change, results map[policy.Domain]probe.Result, last *Published) (mirror.ChangeLeaf, *Held) {
	leaf := mirror.ChangeLeaf{Domain: c.Domain, Policy: c.New, Reason: reason(c)}
	if last.imported() && c.Class == policy.Weakened {
		leaf.Reason = "import.unproven"
	}
	r := results[c.Domain]
	if p.blind() || c.New == nil || c.Class == policy.Weakened || good(r) {
		return leaf, nil
	}
	return leaf, &Held{Change: c, Verdict: r.Verdict, Codes: r.Codes, Found: r.Findings}
}

// reason names the change in the log. Promotion and removal by evidence or proof have their own codes, which only
// the gate may give.
func reason(c policy.Change) string {
	switch {
	case c.Class.ModeAndMXs():
		return "change.source"
	case c.Class.Has(policy.Added) && c.New.Mode == policy.Enforce:
		return "add.enforce"
	case c.Class.Has(policy.Added):
		return "add.testing"
	case c.Class.Has(policy.MXsNarrowed):
		return "mxs.narrowed"
	case c.Class.Has(policy.MXsWidened):
		return "mxs.widened"
	case c.Class.Has(policy.MXsReplaced):
		return "mxs.replaced"
	}
	return "change.source"
}

func hasErrors(findings []policy.Finding) bool {
	for _, f := range findings {
		if f.Severity == policy.Error {
			return true
		}
	}
	return false
}
