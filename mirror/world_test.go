package mirror

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/policytest"
	"github.com/starttls-everywhere/policylist/transparency"
)

const testOrigin = "policylist.example/test"

// worldStart is when a world's clock begins.
var worldStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// world is an operator in memory: keys, a log, releases, and the objects of a mirror that has everything. Its clock
// moves only when it is told to. The same calls make the same bytes.
type world struct {
	t     testing.TB
	now   time.Time
	keys  keyring
	chain *transparency.TrustChain

	leaves  [][]byte
	hashes  storedHashes // of leaves, as tlog lays them out
	shown   int64        // tree size of the last published checkpoint
	pending []TrustLeaf  // trust versions that the next release logs

	last     *Release // newest valid release, nil if none
	objects  map[string][]byte
	pointers map[int64][]byte // every release's pointer, by release number

	zstd     *zstd.Encoder
	interval time.Duration              // between releases
	edit     func(*ReleaseLeaf)         // alters a release leaf before it is signed
	resign   func(*ReleaseLeaf, []byte) // replaces the signing of a release leaf's message
}

type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = s[x]
	}
	return out, nil
}

// newWorld has one root, one release key, one log key and as many witnesses as asked for.
func newWorld(t testing.TB, witnesses int) *world {
	t.Helper()
	w := &world{t: t, now: worldStart, objects: map[string][]byte{}, pointers: map[int64][]byte{}, interval: time.Hour}
	w.keys = keyring{
		roots: []testKey{newTestKey("root.a")}, rootK: 1,
		releases: []testReleaseKey{newReleaseKey(t, "release.a")}, releaseK: 1,
		log: newTestKey(testOrigin), expires: worldStart.AddDate(1, 0, 0),
	}
	for i := range witnesses {
		w.keys.witnesses = append(w.keys.witnesses, newTestKey(fmt.Sprintf("w%d.example", i)))
	}
	var err error
	w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<16))
	w.must(err)
	first := w.keys.trust(t, 1, w.keys.roots...)
	if w.chain, err = transparency.NewTrustChain(first); err != nil {
		t.Fatal(err)
	}
	w.objects[TrustPath(1)] = first.Note()
	return w
}

