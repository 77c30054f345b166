package mirror

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// sign appends a root's signature line to a note or to its text.
func (v *vectorWorld) sign(text string, keys ...testKey) []byte {
	v.t.Helper()
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.signer(v.t))
	}
	msg, err := note.Sign(&note.Note{Text: text}, signers...)
	v.must(err)
	return msg
}

func (v *vectorWorld) makeTrust() {
	one, two := v.chain.Versions()[0], v.chain.Versions()[1]
	a, b, c, d := newTestKey("root.a"), newTestKey("root.b"), newTestKey("root.c"), newTestKey("root.d")
	v.accept(v.base("trust", 1), "first", "the first version, by its fingerprint", nil)
	v.accept(v.base("trust", 2), "rotated", "a root key and a release key are replaced, signed by two roots of both versions", nil)
	line := bytes.SplitAfter(v.sign(one.Text(), a), []byte("\n\n"))[1]
	more := append(bytes.Replace(one.Note(), line, changedSignature(line), 1), line...)
	v.trustCase("wrong-line-first", "a wrong line of a root key stands before its good one: it does not count, and hides nothing", "accept", "", more)

	stray := one.Note()
	stray[len(stray)-3]++ // the last letter before "=\n": its two lowest bits stand for nothing
	v.trustCase("line-stray-bits", "a signature's base64 has bits set behind its last byte, which signed notes may have", "accept", "", stray)
	v.trustCase("fingerprint", "the fingerprint is another version's", "refuse", fmt.Sprintf("%x", two.Digest()), one.Note())
	v.trustCase("threshold", "one of the two signatures that it takes", "refuse", "", v.sign(one.Text(), a))
	v.trustCase("one-root-twice", "two signature lines of one root key count once", "refuse", "", append(v.sign(one.Text(), a), line...))
	v.trustCase("stranger", "signed by a key that is no root of it", "refuse", "", v.sign(one.Text(), a, d))
	v.trustCase("flip", "one bit of a signature is another", "refuse", "", changedSignature(one.Note()))
	v.trustCase("line-malformed", "a signature line is none: the note is no signed note", "refuse", "", append(one.Note(), "— root.c !\n"...))
	v.trustCase("line-padding", "a stranger's line has padding behind whole base64: the note is no signed note", "refuse", "", append(bytes.Clone(one.Note()), "— root.c AAAAAAAA=\n"...))
	lineB := bytes.SplitAfter(v.sign(one.Text(), b), []byte("\n\n"))[1]
	hidden := slices.Concat([]byte(one.Text()+"\n"), changedSignature(line), changedSignature(lineB), line, lineB, []byte("no line\n"))
	v.trustCase("line-malformed-behind-wrong", "a line that is none, behind wrong ones of all keys that count", "refuse", "", hidden)
	v.trustCase("lines-101", "100 signature lines are the most", "refuse", "", append(bytes.Clone(one.Note()), bytes.Repeat([]byte("— x AAAAAAAA\n"), 99)...))
	v.trustCase("lines-100", "100 signature lines, as many as there may be", "accept", "", append(bytes.Clone(one.Note()), bytes.Repeat([]byte("— x AAAAAAAA\n"), 98)...))
	for _, s := range []struct{ number, verdict string }{{"9007199254740991", "accept"}, {"9007199254740992", "refuse"}} {
		text := swapText(v, one.Text(), "version 1\n", "version "+s.number+"\n")
		v.trustCase("version-"+s.number, "2^53-1 is the highest number", s.verdict, fmt.Sprintf("%x", sum([]byte(text))), v.sign(text, a, b))
	}
	v.trustCase("no-signatures", "a text without signatures", "refuse", "", []byte(one.Text()))

	next := func(name, why string, msg []byte) {
		v.t.Helper()
		v.trustCase(name, why, "refuse", "", one.Note(), msg)
	}
	next("old-roots-only", "version 2 without enough of its own roots", v.sign(two.Text(), a, c))
	next("new-roots-only", "version 2 without enough roots of version 1", v.sign(two.Text(), b, d))
	next("flip-in-text", "a bit of a signed text is another", swap(v.t, two.Note(), "expires 2027", "expires 2028"))
	next("same-version", "a version cannot follow itself", one.Note())
	next("skipped-version", "a version is missing", v.sign(swapText(v, two.Text(), "version 2", "version 3"), a, b))
	for _, s := range []struct{ name, why, old, new string }{
		{"header", "another first line", "policylist/trust/v1", "policylist/trust/v2"},
		{"version-zero-first", "a leading zero", "version 2", "version 02"},
		{"version-0", "versions begin with 1", "version 2", "version 0"},
		{"expires-offset", "a time with an offset", "Z\norigin", "+00:00\norigin"},
		{"two-spaces", "single spaces", "root 2", "root  2"},
		{"carriage-return", "line ends are a newline alone", "root 2\n", "root 2\r\n"},
		{"comment", "there are no comments", "origin ", "# nothing\norigin "},
		{"root-threshold-0", "a threshold of 0", "root 2", "root 0"},
		{"root-threshold-4", "a threshold above the number of keys", "root 2", "root 4"},
		{"release-threshold-3", "a threshold above the number of keys", "release 2", "release 3"},
		{"log-named-otherwise", "the log key is named otherwise than the origin", "origin vectors.example/list", "origin vectors.example/other"},
		{"root-key-hash", "the key hash of a vkey does not fit", "root.b+", "root.x+"},
		{"root-of-a-witness", "a root key of the type of witness keys", a.vkey(1), a.vkey(4)},
		{"key-twice", "a root key is a witness's, too", newTestKey("w0.example").vkey(4), a.vkey(4)},
		{"quorum-unknown", "the quorum is not defined", "quorum g", "quorum h"},
		{"quorum-missing", "there is no quorum line", "quorum g\n", ""},
		{"group-threshold-4", "a group's threshold above its members", "group g 2", "group g 4"},
		{"group-member-twice", "a member twice", "w0 w1 w2", "w0 w1 w1"},
		{"group-member-unknown", "a member that is not defined above", "w0 w1 w2", "w0 w1 w3"},
		{"witness-none", "none is what a quorum of nobody is called", "witness w1 ", "witness none "},
		{"group-of-witness", "a group has a witness's name", "group g 2", "group w0 2"},
		{"witness-twice", "a name twice", "witness w1 ", "witness w0 "},
		{"order", "the quorum before the groups", "group g 2 w0 w1 w2\nquorum g", "quorum g\ngroup g 2 w0 w1 w2"},
	} {
		next(s.name, s.why, v.sign(swapText(v, two.Text(), s.old, s.new), a, b, d))
	}
	p384 := `MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f`
	next("release-key-p384", "a release key on another curve", v.sign(swapText(v, two.Text(), v.keys.releases[0].String(), p384), a, b, d))
	next("release-key-bits", "a release key in a bit string that counts its last bits as unused: one key must not have two digests",
		v.sign(swapText(v, two.Text(), v.keys.releases[0].String(), shiftedKey(v.keys.releases[0])), a, b, d))
	next("text-behind-empty-line", "the signed text goes on behind an empty line", v.sign(two.Text()+"\nmore\n", a, b, d))
	next("text-behind-quorum", "something follows the quorum", v.sign(two.Text()+"more x\n", a, b, d))
}

