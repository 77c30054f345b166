package mirror

import (
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// attempt is a third release that goes wrong in one way: by its leaf, its change leaves, or what stands between.
type attempt struct {
	why     string // what the alarm for the release leaf says
	edit    func(w *world, r *ReleaseLeaf)
	changes func(w *world, leaves [][]byte) [][]byte
	before  func(w *world) // before the change leaves
	between func(w *world) // after them
}

func second(release int64) []ChangeLeaf {
	x, y := set("x.example", policy.Testing), set("y.example", policy.Testing)
	return []ChangeLeaf{{x.Domain, x.Policy, "add.owner", release}, {y.Domain, y.Policy, "add.owner", release}}
}

// Each attempt has no effect but alarms, and the next good release continues from the last valid one.
func TestInvalidReleasesHaveNoEffect(t *testing.T) {
	unlogged := func(w *world) {
		w.rotate(func(k *keyring) { k.expires = k.expires.AddDate(0, 1, 0) })
		w.pending = nil
	}
	leaf := func(e policy.Edit) []byte { return ChangeLeaf{e.Domain, e.Policy, "add.owner", 3}.Append(nil) }
	renumbered := func(release int64) func(*world, [][]byte) [][]byte {
		return func(*world, [][]byte) [][]byte {
			var out [][]byte
			for _, c := range second(release) {
				out = append(out, c.Append(nil))
			}
			return out
		}
	}
	for name, a := range map[string]attempt{
		"a number left out": {
			why: "release 4 cannot follow release 2", edit: func(_ *world, r *ReleaseLeaf) { r.Release = 4 }, changes: renumbered(4)},
		"a number again": {
			why: "release 2 cannot follow release 2", edit: func(_ *world, r *ReleaseLeaf) { r.Release = 2 }, changes: renumbered(2)},
		"changes of another number": {why: "carries the number 7", changes: renumbered(7)},
		"another leaf before": {
			why: "as the leaf before", edit: func(w *world, r *ReleaseLeaf) { d := sum(w.leaves[0]); r.Previous = &d }},
		"the same time": {
			why: "is not later", edit: func(w *world, r *ReleaseLeaf) { r.Timestamp = w.last.Leaf.Timestamp }},
		"a trust version that was not logged": {why: "it names trust version 2 where version 1 holds", before: unlogged},
		"a trust version that was superseded": {
			why:  "it names trust version 1 where version 2 holds",
			edit: func(_ *world, r *ReleaseLeaf) { r.Trust = 1 },
			between: func(w *world) {
				unlogged(w)
				next := w.chain.Newest()
				w.add(TrustLeaf{next.Digest(), next.Version}.Append(nil))
			}},
		"a trust version with another digest": {
			why:     "it names trust version 2 where version 1 holds",
			between: func(w *world) { unlogged(w); w.add(TrustLeaf{sum(nil), 2}.Append(nil)) }},
		"a trust version left out": {
			why: "it names trust version 3 where version 1 holds",
			between: func(w *world) {
				unlogged(w)
				unlogged(w)
				w.add(TrustLeaf{w.chain.Newest().Digest(), 3}.Append(nil))
			}},
		"a trust leaf among the changes": {
			why: "are not the change leaves just before it",
			changes: func(w *world, leaves [][]byte) [][]byte {
				return slices.Insert(leaves, 1, TrustLeaf{w.chain.Newest().Digest(), 1}.Append(nil))
			}},
		"rubbish among the changes": {
			why:     "are not the change leaves just before it",
			changes: func(_ *world, leaves [][]byte) [][]byte { return slices.Insert(leaves, 1, []byte("rubbish")) }},
		"rubbish behind the changes": {
			why: "are not the change leaves just before it", between: func(w *world) { w.add(nil) }},
		"from too early":   {why: "are not the change leaves", edit: func(_ *world, r *ReleaseLeaf) { r.From-- }},
		"from too late":    {why: "the rebuilt list has", edit: func(_ *world, r *ReleaseLeaf) { r.From++ }},
		"to too early":     {why: "are not the change leaves", edit: func(_ *world, r *ReleaseLeaf) { r.To-- }},
		"to too late":      {why: "are not the change leaves", edit: func(_ *world, r *ReleaseLeaf) { r.To++ }},
		"an empty range":   {why: "are not the change leaves", edit: func(_ *world, r *ReleaseLeaf) { r.To = r.From }},
		"nothing at all":   {why: "are not the change leaves", edit: func(_ *world, r *ReleaseLeaf) { r.From, r.To = 1<<50, 1<<50 }},
		"another count":    {why: "the rebuilt list has", edit: func(_ *world, r *ReleaseLeaf) { r.Count++ }},
		"another size":     {why: "the rebuilt list has", edit: func(_ *world, r *ReleaseLeaf) { r.ListSize++ }},
		"another digest":   {why: "the rebuilt list has", edit: func(_ *world, r *ReleaseLeaf) { r.ListDigest[31]++ }},
		"another origin":   {why: "its origin is", edit: func(_ *world, r *ReleaseLeaf) { r.Origin = "other.example" }},
		"a change missing": {why: "the rebuilt list has", changes: func(_ *world, l [][]byte) [][]byte { return l[:1] }},
		"changes unsorted": {why: "not sorted and unique", changes: func(_ *world, l [][]byte) [][]byte { slices.Reverse(l); return l }},
		"a change twice":   {why: "not sorted and unique", changes: func(_ *world, l [][]byte) [][]byte { return append(l[:1:1], l[0], l[1]) }},
		"a change without effect": {
			why: "is set to what it already is",
			changes: func(_ *world, l [][]byte) [][]byte {
				return append([][]byte{leaf(set("d000.example", policy.Testing))}, l...)
			}},
		"a removal of what is not listed": {
			why:     "is removed but not listed",
			changes: func(_ *world, l [][]byte) [][]byte { return append([][]byte{leaf(del("never.example"))}, l...) }},
	} {
		w := newWorld(t, 0)
		w.release(many(3, policy.Testing)...)
		w.release(del("d001.example"))
		a.tryIn(t, name, w)
	}
}

func (a attempt) tryIn(t *testing.T, name string, w *world) {
	t.Helper()
	w.now = w.now.Add(w.interval)
	if a.before != nil {
		a.before(w)
	}
	var edits []policy.Edit
	var leaves [][]byte
	for _, c := range second(3) {
		edits, leaves = append(edits, c.Edit()), append(leaves, c.Append(nil))
	}
	if a.changes != nil {
		leaves = a.changes(w, leaves)
	}
	from := int64(len(w.leaves))
	for _, l := range leaves {
		w.add(l)
	}
	to := int64(len(w.leaves))
	if a.between != nil {
		a.between(w)
	}
	list, err := w.last.List.Apply(edits)
	w.must(err)
	leaf := w.releaseLeaf(from, to, list)
	if a.edit != nil {
		a.edit(w, leaf)
		if size, digest, err := list.Write(discard{}, leaf.Header()); err == nil && leaf.Timestamp.Before(w.now) {
			leaf.ListSize, leaf.ListDigest = size, digest
		}
	}
	bad := w.add(w.sign(leaf))
	good := w.release(set("z.example", policy.Testing))

	replay := NewReplay(w.chain, nil)
	var releases []int64
	for _, l := range w.leaves {
		if r := replay.Add(l); r != nil {
			releases = append(releases, r.Index)
		}
	}
	alarms, _ := replay.Alarms()
	i := slices.IndexFunc(alarms, func(x Alarm) bool { return x.Index == bad })
	if i < 0 || !strings.Contains(alarms[i].String(), a.why) {
		t.Errorf("%s: alarms %v, want %q for entry %d", name, alarms, a.why, bad)
	}
	if w.chain.Newest().Version > 1 && len(releases) == 2 {
		return // the trust version of the good release was not logged rightly either
	}
	if len(releases) != 3 || releases[2] != good.Index || replay.Last().List.Len() != 3 {
		t.Errorf("%s: releases at %v, alarms %v", name, releases, alarms)
	}
}
