package gate_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// trials is how many random inputs each property is held against.
const trials = 1500

// dice makes inputs that are likely to come close to something: few policies, few hosts, long runs of the same look.
type dice struct {
	*rand.Rand
	t        testing.TB
	policies []*policy.Policy // with nil
	settings gate.Settings
}

func throw(t testing.TB, seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, policies: []*policy.Policy{nil}}
	for _, s := range []string{"testing mx.a.example", "enforce mx.a.example", "testing mx2.a.example", "enforce mx2.a.example", "enforce mx.a.example mx2.a.example"} {
		d.policies = append(d.policies, policyOf(t, s))
	}
	v := 1 + d.IntN(4)
	d.settings = gate.Settings{Vantages: v, Quorum: 1 + d.IntN(v)}
	return d
}

func (d *dice) policy() *policy.Policy { return d.policies[d.IntN(len(d.policies))] }

func (d *dice) chance(n int) bool { return d.IntN(n) == 0 }

func (d *dice) input() gate.Input {
	in := gate.Input{
		Domain: domain(d.t, "a.example"), Published: d.policy(), Wanted: d.policy(),
		Managed: []policy.ManagedBy{policy.ManagedByMTASTS, policy.ManagedByOwner, policy.ManagedByCurated}[d.IntN(3)],
	}
	if d.chance(8) {
		in.Override = "why not"
	}
	if d.chance(8) {
		in.Approval = &gate.Approval{Reason: "why not"}
	}
	if d.chance(3) {
		reasons := gateReasons()
		in.Log = append(in.Log, gate.Logged{At: noon.AddDate(0, 0, -d.IntN(30)), Before: d.policy(), After: in.Published, Reason: reasons[d.IntN(len(reasons))]})
	}
	at, look := noon, d.look()
	for range 2 + d.IntN(50) {
		if d.chance(9) {
			look = d.look()
		}
		look.At = at
		in.Looks = append(in.Looks, look)
		at = at.Add(time.Duration(6+6*d.IntN(5)) * time.Hour)
	}
	in.Now = in.Looks[len(in.Looks)-1].At.Add(time.Duration(d.IntN(26)) * time.Hour)
	if d.chance(4) {
		in.Registered = in.Now.Add(time.Duration(d.IntN(100*24)-99*24) * time.Hour)
	}
	return in
}

func (d *dice) look() gate.Look {
	l := gate.Look{Voters: d.settings.Vantages - d.IntN(2)}
	l.Good = d.IntN(l.Voters + 1)
	if d.chance(2) {
		l.Good = l.Voters
	}
	l.Bad = d.IntN(l.Voters - l.Good + 1)
	if d.chance(2) {
		l.Bad = l.Voters - l.Good
	}
	if l.Hard = d.IntN(l.Bad + 1); d.chance(2) {
		l.Hard = l.Bad
	}
	if d.chance(4) {
		l.Gone, l.Hard = l.Bad, 0
	}
	for _, host := range []string{"mx.a.example", "mx2.a.example"} {
		if n := d.IntN(l.Voters + 1); n > 0 && d.chance(2) {
			l.Live = append(l.Live, gate.LiveMX{Host: domain(d.t, host), Vantages: n})
		}
	}
	if n := l.Voters - max(0, d.IntN(8)-6); n > 0 {
		p := d.policies[1+d.IntN(len(d.policies)-1)]
		s := gate.STS{Mode: []mtasts.Mode{"", mtasts.None, mtasts.Testing, mtasts.Enforce, mtasts.Enforce}[d.IntN(5)], MXs: p.MXs, Track: mtasts.TrackService}
		l.STS = append(l.STS, gate.STSSeen{STS: s, Vantages: n})
	}
	if n := l.Voters - max(0, d.IntN(8)-6); n > 0 {
		l.Proofs = append(l.Proofs, gate.ProofSeen{Reading: d.proof(), Vantages: n})
	}
	return l
}