func (v *vectorWorld) fingerprintText() string { return fmt.Sprintf("%x", v.fingerprint()) }

func swapText(v *vectorWorld, text, old, new string) string {
	v.t.Helper()
	return string(swap(v.t, []byte(text), old, new))
}

// shiftedKey is a P-256 key's SubjectPublicKeyInfo with one bit less in its bit string, which the point's first byte does not need.
func shiftedKey(k testReleaseKey) string {
	der := k.SPKI()
	point := der[len(der)-65:]
	der[len(der)-66] = 1 // unused bits
	new(big.Int).Lsh(new(big.Int).SetBytes(point), 1).FillBytes(point)
	return base64.StdEncoding.EncodeToString(der)
}

// trustCase is a chain whose last version is stored under the case's name.
func (v *vectorWorld) trustCase(name, why, verdict, fingerprint string, versions ...[]byte) {
	v.t.Helper()
	c := vector{Name: name, Kind: "trust", Why: why, Verdict: verdict, Fingerprint: fingerprint}
	for _, msg := range versions {
		c.Trust = append(c.Trust, v.book.file("trust/"+name, msg))
	}
	v.settle(c)
}

// changedSignature turns one bit over in the last signature line.
func changedSignature(msg []byte) []byte {
	end := len(msg) - 20
	out := bytes.Clone(msg)
	if out[end]++; out[end] == '{' || out[end] == '[' || out[end] == ':' {
		out[end] -= 2
	}
	return out
}

