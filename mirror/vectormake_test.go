package mirror

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// vectorWorld is the small list that the vectors are about: two of three roots, two release keys (one ECDSA, one Ed25519) that
// must both sign, two of three witnesses. After the second release one root and one release key are replaced.
type vectorWorld struct {
	*world
	book  *vectorBook
	lists map[int64]string // file of a release's list
	proof map[int64]string // file of a release's pointer
	trust []string         // files of the trust versions
	// before is the world before the release of that number was made, for those that go wrong.
	before map[int64]*world
}

const vectorOrigin = "vectors.example/list"

// fixedECDSA is a P-256 release key that depends on its name alone; Go signs by RFC 6979 without randomness.
func fixedECDSA(t testing.TB, name string) testReleaseKey {
	t.Helper()
	seed := sha256.Sum256([]byte("key of " + name))
	priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return newECDSAReleaseKey(t, priv)
}

func newVectorWorld(t testing.TB, b *vectorBook) *vectorWorld {
	t.Helper()
	w := newWorld(t, 3)
	w.keys.roots = []testKey{newTestKey("root.a"), newTestKey("root.b"), newTestKey("root.c")}
	w.keys.rootK = 2
	w.keys.releases = []testReleaseKey{fixedECDSA(t, "release.ecdsa"), newReleaseKey(t, "release.ed25519")}
	w.keys.releaseK = 2
	w.keys.log = newTestKey(vectorOrigin)
	first := w.keys.trust(t, 1, w.keys.roots[:2]...)
	var err error
	w.chain, err = transparency.NewTrustChain(first)
	w.must(err)
	w.objects[TrustPath(1)] = first.Note()
	v := &vectorWorld{w, b, map[int64]string{}, map[int64]string{}, nil, map[int64]*world{}}
	v.trust = []string{b.file("trust/1", first.Note())}
	b.file("fingerprint", []byte(v.fingerprintText()))
	v.keep(set("a.example", policy.Enforce, ".mail.a.example", "mx.a.example"), set("b.example", policy.Testing), set("c.example", policy.Testing), set("xn--bcher-kva.example", policy.Testing))
	v.keep(set("b.example", policy.Enforce), del("c.example"), set("d.example", policy.Testing, "mx1.d.example", "mx2.d.example"))
	v.rotate(func(k *keyring) {
		k.roots = append(slices.Clone(k.roots[:2]), newTestKey("root.d"))
		k.releases = append(slices.Clone(k.releases[:1]), newReleaseKey(t, "release.new"))
	})
	v.trust = append(v.trust, b.file("trust/2", w.objects[TrustPath(2)]))
	v.keep(set("e.example", policy.Testing))
	v.addChanges(set("zzz.example", policy.Testing)) // an attempt that was given up: its leaf stays without effect
	v.keep()
	return v
}

// keep makes the next release and stores its files.
func (v *vectorWorld) keep(edits ...policy.Edit) {
	v.t.Helper()
	n := v.number()
	before := v.fork()
	before.pending = slices.Clone(v.pending)
	v.before[n] = before
	r := v.release(edits...)
	v.lists[n], v.proof[n] = v.book.file(fmt.Sprintf("release/%d.json", n), v.bytes(r)), v.book.file(fmt.Sprintf("release/%d.tlog-proof", n), v.pointers[n])
}

func (v *vectorWorld) bytes(r *Release) []byte {
	v.t.Helper()
	data, err := r.List.Bytes(r.Leaf.Header())
	v.must(err)
	return data
}

// entries is the entry bundle of a world's whole, small tree.
func (w *world) entries() []byte {
	w.t.Helper()
	var bundle []byte
	for _, leaf := range w.leaves {
		var err error
		bundle, err = transparency.AppendEntry(bundle, leaf)
		w.must(err)
	}
	return bundle
}

// base is a case that begins with the given number of trust versions.
func (v *vectorWorld) base(kind string, versions int) vector {
	return vector{Kind: kind, Trust: v.trust[:versions]}
}

// refuse stores data as a file of its own that a reader has to refuse.
func (v *vectorWorld) refuse(c vector, name, why string, data []byte) {
	v.t.Helper()
	c.Name, c.Why, c.Verdict = name, why, "refuse"
	c.File = v.book.file(c.Kind+"/"+name, data)
	v.book.add(c)
}

// accept stores data and what the code finds in it, which TestVectors compares again, and a second reader by its own means.
func (v *vectorWorld) accept(c vector, name, why string, data []byte) {
	v.t.Helper()
	c.Name, c.Why, c.Verdict = name, why, "accept"
	if data != nil {
		c.File = v.book.file(c.Kind+"/"+name, data)
	}
	v.settle(c)
}

