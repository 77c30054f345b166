package site

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/policytest"
	"github.com/starttls-everywhere/policylist/transparency"
)

const origin = "list.operator.example/2026"

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is a mirror, or a folder for a site, in memory. It counts what is read and written.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	got     map[string]int
	put     map[string]int
	deleted []string
	fail    string // a path whose reading or writing fails
}

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, got: map[string]int{}, put: map[string]int{}}
}

func (m *memory) Get(_ context.Context, path string, limit int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got[path]++
	data, ok := m.objects[path]
	switch {
	case path == m.fail:
		return nil, fmt.Errorf("%s: connection reset", path)
	case !ok:
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case int64(len(data)) > limit:
		return nil, mirror.ErrTooLarge
	}
	return data, nil
}

func (m *memory) Put(_ context.Context, o mirror.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := mirror.CheckPath(o.Path); err != nil {
		return err
	}
	if o.Path == m.fail {
		return fmt.Errorf("%s: disk full", o.Path)
	}
	m.put[o.Path]++
	m.objects[o.Path] = bytes.Clone(o.Data)
	return nil
}

func (m *memory) Delete(_ context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted = append(m.deleted, path)
	delete(m.objects, path)
	return nil
}

func (m *memory) paths() iter.Seq[string] { return slices.Values(slices.Sorted(maps.Keys(m.objects))) }

// signer is an Ed25519 key that depends on its name alone.
type signer struct {
	name string
	key  ed25519.PrivateKey
}