// fork copies the world: what happens in one does not happen in the other.
func (w *world) fork() *world {
	c := *w
	c.leaves, c.hashes = slices.Clone(w.leaves), slices.Clone(w.hashes)
	c.objects, c.pointers = maps.Clone(w.objects), maps.Clone(w.pointers)
	chain, err := transparency.NewTrustChain(w.chain.Versions()[0])
	w.must(err)
	for _, v := range w.chain.Versions()[1:] {
		w.must(chain.Extend(v))
	}
	c.chain = chain
	return &c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// rotate publishes the next trust version, signed by the old and the new roots; the next release logs it.
func (w *world) rotate(change func(*keyring)) {
	w.t.Helper()
	old := w.keys.roots
	change(&w.keys)
	var signers []testKey
	for _, k := range append(slices.Clone(old), w.keys.roots...) {
		if !slices.ContainsFunc(signers, func(s testKey) bool { return s.name == k.name }) {
			signers = append(signers, k)
		}
	}
	next := w.keys.trust(w.t, w.chain.Newest().Version+1, signers...)
	w.must(w.chain.Extend(next))
	w.objects[TrustPath(next.Version)] = next.Note()
	w.pending = append(w.pending, TrustLeaf{next.Digest(), next.Version})
}

// newLog moves to a new, empty log of another origin.
func (w *world) newLog(origin string) {
	w.t.Helper()
	w.rotate(func(k *keyring) { k.log = newTestKey(origin) })
	w.leaves, w.hashes, w.shown = nil, nil, 0
	for p := range w.objects {
		if _, err := transparency.ParseTilePath(p); err == nil {
			delete(w.objects, p)
		}
	}
}

// add appends one leaf to the log, published or not, and returns its index.
func (w *world) add(leaf []byte) int64 {
	w.t.Helper()
	index := int64(len(w.leaves))
	hashes, err := tlog.StoredHashes(index, leaf, w.hashes)
	w.must(err)
	w.leaves, w.hashes = append(w.leaves, leaf), append(w.hashes, hashes...)
	return index
}

func (w *world) number() int64 {
	if w.last == nil {
		return 1
	}
	return w.last.Leaf.Release + 1
}

// addChanges appends the change leaves of the next release, sorted, and returns their range.
func (w *world) addChanges(edits ...policy.Edit) (from, to int64) {
	w.t.Helper()
	slices.SortFunc(edits, func(a, b policy.Edit) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	from = int64(len(w.leaves))
	for _, e := range edits {
		reason := "add.owner"
		if e.Policy == nil {
			reason = "remove.owner"
		}
		w.add(ChangeLeaf{e.Domain, e.Policy, reason, w.number()}.Append(nil))
	}
	return from, int64(len(w.leaves))
}

// release logs and publishes the next release with the given changes. interval passes before.
func (w *world) release(edits ...policy.Edit) *Release {
	w.t.Helper()
	w.now = w.now.Add(w.interval)
	from, to := w.addChanges(edits...)
	for _, t := range w.pending {
		w.add(t.Append(nil))
	}
	w.pending = nil
	return w.close(from, to, edits...)
}

// close logs and publishes the release leaf that claims [from, to).
func (w *world) close(from, to int64, edits ...policy.Edit) *Release {
	w.t.Helper()
	var before policy.List
	if w.last != nil {
		before = w.last.List
	}
	list, err := before.Apply(edits)
	w.must(err)
	leaf := w.releaseLeaf(from, to, list)
	if w.edit != nil {
		w.edit(leaf)
	}
	data, err := list.Bytes(leaf.Header())
	w.must(err)
	raw := w.sign(leaf)
	r := &Release{Leaf: leaf, Raw: raw, Index: w.add(raw), List: list}
	w.objects[BlobPath(sum(data))] = w.zstd.EncodeAll(data, nil)
	w.publish(leaf.Release, w.now)
	w.last = r
	return r
}

func (w *world) releaseLeaf(from, to int64, list policy.List) *ReleaseLeaf {
	w.t.Helper()
	leaf := &ReleaseLeaf{
		Author: "Test List <list@policylist.example>", From: from, To: to, Count: int64(list.Len()),
		Expires: w.now.Add(14 * 24 * time.Hour), Origin: w.keys.log.name, Release: w.number(),
		Source: "git:0000000000000000000000000000000000000000", Timestamp: w.now, Trust: w.chain.Newest().Version,
	}
	if w.last != nil {
		digest := w.last.Digest()
		leaf.Previous = &digest
	}
	size, digest, err := list.Write(discard{}, leaf.Header())
	w.must(err)
	leaf.ListSize, leaf.ListDigest = size, digest
	return leaf
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// sign signs the leaf with the threshold of release keys and returns its bytes.
func (w *world) sign(leaf *ReleaseLeaf) []byte {
	w.t.Helper()
	msg, err := leaf.Message()
	w.must(err)
	leaf.Signatures = nil
	if w.resign != nil {
		w.resign(leaf, msg)
	} else {
		for _, k := range w.keys.releases[:w.keys.releaseK] {
			leaf.Signatures = append(leaf.Signatures, k.signature(msg))
		}
	}
	raw, err := leaf.Bytes()
	w.must(err)
	return raw
}

// publish uploads everything that a mirror needs for the present tree, whose last leaf is the release's, cosigned at
// the given time.
func (w *world) publish(release int64, cosigned time.Time) {
	w.t.Helper()
	size := int64(len(w.leaves))
	for _, p := range TilePaths(w.shown, size) {
		t, err := transparency.ParseTilePath(p)
		w.must(err)
		if t.L >= 0 {
			w.objects[p], err = tlog.ReadTileData(t, w.hashes)
			w.must(err)
			continue
		}
		var bundle []byte
		for _, leaf := range w.leaves[t.N*transparency.TileWidth:][:t.W] {
			bundle, err = transparency.AppendEntry(bundle, leaf)
			w.must(err)
		}
		w.objects[p] = bundle
	}
	w.shown = size
	w.objects[CheckpointPath] = w.checkpoint(cosigned)
	w.objects[PointerPath] = w.pointer(size-1, w.leaves[size-1], cosigned)
	w.objects[ReleasePath(release)] = w.objects[PointerPath]
	w.pointers[release] = w.objects[PointerPath]
}

// checkpoint signs the present tree, by all witnesses at the given time.
func (w *world) checkpoint(cosigned time.Time) []byte {
	w.t.Helper()
	size := int64(len(w.leaves))
	root, err := tlog.TreeHash(size, w.hashes)
	w.must(err)
	return w.signTree(tlog.Tree{N: size, Hash: root}, cosigned)
}

func (w *world) signTree(tree tlog.Tree, cosigned time.Time) []byte {
	w.t.Helper()
	msg, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: w.keys.log.name, Tree: tree}, w.keys.log.signer(w.t))
	w.must(err)
	for _, witness := range w.keys.witnesses {
		msg = witness.cosign(msg, cosigned)
	}
	return msg
}

// pointer is the proof of the leaf at index in the present tree.
func (w *world) pointer(index int64, leaf []byte, cosigned time.Time) []byte {
	w.t.Helper()
	path, err := tlog.ProveRecord(int64(len(w.leaves)), index, w.hashes)
	w.must(err)
	return transparency.Proof{Extra: leaf, Index: index, Path: path, Checkpoint: w.checkpoint(cosigned)}.Format()
}

func (w *world) fingerprint() [32]byte {
	return sha256.Sum256([]byte(w.chain.Versions()[0].Text()))
}

// set and del are edits, as short as a story needs.
var set, del = policytest.Set, policytest.Del

// many sets d000.example and so on in testing mode.
func many(n int, mode policy.Mode) []policy.Edit {
	var edits []policy.Edit
	for i := range n {
		edits = append(edits, set(fmt.Sprintf("d%03d.example", i), mode))
	}
	return edits
}