// settle adds a case whose files stand, with its result.
func (v *vectorWorld) settle(c vector) {
	v.t.Helper()
	got, err := judgeVector(v.t, c, func(name string) []byte { return v.book.files[name] })
	if (err == nil) != (c.Verdict == "accept") {
		v.t.Fatalf("%s/%s (%s): %v", c.Kind, c.Name, c.Why, err)
	}
	if err == nil {
		c.Result = got
	}
	v.book.add(c)
}

// makeVectors makes all cases of log.json.
func makeVectors(t testing.TB) *vectorBook {
	t.Helper()
	b := newVectorBook(t)
	v := newVectorWorld(t, b)
	v.makeLists()
	v.makeLeaves()
	v.makeTrust()
	v.makeCheckpoints()
	v.makeProofs()
	v.makeBundles()
	v.makeClients()
	return b
}

// flipped is data with one bit of the byte behind the first occurrence of after turned over.
func flipped(t testing.TB, data []byte, after string) []byte {
	t.Helper()
	return changed(t, data, after, func(c byte) byte { return c ^ 1 })
}

func changed(t testing.TB, data []byte, after string, f func(byte) byte) []byte {
	t.Helper()
	i := strings.Index(string(data), after)
	if i < 0 {
		t.Fatalf("no %q", after)
	}
	out := slices.Clone(data)
	out[i+len(after)] = f(out[i+len(after)])
	return out
}

// swap replaces the first occurrence of old, which must be there.
func swap(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	if !strings.Contains(string(data), old) {
		t.Fatalf("no %q in %s", old, data)
	}
	return []byte(strings.Replace(string(data), old, new, 1))
}

// bundleOf is a cosign bundle over message.
func bundleOf(k testReleaseKey, message []byte) []byte {
	id, digest := k.ID(), sum(message)
	text := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	return fmt.Appendf(nil, `{"mediaType":"%s","verificationMaterial":{"publicKey":{"hint":"%s"}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"%s"},"signature":"%s"}}`+"\n",
		bundleMediaType, text(id[:]), text(digest[:]), text(k.sign(message)))
}

func (v *vectorWorld) makeBundles() {
	list := v.book.files[v.lists[2]]
	c := v.base("bundle", 1)
	c.List = v.lists[2]
	good := bundleOf(v.keys.releases[0], list)
	v.accept(c, "ecdsa", "a release key of P-256 signed the list", good)
	v.accept(c, "ed25519", "a release key of Ed25519 signed the list", bundleOf(newReleaseKey(v.t, "release.ed25519"), list))
	v.refuse(c, "flip", "one bit of the signature is another", flipped(v.t, good, `"signature":"MEQ`[:14]))
	v.refuse(c, "older-list", "it is about the list of release 1", bundleOf(v.keys.releases[0], v.book.files[v.lists[1]]))
	v.refuse(c, "wrong-key", "a key signed that the trust version does not list", bundleOf(fixedECDSA(v.t, "stranger"), list))
	v.refuse(c, "other-algorithm", "the digest claims another algorithm", swap(v.t, good, "SHA2_256", "SHA2_512"))
	v.refuse(c, "other-media-type", "the media type is that of another version", swap(v.t, good, "v0.3+json", "v0.2+json"))
	v.refuse(c, "with-certificate", "there is more in it: a certificate, whose owner would be believed by others", swap(v.t, good, `"publicKey":`, `"certificate":{"rawBytes":"AAAA"},"publicKey":`))
	v.refuse(c, "goes-on", "something follows the bundle", append(slices.Clone(good), good...))
	v.refuse(c, "capital-member", "a member in other spelling", swap(v.t, good, `"hint"`, `"Hint"`))
	v.refuse(c, "member-twice", "a member twice", swap(v.t, good, `"signature":`, `"signature":"AAAA","signature":`))
	var indented bytes.Buffer
	v.must(json.Indent(&indented, good, "", "  "))
	v.accept(c, "indented", "white space is free", indented.Bytes())
	hint := v.keys.releases[0].ID()
	other := newReleaseKey(v.t, "release.ed25519").ID()
	v.refuse(c, "other-hint", "the hint names a key that did not sign", swap(v.t, good, base64.StdEncoding.EncodeToString(hint[:]), base64.StdEncoding.EncodeToString(other[:])))
	c.Trust = v.trust[:2]
	v.refuse(c, "retired-key", "release.ed25519 is not in trust version 2 any more", bundleOf(newReleaseKey(v.t, "release.ed25519"), list[:]))
}

// later is a time in the form of the vectors.
func later(at time.Time, d time.Duration) string { return stampText(at.Add(d)) }
