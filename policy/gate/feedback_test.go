package gate_test

import (
	"reflect"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// TestFeedbackNeverWeakens: whatever is reported, no entry gets weaker by it, in this release or a later one; all that it does is
// hold what asks senders for more.
func TestFeedbackNeverWeakens(t *testing.T) {
	held := 0
	each(t, 60, func(d *dice, in gate.Input) bool {
		if d.chance(2) {
			d.ripen(&in)
		}
		without := gate.Decide(in, d.settings)
		in.Feedback = "most sessions fail"
		with := gate.Decide(in, d.settings)
		if reflect.DeepEqual(with.Step, without.Step) {
			return with.Step != nil && weakens(with.Step)
		}
		asked := without.Step
		if asked == nil || asked.Change.New == nil || asked.Change.New.Mode != policy.Enforce || !asked.Change.Class.Has(policy.Added|policy.Strengthened) {
			t.Errorf("reports changed %+v to %+v", asked, with.Step)
		}
		// What takes its place began by itself, and would have been made without reports as well once the other was.
		if with.Step != nil && weakens(with.Step) {
			in.Wanted, in.Feedback = in.Published, ""
			if by := gate.Decide(in, d.settings).Step; by == nil || !same(by, with.Step) {
				t.Errorf("reports let through %+v", with.Step)
			}
		}
		held++
		return true
	})
	if held < 20 {
		t.Errorf("reports held %d changes only", held)
	}
}

// TestFeedbackHoldEnds: what reports alone hold, two maintainers let pass.
func TestFeedbackHoldEnds(t *testing.T) {
	passed := 0
	each(t, 60, func(d *dice, in gate.Input) bool {
		if in.Approval != nil {
			return false
		}
		d.ripen(&in)
		without := gate.Decide(in, d.settings)
		in.Feedback = "most sessions fail"
		held := gate.Decide(in, d.settings)
		in.Approval = &gate.Approval{Reason: "the reports are false"}
		switch after := gate.Decide(in, d.settings); {
		case reflect.DeepEqual(held.Step, without.Step):
		case without.Step != nil && (after.Step == nil || !same(after.Step, without.Step)):
			t.Errorf("two maintainers do not let %+v pass, but %+v", without.Step, after.Step)
		default:
			passed++
		}
		return true
	})
	if passed < 20 {
		t.Errorf("%d passed", passed)
	}
}

// ripen makes of an input one that is likely to end in a promotion: what is wanted works, for long, and the owner says so.
func (d *dice) ripen(in *gate.Input) {
	p := *d.policies[1+d.IntN(len(d.policies)-1)]
	p.Mode = policy.Enforce
	in.Managed, in.Wanted, in.Published, in.Log = policy.ManagedByMTASTS, &p, nil, nil
	if d.chance(2) {
		in.Published = &policy.Policy{Mode: policy.Testing, MXs: p.MXs}
	}
	n := d.settings.Vantages
	good := gate.Look{Voters: n, Good: n, Live: []gate.LiveMX{{Host: p.MXs[0].Base(), Vantages: n}},
		STS: []gate.STSSeen{{STS: gate.STS{Mode: mtasts.Enforce, MXs: p.MXs, Track: mtasts.TrackService}, Vantages: n}}}
	for i, l := range in.Looks {
		if !d.chance(15) {
			good.At = l.At
			in.Looks[i] = good
		}
	}
}

// TestCanaryStays: no fault that the vantages see weakens a canary; its owner's word, and the end of the domain, do.
func TestCanaryStays(t *testing.T) {
	each(t, 60, func(d *dice, in gate.Input) bool {
		if in.Published == nil {
			return false
		}
		in.Managed, in.Wanted, in.Canary = policy.ManagedByOwner, in.Published, true
		out := gate.Decide(in, d.settings)
		if s := out.Step; s != nil && s.Reason != "remove.owner" && s.Reason != "remove.gone" && s.Reason != "demote.emergency" {
			t.Errorf("%+v", s)
		}
		in.Canary = false
		s := gate.Decide(in, d.settings).Step
		return s != nil && (s.Reason == "demote.auto" || s.Reason == "remove.auto") || out.Step != nil
	})
}
