package mirror

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// makeClients are whole updates: what a client holds, what a mirror shows, what the client holds then.
func (v *vectorWorld) makeClients() {
	v.makeSnapshots()
	v.makeDeltas()
	v.makeNewLog()
	v.makeFinal()
}

// makeNewLog are updates of a client that holds a release of a log that another one follows.
func (v *vectorWorld) makeNewLog() {
	w := v.fork()
	w.restart("vectors.example/second")
	c := v.base("client", 2)
	c.Trust = append(slices.Clone(c.Trust), v.book.file("trust/new-log", w.objects[TrustPath(3)]))
	c.Held, c.Now = &heldFiles{v.proof[4], v.lists[4]}, stampText(w.now)
	c.List = v.book.file("client/new-log.json", v.bytes(w.last))
	v.accept(c, "new-log", "trust version 3 begins another log: its release is taken as a snapshot, the old tree says nothing of it", w.objects[PointerPath])
	v.refuse(c, "new-log-lagging", "the old log's newest release, when version 3 is there: the mirror lags", v.book.files[v.proof[4]])
	again := v.fork()
	again.edit = func(l *ReleaseLeaf) { l.Release = 4 }
	again.restart("vectors.example/second")
	c.List = v.book.file("client/new-log-number.json", v.bytes(again.last))
	v.refuse(c, "new-log-number", "the new log's release has a number that was seen already", again.objects[PointerPath])
}

// makeFinal is the end of a list.
func (v *vectorWorld) makeFinal() {
	w := v.before[2].fork()
	w.edit = func(l *ReleaseLeaf) { l.Override = OverrideFinal }
	var all []policy.Edit
	for _, e := range w.last.List.Entries() {
		all = append(all, del(e.Domain.String()))
	}
	w.release(all...)
	c := v.base("client", 1)
	c.Held, c.Now, c.Entries = &heldFiles{v.proof[1], v.lists[1]}, stampText(w.now), v.book.file("entries/final", w.entries())
	v.accept(c, "final", "a release with list.final and no domain ends the list", w.objects[PointerPath])
}

func (v *vectorWorld) makeSnapshots() {
	c := v.base("client", 2)
	c.List, c.Now = v.lists[4], stampText(v.now)
	newest := v.book.files[v.proof[4]]
	v.accept(c, "joins", "a new client takes the newest list", newest)
	c.Now = later(v.now, freshFor+time.Second)
	v.accept(c, "stale", "nothing new for more than 48 hours: the list counts, and a warning is due", newest)
	c.Now = later(v.now, 14*24*time.Hour)
	v.accept(c, "expired", "at the second of its expiry a list has expired", newest)
	c.Now = stampText(v.now)

	v.refuse(c, "lagging", "the newest release names trust version 1, and version 2 is there: the mirror lags", v.book.files[v.proof[2]])
	v.refuse(c, "not-last", "the release is not the last entry of the tree", v.book.files[v.caseFile("proof", "later-tree")])
	with := func(name, why, list string) {
		d := c
		d.Name, d.Why, d.Verdict, d.File, d.List = name, why, "refuse", v.proof[4], list
		v.settle(d)
	}
	with("older-list", "the list of release 3 with the proof of release 4", v.lists[3])
	with("list-flip", "a bit of the list is another", v.book.file("client/list-flip", flipped(v.t, v.book.files[v.lists[4]], `"mode":"`)))
	with("list-longer", "the list goes on behind its end", v.book.file("client/list-longer", append(bytes.Clone(v.book.files[v.lists[4]]), '\n')))
	d := c
	d.Fingerprint = v.fingerprintText()[:63] + "0"
	v.refuse(d, "fingerprint", "the fingerprint is not the list's", newest)

	one := v.base("client", 1)
	one.Now, one.List, one.Held = c.Now, v.lists[1], &heldFiles{v.proof[2], v.lists[2]}
	v.refuse(one, "older", "release 1 to a client that holds release 2: a rollback", v.book.files[v.proof[1]])
	forked := v.before[2].fork()
	forked.release(set("evil.example", policy.Enforce), set("evil2.example", policy.Enforce), set("evil3.example", policy.Enforce))
	one.Held = &heldFiles{v.proof[2], v.lists[2]}
	one.List = v.book.file("client/fork.json", v.bytes(forked.last))
	v.refuse(one, "fork", "another tree of the held size, signed by log and witnesses: two histories", forked.objects[PointerPath])

	w := newWorld(v.t, 0)
	w.release(set("a.example", policy.Testing))
	alone := vector{Kind: "client", Fingerprint: fmt.Sprintf("%x", w.fingerprint()), Now: stampText(w.now)}
	alone.Trust = []string{v.book.file("trust/unwitnessed", w.objects[TrustPath(1)])}
	alone.List = v.book.file("client/unwitnessed.json", v.bytes(w.last))
	v.accept(alone, "unwitnessed", "a list without witnesses: its quorum time is the release's timestamp", w.objects[PointerPath])
}

func (v *vectorWorld) caseFile(kind, name string) string {
	for _, c := range v.book.cases {
		if c.Kind == kind && c.Name == name {
			return c.File
		}
	}
	v.t.Fatalf("no case %s/%s", kind, name)
	return ""
}