func (d *dice) proof() proof.Reading {
	r := proof.Record{Expires: noon.Truncate(24*time.Hour).AddDate(0, 0, 1+d.IntN(59))}
	switch d.IntN(5) {
	case 0:
		return proof.Reading{Status: proof.None}
	case 1:
		r.Kind = proof.Remove
	case 2:
		r.Kind = proof.Emergency
	default:
		r.Kind, r.Change = proof.Change, proof.Digest(*d.policies[1+d.IntN(len(d.policies)-1)])
	}
	return proof.Reading{Record: r, Status: proof.OK}
}

// weakens reports whether a step takes protection away.
func weakens(s *gate.Step) bool {
	return s != nil && s.Change.Class.Has(policy.Removed|policy.Weakened|policy.MXsWidened|policy.MXsReplaced)
}

func same(a, b *gate.Step) bool {
	return a != nil && b != nil && a.Reason == b.Reason && reflect.DeepEqual(a.Change, b.Change)
}

// each calls f with random inputs, and fails when none of them came near what is asked.
func each(t *testing.T, least int, f func(d *dice, in gate.Input) (near bool)) {
	t.Helper()
	count := 0
	for seed := range uint64(trials) {
		d := throw(t, seed)
		if f(d, d.input()) {
			count++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if count < least {
		t.Errorf("only %d of %d inputs were of any use", count, trials)
	}
	t.Logf("%d of %d inputs came near", count, trials)
}

// TestModeAndMXsNeverTogether (rule R52), and every answer is one that a person can act on.
func TestModeAndMXsNeverTogether(t *testing.T) {
	each(t, 60, func(d *dice, in gate.Input) bool {
		out := gate.Decide(in, d.settings)
		if out.Step != nil && out.Step.Change.Class.ModeAndMXs() {
			t.Errorf("%s", out.Step.Change.Class)
		}
		if out.Step != nil && (in.Published == nil && out.Step.Change.New == nil || in.Published != nil && out.Step.Change.New != nil && in.Published.Equal(*out.Step.Change.New)) {
			t.Errorf("a step to where the list is: %+v", out.Step)
		}
		for i, w := range out.Waits {
			checkWait(t, in, w)
			if out.Step != nil && reflect.DeepEqual(w.Change, out.Step.Change) {
				t.Errorf("made and held: %+v", w)
			}
			if slices.ContainsFunc(out.Waits[:i], func(v gate.Wait) bool { return v.Automatic && !w.Automatic && reflect.DeepEqual(v.Change, w.Change) }) {
				t.Errorf("held twice: %+v", w)
			}
		}
		backwards := in
		backwards.Looks = slices.Clone(in.Looks)
		slices.Reverse(backwards.Looks)
		if !reflect.DeepEqual(gate.Decide(backwards, d.settings), out) {
			t.Error("the order of looks matters")
		}
		return out.Step != nil
	})
}

// checkWait: a wait has an earliest time that lies ahead, or something that somebody must do.
func checkWait(t *testing.T, in gate.Input, w gate.Wait) {
	t.Helper()
	if len(w.Findings) == 0 {
		t.Errorf("held without a reason: %+v", w)
	}
	timely := true
	for _, f := range w.Findings {
		if f.Fix == "" || f.Summary == "" || f.Severity == policy.Error {
			t.Errorf("%+v", f)
		}
		timely = timely && slices.Contains([]string{"gate.waiting", "gate.passes", "gate.recent-fail"}, f.Code)
	}
	if timely != w.Until.After(in.Now) || timely == w.Until.IsZero() {
		t.Errorf("until %s, now %s, %+v", w.Until, in.Now, w.Findings)
	}
}

// TestInconclusiveWeakensNothing: looks that show nothing, put in anywhere, let no weakening through where none was let
// through without them; and alone they let nothing through at all.
func TestInconclusiveWeakensNothing(t *testing.T) {
	each(t, 60, func(d *dice, in gate.Input) bool {
		before := gate.Decide(in, d.settings)
		more := in
		more.Looks = slices.Clone(in.Looks)
		for range 1 + d.IntN(5) {
			at := noon.Add(time.Duration(d.IntN(int(in.Now.Sub(noon)/time.Second)+1)) * time.Second)
			more.Looks = append(more.Looks, gate.Look{At: at, Voters: d.settings.Vantages})
		}
		if after := gate.Decide(more, d.settings); weakens(after.Step) && !weakens(before.Step) {
			t.Errorf("before %+v, after %+v", before.Step, after.Step)
		}
		for i := range more.Looks {
			more.Looks[i] = gate.Look{At: more.Looks[i].At, Voters: d.settings.Vantages}
		}
		if out := gate.Decide(more, d.settings); out.Step != nil && in.Approval == nil {
			t.Errorf("inconclusive looks let through %+v", out.Step)
		}
		return weakens(before.Step)
	})
}

// TestMonotone: what could be made is still possible later, when the looks go on to show what they showed.
func TestMonotone(t *testing.T) {
	each(t, 60, func(d *dice, in gate.Input) bool {
		look := in.Looks[len(in.Looks)-1]
		first := gate.Decide(in, d.settings).Step
		if first == nil || !conclusive(look, d.settings) {
			return false
		}
		for range 12 {
			at := in.Looks[len(in.Looks)-1].At.Add(time.Duration(6+d.IntN(19)) * time.Hour)
			if !at.Before(expires(look)) {
				break // the owner's word has run out: the signals do not go on
			}
			look.At = at
			in.Looks, in.Now = append(in.Looks, look), later(in.Now, at)
			if last := gate.Decide(in, d.settings).Step; last == nil || !same(first, last) && !weakens(last) {
				t.Errorf("at first %+v, at %s %+v", first, at, last)
			}
		}
		return true
	})
}

// conclusive reports whether everybody could tell everything: else the newest signal is of an older look.
func conclusive(l gate.Look, s gate.Settings) bool {
	return l.Voters == s.Vantages && l.Good+l.Bad == l.Voters && len(l.STS) == 1 && l.STS[0].Vantages == l.Voters && len(l.Proofs) == 1 && l.Proofs[0].Vantages == l.Voters
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func expires(l gate.Look) time.Time {
	for _, p := range l.Proofs {
		if p.Reading.Status == proof.OK {
			return p.Reading.Expires
		}
	}
	return noon.AddDate(10, 0, 0)
}

// TestNoSingleVantage: what one vantage alone sees weakens nothing, however long it sees it, and whatever it makes up.
func TestNoSingleVantage(t *testing.T) {
	each(t, 60, func(d *dice, in gate.Input) bool {
		in.Managed, in.Approval, in.Log = policy.ManagedByMTASTS, nil, nil
		if in.Published == nil {
			return false
		}
		in.Wanted = in.Published
		bad := 0
		for i, l := range in.Looks {
			honest := gate.Look{At: l.At, Voters: d.settings.Vantages, STS: nil}
			others := d.settings.Vantages - 1
			honest.Good = others
			if others > 0 {
				honest.STS = []gate.STSSeen{{STS: gate.STS{Mode: mtasts.Enforce, MXs: in.Published.MXs, Track: mtasts.TrackService}, Vantages: others}}
				honest.Proofs = []gate.ProofSeen{{Reading: proof.Reading{Status: proof.None}, Vantages: others}}
				honest.Live = []gate.LiveMX{{Host: in.Published.MXs[0].Base(), Vantages: others}}
			}
			// The liar, or the one that is lied to.
			honest.Bad, honest.Hard, honest.Gone = 1, d.IntN(2), d.IntN(2)
			honest.Live = append(honest.Live, gate.LiveMX{Host: domain(t, "mx.evil.example"), Vantages: 1})
			if others > 0 {
				honest.STS = append(honest.STS, gate.STSSeen{STS: gate.STS{Mode: mtasts.None}, Vantages: 1})
				honest.Proofs = append(honest.Proofs, gate.ProofSeen{Reading: d.proof(), Vantages: 1})
			}
			in.Looks[i] = honest
			bad++
		}
		if out := gate.Decide(in, d.settings); out.Step != nil {
			t.Errorf("%+v: %+v", d.settings, out.Step)
		}
		return bad > 2
	})
}

// TestBudget: never more than a release carries, never less than it could, and the same choice from any order.
func TestBudget(t *testing.T) {
	held, codes := 0, map[string]int{}
	for seed := range uint64(200) {
		d := throw(t, seed)
		listed := d.IntN(3000)
		var steps []gate.Step
		for i := range d.IntN(400) {
			old, new := d.policy(), d.policy()
			name := domain(t, "d"+string(rune('a'+i%26))+string(rune('a'+i/26))+".example")
			changes := policy.Diff(entries(name, old), entries(name, new))
			if len(changes) == 0 {
				continue
			}
			reasons := gateReasons()
			steps = append(steps, gate.Step{Change: changes[0], Reason: reasons[d.IntN(len(reasons))], Since: noon.Add(time.Duration(d.IntN(9)) * time.Hour)})
		}
		day := gate.Day{Listed: listed}
		pass, waits := day.Budget(steps, false)
		if len(pass)+len(waits) != len(steps) {
			t.Fatalf("seed %d: %d and %d of %d", seed, len(pass), len(waits), len(steps))
		}
		changes := make([]policy.Change, len(pass))
		for i, s := range pass {
			changes[i] = s.Change
		}
		if x := day.Excess(changes); x.Over || x.Startles {
			t.Fatalf("seed %d: %+v", seed, x)
		}
		for _, w := range waits {
			x := day.Excess(append(slices.Clone(changes), w.Change))
			if len(w.Findings) != 1 || w.Findings[0].Code == "gate.budget" && !x.Over || w.Findings[0].Code == "gate.guard" && !x.Startles {
				t.Fatalf("seed %d: held without need: %+v", seed, w)
			}
			codes[w.Findings[0].Code]++
		}
		d.Shuffle(len(steps), func(i, k int) { steps[i], steps[k] = steps[k], steps[i] })
		again, _ := gate.Day{Listed: listed}.Budget(steps, false)
		if !reflect.DeepEqual(again, pass) {
			t.Fatalf("seed %d: another order, another choice", seed)
		}
		if all, none := day.Budget(steps, true); len(all) != len(steps) || len(none) > 0 {
			t.Fatalf("seed %d: accepted, and %d held", seed, len(none))
		}
		held += len(waits)
	}
	if held < 1000 {
		t.Errorf("only %d steps were over a budget", held)
	}
	if codes["gate.budget"] < 100 || codes["gate.guard"] < 100 {
		t.Errorf("held %v", codes)
	}
}

// TestBudgetOrder: what lets mail arrive goes first, though others have waited longer.
func TestBudgetOrder(t *testing.T) {
	var steps []gate.Step
	for i := range 30 {
		name := domain(t, "d"+strconv.Itoa(100+i)+".example")
		c := policy.Diff(entries(name, policyOf(t, "enforce mx.a.example")), entries(name, policyOf(t, "testing mx.a.example")))[0]
		steps = append(steps, gate.Step{Change: c, Reason: "demote.owner", Since: noon.Add(time.Duration(-i) * time.Hour)})
	}
	steps[0].Reason = "demote.emergency"
	pass, held := gate.Day{Listed: 30}.Budget(steps, false)
	if len(pass) != 19 || len(held) != 11 || pass[0].Reason != "demote.emergency" {
		t.Fatalf("%d pass, the first for %s", len(pass), pass[0].Reason)
	}
	for _, w := range held { // those with the latest Since
		if w.Since.Before(noon.Add(-11 * time.Hour)) {
			t.Errorf("held since %s", w.Since)
		}
	}
}

func entries(d policy.Domain, p *policy.Policy) []policy.Entry {
	if p == nil {
		return nil
	}
	return []policy.Entry{{Domain: d, Policy: *p}}
}

// BenchmarkDecide is the work for one domain with two months of daily looks.
func BenchmarkDecide(b *testing.B) {
	c := &tableCase{t: b, settings: gate.Settings{Vantages: 3, Quorum: 2}}
	in := gate.Input{Domain: domain(b, "a.example"), Managed: policy.ManagedByMTASTS, Published: policyOf(b, "enforce mx.a.example"), Now: noon.AddDate(0, 0, 61)}
	in.Wanted = in.Published
	for d := range 62 {
		in.Looks = append(in.Looks, c.look(noon.AddDate(0, 0, d), "mail arrives, sts enforce mx.a.example, no proof"))
	}
	for b.Loop() {
		if out := gate.Decide(in, c.settings); out.Step != nil || len(out.Waits) > 0 {
			b.Fatal(out)
		}
	}
}