// noteText is a checkpoint's text.
func noteText(msg []byte) string {
	text, _, _ := strings.Cut(string(msg), "\n\n")
	return text + "\n"
}

func (v *vectorWorld) makeCheckpoints() {
	c := v.base("checkpoint", 2)
	at := v.now
	note := v.checkpoint(at)
	plain := v.sign(noteText(note), v.keys.log)
	w0, w1, w2 := v.keys.witnesses[0], v.keys.witnesses[1], v.keys.witnesses[2]
	v.accept(c, "three-witnesses", "the log and all three witnesses signed", note)
	v.accept(c, "two-witnesses", "two of three are the quorum", w2.cosign(w0.cosign(plain, at), at))
	v.accept(c, "quorum-time", "witnesses signed at three times: the second latest is the quorum time", w0.cosign(w1.cosign(w2.cosign(plain, at.Add(-time.Hour)), at.Add(time.Minute)), at.Add(2*time.Hour)))
	v.accept(c, "quorum-time-of-two", "of two witnesses, who are the quorum, the earlier time counts", w0.cosign(w1.cosign(plain, at), at.Add(2*time.Hour)))
	stranger := newTestKey("stranger.example")
	v.accept(c, "stranger-too", "lines of strangers change nothing", stranger.cosign(note, at))
	impostor := newTestKey("impostor")
	impostor.name = w2.name
	v.accept(c, "impostor-too", "a stranger's line under a witness's name changes nothing", impostor.cosign(w1.cosign(w0.cosign(plain, at), at), at))
	other := w0.cosign([]byte("x\n0\nx\n\n"), at)
	wrong := append(bytes.Clone(plain), bytes.SplitAfter(other, []byte("\n\n"))[1]...)
	v.accept(c, "wrong-line-first", "a wrong line of a witness stands before its good one", w0.cosign(w1.cosign(wrong, at), at))

	v.refuse(c, "one-witness", "one cosignature, where two make the quorum", w0.cosign(plain, at))
	v.refuse(c, "one-witness-twice", "one witness's two cosignatures count once", w0.cosign(w0.cosign(plain, at), at.Add(time.Hour)))
	v.refuse(c, "no-witness", "the log alone", plain)
	v.refuse(c, "impostor", "a stranger's line under a witness's name", impostor.cosign(w0.cosign(plain, at), at))
	v.refuse(c, "other-tree", "a cosignature is about another tree", append(w1.cosign(plain, at), bytes.SplitAfter(other, []byte("\n\n"))[1]...))
	v.refuse(c, "cosigned-as-log", "a witness signed the text without cosignature/v1 and a time", append(w0.cosign(plain, at), bytes.SplitAfter(v.sign(noteText(note), w1), []byte("\n\n"))[1]...))
	v.refuse(c, "cosigned-negative", "a cosignature's time fits 63 bits: this one says 2^63, and signed what that is as a negative number", w1.cosignAs(w0.cosign(plain, at), 1<<63, math.MinInt64))
	v.refuse(c, "cosigned-beyond-63-bits", "a cosignature's time fits 63 bits: this one says 2^63, and signed that", w1.cosignAs(w0.cosign(plain, at), 1<<63, uint64(1<<63)))
	cosigned := func(text string) []byte { return w2.cosign(w1.cosign(w0.cosign(v.sign(text, v.keys.log), at), at), at) }
	text := noteText(note)
	v.refuse(c, "log-key", "another key of the log's name signed", w1.cosign(w0.cosign(v.sign(text, testKey{v.keys.log.name, impostor.priv}), at), at))
	v.refuse(c, "log-missing", "witnesses without the log", w1.cosign(w0.cosign([]byte(text+"\n"), at), at))
	v.refuse(c, "flip", "the size is another than was signed", swap(v.t, note, "\n14\n", "\n13\n"))
	v.refuse(c, "origin", "the origin is another list's", cosigned(strings.Replace(text, vectorOrigin, "vectors.example/other", 1)))
	v.refuse(c, "extension", "an extension line, which nobody could audit", cosigned(text+"more\n"))
	v.refuse(c, "size-zero-first", "a leading zero", cosigned(strings.Replace(text, "\n14\n", "\n014\n", 1)))
	v.refuse(c, "size-sign", "a sign", cosigned(strings.Replace(text, "\n14\n", "\n-14\n", 1)))
	v.refuse(c, "size-2-63", "a size beyond 63 bits", cosigned(strings.Replace(text, "\n14\n", "\n9223372036854775808\n", 1)))
	v.refuse(c, "root-short", "a root of 31 bytes", cosigned(vectorOrigin+"\n14\n"+base64.StdEncoding.EncodeToString(make([]byte, 31))+"\n"))
	v.refuse(c, "root-stray-bits", "base64 with bits set behind its last byte", cosigned(vectorOrigin+"\n14\n"+strings.Repeat("A", 42)+"B=\n"))
	v.refuse(c, "root-missing", "two lines", cosigned(vectorOrigin+"\n14\n"))
	v.refuse(c, "nothing", "no bytes at all", nil)
}