func (v *vectorWorld) makeDeltas() {
	c := v.base("client", 2)
	c.Now = stampText(v.now)
	c.Entries = v.book.file("entries/14", v.entries())
	held := func(n int64) *heldFiles { return &heldFiles{v.proof[n], v.lists[n]} }
	newest := v.book.files[v.proof[4]]
	c.Held = held(3)
	v.accept(c, "delta", "entries 12 to 14: a change that nobody claims has no effect, and the release changes nothing else", newest)
	c.Held = held(1)
	v.accept(c, "delta-over-rotation", "entries 5 to 14: three releases and a trust version", newest)

	c.Held, c.Trust = held(1), v.trust[:1]
	all := v.bundle(v.leaves[:9])
	bad := func(name, why string, entries []byte) {
		v.t.Helper()
		d := c
		d.Name, d.Why, d.Verdict, d.File = name, why, "refuse", v.proof[2]
		d.Entries = v.book.file("entries/"+name, entries)
		v.settle(d)
	}
	bad("entry-flip", "a bit of an entry is another", flipped(v.t, all, `"domain":"d`))
	bad("entry-missing", "an entry less", v.bundle(v.leaves[:8]))
	swapped := slices.Clone(v.leaves[:9])
	swapped[5], swapped[6] = swapped[6], swapped[5]
	bad("entries-swapped", "two entries in another order", v.bundle(swapped))
	bad("entries-cut", "the bundle ends within an entry", all[:len(all)-1])

	at := int64(2)
	story := func(name, why string, edit func(w *world)) {
		v.t.Helper()
		w := v.before[at].fork()
		edit(w)
		d := c
		d.Entries, d.Now = v.book.file("entries/"+name, w.entries()), stampText(w.now)
		v.refuse(d, name, why, w.objects[PointerPath])
	}
	leaf := func(f func(*ReleaseLeaf)) func(*world) {
		return func(w *world) {
			w.edit = f
			w.release(set("d.example", policy.Testing))
		}
	}
	story("number-skipped", "release 3 after release 1", leaf(func(l *ReleaseLeaf) { l.Release = 3 }))
	story("previous-other", "it names another release as the one before", leaf(func(l *ReleaseLeaf) { l.Previous = &[32]byte{1} }))
	story("not-later", "its time is that of the release before", leaf(func(l *ReleaseLeaf) { l.Timestamp = v.before[2].now }))
	story("count", "the resulting list has another number of domains", leaf(func(l *ReleaseLeaf) { l.Count++ }))
	story("digest", "the resulting list has another digest", leaf(func(l *ReleaseLeaf) { l.ListDigest[0] ^= 1 }))
	story("range-not-its-own", "its range begins with another release's entries", leaf(func(l *ReleaseLeaf) { l.From = 1 }))
	story("range-misses-one", "its range leaves out the last change before it", leaf(func(l *ReleaseLeaf) { l.To-- }))
	story("not-later-within", "of two new releases the second has the time of the first", func(w *world) {
		w.release(set("d.example", policy.Testing))
		w.edit = func(l *ReleaseLeaf) { l.Timestamp = l.Timestamp.Add(-w.interval) }
		w.release(set("e.example", policy.Testing))
	})
	raw := func(name, why string, edits ...policy.Edit) {
		v.t.Helper()
		story(name, why, func(w *world) {
			w.now = w.now.Add(w.interval)
			from := int64(len(w.leaves))
			for _, e := range edits {
				w.add(ChangeLeaf{e.Domain, e.Policy, "add.owner", w.number()}.Append(nil))
			}
			list, _ := w.last.List.Apply([]policy.Edit{set("d.example", policy.Testing), set("e.example", policy.Testing)})
			l := w.releaseLeaf(from, int64(len(w.leaves)), list)
			w.add(w.sign(l))
			w.publish(l.Release, w.now)
		})
	}
	raw("changes-unsorted", "change leaves are sorted by domain", set("e.example", policy.Testing), set("d.example", policy.Testing))
	raw("change-twice", "a domain once in a release", set("d.example", policy.Testing), set("d.example", policy.Testing))
	raw("set-nothing", "a set that changes nothing", set("b.example", policy.Testing))
	raw("del-nothing", "a del of what is not there", del("nonesuch.example"))
	story("change-number", "a change leaf carries another release's number", func(w *world) {
		w.now = w.now.Add(w.interval)
		e := set("d.example", policy.Testing)
		w.add(ChangeLeaf{e.Domain, e.Policy, "add.owner", 7}.Append(nil))
		w.close(int64(len(w.leaves))-1, int64(len(w.leaves)), e)
	})

	at, c.Trust, c.Held = 3, v.trust, held(2)
	story("trust-not-logged", "it names trust version 2, of which there is no leaf before it", func(w *world) {
		w.pending = nil
		w.release(set("e.example", policy.Testing))
	})
	story("trust-leaf-digest", "the leaf of trust version 2 has another digest", func(w *world) {
		w.pending = []TrustLeaf{{[32]byte{1}, 2}}
		w.release(set("e.example", policy.Testing))
	})
}

// bundle is the entry bundle of any entries.
func (v *vectorWorld) bundle(entries [][]byte) []byte {
	v.t.Helper()
	var out []byte
	for _, e := range entries {
		var err error
		out, err = transparency.AppendEntry(out, e)
		v.must(err)
	}
	return out
}