func newSigner(name string) signer {
	seed := sha256.Sum256([]byte(name))
	return signer{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (s signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

func (s signer) hash(alg byte) []byte {
	sum := sha256.Sum256(append([]byte(s.name+"\n"), append([]byte{alg}, s.public()...)...))
	return sum[:4]
}

func (s signer) vkey(alg byte) string {
	return fmt.Sprintf("%s+%x+%s", s.name, s.hash(alg), base64.StdEncoding.EncodeToString(append([]byte{alg}, s.public()...)))
}

func (s signer) note(t testing.TB) note.Signer {
	skey := base64.StdEncoding.EncodeToString(append([]byte{1}, s.key.Seed()...))
	n, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", s.name, s.hash(1), skey))
	must(t, err)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operator makes releases, an hour apart, on a mirror in memory. The same calls make the same bytes.
type operator struct {
	t       testing.TB
	now     time.Time
	mirror  *memory
	record  record // of what was logged; its leaves and its hashes
	shown   int64
	trust   []*transparency.Trust
	last    *mirror.Release
	pending []mirror.TrustLeaf

	root, release, log, witness signer

	evidence string // of the releases to come
	cosign   bool

	unwitnessed bool // of the trust versions to come
}

func newOperator(t testing.TB) *operator {
	t.Helper()
	o := &operator{t: t, now: began, mirror: newMemory(), cosign: true,
		root: newSigner("root"), release: newSigner("release"), log: newSigner(origin), witness: newSigner("witness.example")}
	o.rotate()
	o.pending = nil // the first version is in no log
	return o
}

// rotate makes the next trust version, with the same keys.
func (o *operator) rotate() {
	o.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(o.release.public())
	must(o.t, err)
	key, err := transparency.ParseReleaseKey(spki)
	must(o.t, err)
	policy := fmt.Sprintf("witness w1 %s\nquorum w1\n", o.witness.vkey(4))
	if o.unwitnessed {
		policy = "quorum none\n"
	}
	witnesses, err := transparency.ParseWitnessPolicy(policy)
	must(o.t, err)
	version := int64(len(o.trust) + 1)
	next, err := transparency.NewTrust(version, began.AddDate(2, 0, int(version)), 1, []string{o.root.vkey(1)}, 1, []transparency.ReleaseKey{key}, o.log.vkey(1), witnesses)
	must(o.t, err)
	msg, err := next.Sign(o.root.note(o.t))
	must(o.t, err)
	next, err = transparency.ParseTrust(msg)
	must(o.t, err)
	o.trust = append(o.trust, next)
	o.mirror.objects[mirror.TrustPath(version)] = msg
	o.pending = append(o.pending, mirror.TrustLeaf{Digest: next.Digest(), Version: version})
}

func (o *operator) chain() *transparency.TrustChain {
	o.t.Helper()
	c, err := transparency.NewTrustChain(o.trust[0])
	must(o.t, err)
	return c
}

func (o *operator) add(entry []byte) {
	o.t.Helper()
	_, err := o.record.add(entry)
	must(o.t, err)
}

// publish makes the next release.
func (o *operator) publish(edits ...policy.Edit) {
	o.t.Helper()
	o.now = o.now.Add(time.Hour)
	number, list := int64(1), policy.List{}
	leaf := &mirror.ReleaseLeaf{Author: "Test", Expires: o.now.AddDate(0, 0, 14), Origin: origin, Release: number,
		Source: "git:" + strings.Repeat("c", 40), Timestamp: o.now, Trust: int64(len(o.trust))}
	if o.last != nil {
		digest := o.last.Digest()
		leaf.Release, leaf.Previous, list = o.last.Leaf.Release+1, &digest, o.last.List
	}
	slices.SortFunc(edits, func(a, b policy.Edit) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	leaf.From = int64(len(o.record.entries))
	for _, e := range edits {
		reason := "add.owner"
		if e.Policy == nil {
			reason = "remove.owner"
		}
		o.add(mirror.ChangeLeaf{Domain: e.Domain, Policy: e.Policy, Reason: reason, Release: leaf.Release}.Append(nil))
	}
	leaf.To = int64(len(o.record.entries))
	for _, t := range o.pending {
		o.add(t.Append(nil))
	}
	o.pending = nil
	list, err := list.Apply(edits)
	must(o.t, err)
	leaf.Count = int64(list.Len())
	leaf.ListSize, leaf.ListDigest, err = list.Write(io.Discard, leaf.Header())
	must(o.t, err)
	if o.evidence != "" {
		digest := sha256.Sum256([]byte(o.evidence))
		leaf.Evidence = &digest
		z, err := zstd.NewWriter(nil)
		must(o.t, err)
		o.mirror.objects[mirror.EvidencePath(digest)] = z.EncodeAll([]byte(o.evidence), nil)
	}
	msg, err := leaf.Message()
	must(o.t, err)
	spki, err := x509.MarshalPKIXPublicKey(o.release.public())
	must(o.t, err)
	leaf.Signatures = []transparency.KeySignature{{Key: sha256.Sum256(spki), Signature: ed25519.Sign(o.release.key, msg)}}
	raw, err := leaf.Bytes()
	must(o.t, err)
	o.last = &mirror.Release{Leaf: leaf, Raw: raw, Index: int64(len(o.record.entries)), List: list}
	o.add(raw)
	o.upload()
}

// upload puts the tiles, the checkpoint and the proofs of the present tree on the mirror.
func (o *operator) upload() {
	o.t.Helper()
	size := int64(len(o.record.entries))
	for _, p := range mirror.TilePaths(o.shown, size) {
		t, err := transparency.ParseTilePath(p)
		must(o.t, err)
		var data []byte
		if t.L >= 0 {
			data, err = tlog.ReadTileData(t, o.record.hashes)
		} else {
			for _, e := range o.record.entries[t.N*transparency.TileWidth:][:t.W] {
				if data, err = transparency.AppendEntry(data, e); err != nil {
					break
				}
			}
		}
		must(o.t, err)
		o.mirror.objects[p] = data
	}
	o.shown = size
	root, err := o.record.hashes.root(size)
	must(o.t, err)
	msg, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}, o.log.note(o.t))
	must(o.t, err)
	if o.cosign {
		msg = o.cosigned(msg)
	}
	path, err := tlog.ProveRecord(size, size-1, o.record.hashes)
	must(o.t, err)
	proof := transparency.Proof{Extra: o.last.Raw, Index: size - 1, Path: path, Checkpoint: msg}.Format()
	o.mirror.objects[mirror.CheckpointPath] = msg
	o.mirror.objects[mirror.PointerPath] = proof
	o.mirror.objects[mirror.ReleasePath(o.last.Leaf.Release)] = proof
}

// cosigned adds the witness's line (C2SP tlog-cosignature/v1).
func (o *operator) cosigned(msg []byte) []byte {
	text, _, _ := strings.Cut(string(msg), "\n\n")
	at := uint64(o.now.Unix())
	sig := ed25519.Sign(o.witness.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, text))
	line := append(binary.BigEndian.AppendUint64(o.witness.hash(4), at), sig...)
	return fmt.Appendf(msg, "— %s %s\n", o.witness.name, base64.StdEncoding.EncodeToString(line))
}

func (o *operator) read(extra Extra) *Model {
	o.t.Helper()
	m, err := Read(o.t.Context(), o.mirror, o.chain(), extra)
	must(o.t, err)
	return m
}

// set and del are edits, as short as a story needs.
var set, del = policytest.Set, policytest.Del

// many are n domains in testing mode.
func many(n int) []policy.Edit {
	edits := make([]policy.Edit, n)
	for i := range edits {
		edits[i] = set(fmt.Sprintf("d%06d.example", i), policy.Testing)
	}
	return edits
}