func (v *vectorWorld) makeProofs() {
	c := v.base("proof", 2)
	newest := v.book.files[v.proof[4]]
	v.accept(c, "newest", "release 4, the last entry", newest)
	v.accept(c, "superseded", "release 1, by trust version 1 that another has followed", v.book.files[v.proof[1]])
	index := int64(11)
	path, err := tlog.ProveRecord(int64(len(v.leaves)), index, v.hashes)
	v.must(err)
	old := transparency.Proof{Extra: v.leaves[index], Index: index, Path: path, Checkpoint: v.checkpoint(v.now)}
	v.accept(c, "later-tree", "release 3, proved in the tree of release 4", old.Format())
	one := v.base("proof", 1)
	v.refuse(one, "unknown-trust", "it names a trust version that the reader has not", newest)

	for _, s := range []struct{ name, why, old, new string }{
		{"header", "another first line", "tlog-proof@v1", "tlog-proof@v2"},
		{"extra-missing", "no leaf", "extra " + base64.StdEncoding.EncodeToString(v.leaves[13]) + "\n", ""},
		{"index", "the index is another", "index 13", "index 12"},
		{"index-zero-first", "a leading zero", "index 13", "index 013"},
		{"index-beyond", "an index beyond the tree", "index 13", "index 14"},
		{"order", "the index before the leaf", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\nindex 12\n"},
		{"empty-line-missing", "no empty line before the checkpoint", "=\n\n" + vectorOrigin, "=\n" + vectorOrigin},
	} {
		v.refuse(c, s.name, s.why, swap(v.t, newest, s.old, s.new))
	}
	p, err := transparency.ParseProof(newest)
	v.must(err)
	with := func(edit func(*transparency.Proof)) []byte { q := p; edit(&q); return q.Format() }
	head, _, _ := bytes.Cut(newest, []byte("index "))
	v.refuse(c, "index-missing", "it ends behind the leaf", append(append(bytes.Clone(head), '\n'), p.Checkpoint...))
	v.refuse(c, "flip", "a bit of the leaf is another", with(func(q *transparency.Proof) { q.Extra = flipped(v.t, q.Extra, `"author":"`) }))
	v.refuse(c, "path-flip", "a bit of the path is another", with(func(q *transparency.Proof) {
		q.Path = append([]tlog.Hash{}, q.Path...)
		q.Path[1][0] ^= 1
	}))
	v.refuse(c, "path-short", "a hash of the path is missing", with(func(q *transparency.Proof) { q.Path = q.Path[1:] }))
	v.refuse(c, "path-long", "a hash too many", with(func(q *transparency.Proof) { q.Path = append(q.Path[:len(q.Path):len(q.Path)], tlog.Hash{}) }))
	v.refuse(c, "other-leaf", "the leaf of release 3 with the path of release 4", with(func(q *transparency.Proof) { q.Extra = v.leaves[11] }))
	change, err := tlog.ProveRecord(int64(len(v.leaves)), 0, v.hashes)
	v.must(err)
	v.refuse(c, "change-leaf", "the leaf is no release's", with(func(q *transparency.Proof) { q.Extra, q.Index, q.Path = v.leaves[0], 0, change }))
	v.refuse(c, "witnesses", "its checkpoint has not the quorum", with(func(q *transparency.Proof) { q.Checkpoint = v.sign(noteText(p.Checkpoint), v.keys.log) }))
	v.refuse(c, "nothing", "no bytes at all", nil)
	v.makeReleases(c)
}

// makeReleases are releases that the log and the witnesses signed, and that are wrong all the same.
func (v *vectorWorld) makeReleases(c vector) {
	wrong := func(name, why string, edit func(*world)) {
		v.t.Helper()
		v.refuse(c, name, why, v.wrong(4, edit).objects[PointerPath])
	}
	leaf := func(f func(*ReleaseLeaf)) func(*world) { return func(w *world) { w.edit = f } }
	resign := func(keys ...testReleaseKey) func(*world) {
		return func(w *world) {
			w.resign = func(l *ReleaseLeaf, msg []byte) {
				for _, k := range keys {
					l.Signatures = append(l.Signatures, k.signature(msg))
				}
			}
		}
	}
	ecdsaKey, newKey, gone := v.keys.releases[0], v.keys.releases[1], newReleaseKey(v.t, "release.ed25519")
	wrong("release-threshold", "one release key signed, where two must", resign(ecdsaKey))
	wrong("release-key-twice", "one release key's two signatures count once", resign(newKey, newKey))
	wrong("release-key-stranger", "a key signed that the trust version does not list", resign(ecdsaKey, newReleaseKey(v.t, "stranger")))
	wrong("release-key-retired", "a key signed that trust version 2 has not any more", resign(ecdsaKey, gone))
	wrong("release-origin", "the origin of another list", leaf(func(l *ReleaseLeaf) { l.Origin = "vectors.example/other" }))
	wrong("release-lives-31-days", "it lives longer than 30 days", leaf(func(l *ReleaseLeaf) { l.Expires = l.Timestamp.AddDate(0, 0, 30).Add(time.Second) }))
	wrong("release-lives-6-days", "it lives less than 7 days", leaf(func(l *ReleaseLeaf) { l.Expires = l.Timestamp.AddDate(0, 0, 7).Add(-time.Second) }))
	wrong("release-previous-missing", "only the first has no previous", leaf(func(l *ReleaseLeaf) { l.Previous = nil }))
	wrong("release-number-0", "numbers begin with 1", leaf(func(l *ReleaseLeaf) { l.Release = 0 }))
	wrong("release-range-reversed", "its changes end before they begin", leaf(func(l *ReleaseLeaf) { l.From = l.To + 1 }))
	wrong("release-range-beyond", "its changes end behind its own leaf", leaf(func(l *ReleaseLeaf) { l.To += 2 }))
	wrong("release-after-quorum-time", "it is dated more than an hour after the witnesses saw it", leaf(func(l *ReleaseLeaf) { l.Timestamp = l.Timestamp.Add(time.Hour + time.Second) }))
	wrong("release-after-trust", "it is dated after the end of its trust version", func(w *world) { w.now = w.keys.expires.Add(time.Minute) })
	wrong("release-signed-otherwise", "the message that was signed names another format", func(w *world) {
		w.resign = func(l *ReleaseLeaf, msg []byte) {
			msg = bytes.Replace(msg, []byte("release/v1"), []byte("release/v2"), 1)
			l.Signatures = append(l.Signatures, ecdsaKey.signature(msg), newKey.signature(msg))
		}
	})
	good := v.wrong(4, leaf(func(l *ReleaseLeaf) { l.Timestamp = l.Timestamp.Add(time.Hour) }))
	v.accept(c, "release-hour-after-quorum-time", "an hour after the witnesses saw it is the most", good.objects[PointerPath])
}

// wrong makes release n again, in a world of its own in which edit changes what becomes of it.
func (v *vectorWorld) wrong(n int64, edit func(*world)) *world {
	v.t.Helper()
	w := v.before[n].fork()
	edit(w)
	w.release()
	return w
}
