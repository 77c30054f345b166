package pipeline

import (
	"cmp"
	"context"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// codeBudgetAccepted is the override of a release that two maintainers let exceed its budget.
const codeBudgetAccepted = "budget.accepted"

// Gate lets package gate decide what a release makes of each domain. Without it a change goes out once its domain passes
// the probe, and nothing begins by itself.
type Gate struct {
	AcceptBudget bool                   // two maintainers let this release exceed its budget (rule R52)
	Canaries     map[policy.Domain]bool // broken on purpose: see gate.Input
}

// gated looks at everything and decides by the gate: what is listed must be seen to be demoted, or to ask to leave.
func (p *Publisher) gated(ctx context.Context, c Checked, last *Published, t *tracks, out *Probed) error {
	out.looks, out.tracks = map[policy.Domain]gate.Look{}, t
	kept := last.list()
	if last.imported() {
		kept = policy.List{} // what the source does not take over goes whatever is seen of it
	}
	targets := everything(wantedOf(c, last), kept)
	results, err := p.observe(ctx, c, targets, out)
	if err != nil {
		return err
	}
	p.whole(last.list(), wantedOf(c, last), targets, results, out)
	p.readRegistrations(ctx, out)
	return p.decide(c, last, out, results)
}

// wantedOf is what the source asks for. One with errors asks for nothing, but those who are listed are looked after all
// the same.
func wantedOf(c Checked, last *Published) []policy.Entry {
	if hasErrors(c.Findings()) {
		return last.list().Entries()
	}
	return c.Entries()
}

// decide asks the gate about every domain.
func (p *Publisher) decide(c Checked, last *Published, out *Probed, results map[policy.Domain]probe.Result) error {
	wanted, before := wantedOf(c, last), last.list()
	if last.imported() {
		wanted = unproven(wanted, results)
	}
	d := decider{Publisher: p, checked: c, settings: p.gateSettings(c), out: out, last: last}
	if err := d.all(before.Entries(), wanted); err != nil {
		return err
	}
	return d.release(before)
}

// everything is what is wanted, and what is listed besides.
func everything(wanted []policy.Entry, before policy.List) []probe.Target {
	var targets []probe.Target
	for _, e := range wanted {
		targets = append(targets, probe.Target(e))
	}
	for _, c := range before.DiffEntries(wanted) {
		if c.New == nil {
			targets = append(targets, probe.Target{Domain: c.Domain, Policy: *c.Old})
		}
	}
	slices.SortFunc(targets, func(a, b probe.Target) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	return targets
}

// gateSettings are those of the list's vantages; where they give no evidence there is the releasing host alone.
func (p *Publisher) gateSettings(c Checked) gate.Settings {
	if p.Evidence == nil {
		return gate.Settings{Vantages: 1, Quorum: 1}
	}
	s := c.Source().Settings()
	return gate.Settings{Vantages: max(1, len(s.Vantages)), Quorum: max(1, s.Quorum)}
}

// decider asks the gate about each domain.
type decider struct {
	*Publisher
	checked  Checked
	settings gate.Settings
	out      *Probed
	last     *Published
	steps    []gate.Step
}

// all asks about every domain that is listed or wanted; both lists are sorted.
func (d *decider) all(before, wanted []policy.Entry) error {
	for len(before) > 0 || len(wanted) > 0 {
		var old, new *policy.Policy
		var name policy.Domain
		if len(wanted) == 0 || len(before) > 0 && before[0].Domain.String() <= wanted[0].Domain.String() {
			name, old = before[0].Domain, &before[0].Policy
		} else {
			name = wanted[0].Domain
		}
		if len(wanted) > 0 && wanted[0].Domain == name {
			new, wanted = &wanted[0].Policy, wanted[1:]
		}
		if old != nil {
			before = before[1:]
		}
		if err := d.one(name, old, new); err != nil {
			return err
		}
	}
	return nil
}

func (d *decider) one(name policy.Domain, old, new *policy.Policy) error {
	t, err := d.out.tracks.of(name)
	if err != nil {
		return err
	}
	if look, ok := d.out.looks[name]; ok {
		t.add(look)
	}
	t.forget(d.Now())
	in := gate.Input{Domain: name, Managed: t.Managed, Published: old, Wanted: new, Override: t.Override, Now: d.Now()}
	d.source(t, &in)
	d.Gate.hear(&in, d.out.feedback)
	d.registered(t, &in)
	if d.history(name, old, new) {
		return nil
	}
	if in.Looks, in.Log, err = t.history(); err != nil {
		return err
	}
	outcome := gate.Decide(in, d.settings)
	d.heard(t, outcome)
	if outcome.Step != nil {
		d.steps = append(d.steps, *outcome.Step)
	}
	for _, w := range outcome.Waits {
		d.out.held = append(d.out.held, heldBy(w))
	}
	return nil
}

// history admits what follows from an import and is no decision about today: the first release from a source lists what
// that source has, and nothing as enforce that was not seen to work.
func (d *decider) history(name policy.Domain, old, new *policy.Policy) bool {
	if !d.last.imported() || old == nil {
		return false
	}
	leaf := mirror.ChangeLeaf{Domain: name, Policy: new, Reason: "change.source"}
	switch {
	case new == nil:
	case old.Mode == policy.Enforce && new.Mode == policy.Testing && slices.Equal(old.MXs, new.MXs):
		leaf.Reason = "import.unproven"
	default:
		return false
	}
	d.out.changes = append(d.out.changes, leaf)
	return true
}

// source adds what the source says of the entry besides its policy. A reviewed commit is what adds others' domains, and
// what gives an override its reason; what was there when the list last agreed with the source is no new decision.
func (d *decider) source(t *track, in *gate.Input) {
	if hasErrors(d.checked.Findings()) {
		return
	}
	e, listed := d.checked.Source().Lookup(in.Domain)
	if !listed {
		if t.Managed == policy.ManagedByCurated {
			in.Approval = &gate.Approval{Reason: d.Commit}
		}
		return
	}
	in.Override = e.Override
	if e.ManagedBy != policy.ManagedByCurated || !d.owned(t, in.Published) {
		t.Managed = e.ManagedBy
	}
	in.Managed = cmp.Or(t.Managed, policy.ManagedByOwner)
	reason := e.Override
	if reason == t.Override {
		reason = ""
	}
	if in.Managed == policy.ManagedByCurated {
		reason = cmp.Or(e.Override, e.Note)
	}
	if reason != "" {
		in.Approval = &gate.Approval{Reason: reason}
	}
	if in.Published != nil && in.Wanted != nil && in.Published.Equal(*in.Wanted) {
		t.Override = e.Override
	}
}

// owned reports whether the entry is its owner's, which a word in the source does not make the operator's: that would
// change others' entries without their proof. Nothing that enforces was ever curated.
func (d *decider) owned(t *track, published *policy.Policy) bool {
	if published == nil {
		return false
	}
	return published.Mode == policy.Enforce || t.Managed == policy.ManagedByOwner || t.Managed == policy.ManagedByMTASTS
}

func heldBy(w gate.Wait) Held {
	h := Held{Change: w.Change, Found: w.Findings, Automatic: w.Automatic, Since: w.Since, Until: w.Until}
	for _, f := range w.Findings {
		h.Codes = append(h.Codes, f.Code)
	}
	return h
}

// release puts together what the gate let through.
func (d *decider) release(before policy.List) error {
	out := d.out
	day, err := d.day(before)
	if err != nil {
		return err
	}
	pass, held := day.Budget(out.standBehind(d.steps), d.Gate.AcceptBudget)
	var carried []policy.Change
	for _, s := range pass {
		out.changes = append(out.changes, mirror.ChangeLeaf{Domain: s.Change.Domain, Policy: s.Change.New, Reason: s.Reason})
		carried = append(carried, s.Change)
	}
	for _, w := range held {
		out.held = append(out.held, heldBy(w))
	}
	excess := day.Excess(carried)
	if excess.Over || excess.Startles {
		out.override = codeBudgetAccepted
	}
	if excess.Startles {
		out.findings = append(out.findings, startling(d.last, excess.Touched, day.Listed))
	}
	slices.SortFunc(out.changes, func(a, b mirror.ChangeLeaf) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	slices.SortStableFunc(out.held, func(a, b Held) int {
		return cmp.Compare(a.Change.Domain.String(), b.Change.Domain.String())
	})
	var edits []policy.Edit
	for _, leaf := range out.changes {
		edits = append(edits, leaf.Edit())
	}
	if out.source = d.Commit; len(edits) == 0 || hasErrors(d.checked.Findings()) {
		out.source = "renew"
	}
	if out.list, err = before.Apply(edits); err == nil && !excess.Startles {
		out.startles(before, d.last)
	}
	return err
}
