package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// usurp logs and publishes a signed release of a list of the robber's, with what is wrong about it. The operator goes on
// as if it were not there.
func (w *world) usurp(list policy.List, edit func(*ReleaseLeaf)) *Release {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	at := int64(len(w.leaves))
	leaf := w.releaseLeaf(at, at, list)
	edit(leaf)
	size, digest, err := list.Write(discard{}, leaf.Header())
	w.must(err)
	leaf.Count, leaf.ListSize, leaf.ListDigest = int64(list.Len()), size, digest
	data, err := list.Bytes(leaf.Header())
	w.must(err)
	w.objects[BlobPath(digest)] = w.zstd.EncodeAll(data, nil)
	raw := w.sign(leaf)
	r := &Release{Leaf: leaf, Raw: raw, Index: w.add(raw), List: list}
	w.publish(leaf.Release, w.now)
	return r
}

func listOf(t testing.TB, edits ...policy.Edit) policy.List {
	t.Helper()
	list, err := policy.List{}.Apply(edits)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A newcomer takes a published release that no replay calls valid. The operator's next release has its number, or one
// that is lower or just higher, or an earlier time, and shares nothing with its list: the newcomer takes it all the
// same, in one update, whatever the guard thinks of the difference.
func TestNoReleaseWedgesANewcomer(t *testing.T) {
	for name, edit := range map[string]func(r *ReleaseLeaf){
		"the next number":     func(*ReleaseLeaf) {},
		"a number left out":   func(r *ReleaseLeaf) { r.Release++ },
		"a number far ahead":  func(r *ReleaseLeaf) { r.Release = 1 << 52 },
		"the number again":    func(r *ReleaseLeaf) { r.Release-- },
		"another leaf before": func(r *ReleaseLeaf) { d := sum(nil); r.Previous = &d },
		"an hour ahead":       func(r *ReleaseLeaf) { r.Timestamp = r.Timestamp.Add(maxFuture) },
		"an import":           func(r *ReleaseLeaf) { r.Source, r.Expires = "import:00", r.Expires.AddDate(100, 0, 0) },
		"a list that ended":   func(r *ReleaseLeaf) { r.Override = OverrideFinal },
	} {
		for _, method := range []Method{Auto, Delta, Snapshot} {
			w := newWorld(t, 1)
			w.interval = 10 * time.Minute
			w.release(many(40, policy.Testing)...)
			w.release(set("x.example", policy.Testing))
			var evil []policy.Edit
			for i := range 50 {
				evil = append(evil, set(fmt.Sprintf("evil%02d.example", i), policy.Enforce))
			}
			known := w.join(w.mirror())
			known.update()
			known.Method = method
			bad := w.usurp(listOf(t, evil...), edit)
			known.refuse(name + ", " + string(method))
			newcomer := w.join(w.mirror())
			newcomer.update()
			newcomer.holds(bad)
			newcomer.Method = method

			want := w.release(set("y.example", policy.Testing))
			out := newcomer.update()
			newcomer.holds(want)
			if method != Snapshot && (len(out.Alarms) == 0 || out.Alarms[0].Index != bad.Index) {
				t.Errorf("%s, %s: alarms %v, want one for entry %d", name, method, out.Alarms, bad.Index)
			}
			if out := newcomer.update(); out.Method != "none" {
				t.Errorf("%s, %s: %+v", name, method, out)
			}
			known.update()
			known.holds(want)
			want = w.release(set("z.example", policy.Testing))
			for _, r := range []*reader{newcomer, known} {
				r.update()
				r.holds(want)
			}
			if a, b := newcomer.files(), known.files(); a[stateFile] != b[stateFile] {
				t.Errorf("%s, %s: the newcomer's state is\n%s\nnot\n%s", name, method, a[stateFile], b[stateFile])
			}
		}
	}
}

// A mirror that withholds or alters entries settles no dispute in anybody's favour, and a good mirror behind it does.
func TestDisputeNeedsTheEntries(t *testing.T) {
	for name, lie := range map[string][]byte{"withheld": nil, "empty": {}, "others": []byte("\x00\x01x")} {
		w := newWorld(t, 0)
		w.release(many(300, policy.Testing)...) // the first bundle is full
		bad := w.usurp(listOf(t, set("evil.example", policy.Enforce)), func(*ReleaseLeaf) {})
		r := w.join(w.mirror())
		r.update()
		r.holds(bad)
		want := w.release(set("y.example", policy.Testing))
		m := w.mirror()
		m.lies["tile/entries/000"] = lie
		r.ask(m)
		r.refuse("the first entries are " + name)
		r.ask(m, w.mirror())
		r.update()
		r.holds(want)
	}
}

// The keys of a valid release are no reason to read a log from its start, and a refused one does not heal anybody: the
// robber's release after a valid one stays refused.
func TestDisputeLeavesTheValidInForce(t *testing.T) {
	for _, method := range []Method{Auto, Delta, Snapshot} {
		w := newWorld(t, 0)
		w.release(many(3, policy.Testing)...)
		held := w.release(set("x.example", policy.Testing))
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		w.usurp(listOf(t, set("evil.example", policy.Enforce)), func(leaf *ReleaseLeaf) { leaf.Release++ })
		r.refuse("a number left out, " + string(method))
		w.usurp(listOf(t, set("evil.example", policy.Enforce)), func(leaf *ReleaseLeaf) { leaf.Release-- })
		r.refuse("a number again, " + string(method))
		r.holds(held)
	}
}

// All keys are stolen where no witness tells the time, and the thief's release is dated to the end of the trust, years
// ahead. Nothing in that log can be later; a new log, which only the roots can name, heals it. Its releases still need
// a higher number, and a later time than what was dated honestly.
func TestDatedYearsAhead(t *testing.T) {
	for _, clock := range []time.Duration{0, -24 * time.Hour, time.Unix(0, 0).Sub(worldStart)} {
		w := newWorld(t, 0)
		w.keys.expires = worldStart.AddDate(10, 0, 0)
		w.rotate(func(*keyring) {})
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.Now = func() time.Time { return w.now.Add(clock) }
		r.update()
		thief := w.fork()
		thief.edit = func(leaf *ReleaseLeaf) {
			leaf.Timestamp = w.keys.expires.Add(-time.Hour)
			leaf.Expires = leaf.Timestamp.Add(MaxLifetime)
			thief.relist(leaf, set("evil.example", policy.Enforce))
		}
		thief.release(set("evil.example", policy.Enforce))
		r.ask(thief.mirror())
		r.update()
		r.holds(thief.last)
		w.last.Leaf.Release++ // the operator knows the thief's number
		w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
		want := w.restart("policylist.example/second")
		r.ask(w.mirror())
		if out := r.update(); !out.QuorumTime.Equal(want.Leaf.Timestamp) {
			t.Errorf("the time of the thief's release still counts: %s", out.QuorumTime)
		}
		r.holds(want)
		want = w.release(set("x.example", policy.Testing))
		r.update()
		r.holds(want)
	}
}

// A thief of the log key fills leaves to the brim. Nobody reads more of that than the list is worth; whoever takes the
// next release takes it as a snapshot.
func TestEntriesFilledToTheBrim(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	brim := bytes.Repeat([]byte("x"), 65535)
	for range deltaBytes(0)/65535 + 300 {
		w.add(brim)
	}
	want := w.release(set("x.example", policy.Testing))
	m := w.mirror()
	r.ask(m)
	r.Method = Delta
	if out := r.refuse("too much to read"); !strings.Contains(out.Problems[0], errTooMuch.Error()) {
		t.Errorf("got %v", out.Problems)
	}
	if m.bytes > 3*deltaBytes(0) {
		t.Errorf("%d bytes were read", m.bytes)
	}
	r.Method = Auto
	if out := r.update(); out.Method != "snapshot" {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
	if _, err := readEntries(context.Background(), m, 0, w.shown, deltaBytes(0)); !errors.Is(err, errTooMuch) {
		t.Errorf("got %v", err)
	}
}
