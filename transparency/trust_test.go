package transparency_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

const origin = "policylist.example/test"

var expires = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// noteKey is an Ed25519 note key for roots and logs.
type noteKey struct {
	vkey   string
	signer note.Signer
}

func newNoteKey(t testing.TB, name string) noteKey {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return noteKey{vkey, s}
}

// witnessKey cosigns checkpoints as C2SP tlog-cosignature/v1 says, written here a second time on purpose.
type witnessKey struct {
	name string
	key  ed25519.PrivateKey
}

func newWitness(t testing.TB, name string) witnessKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return witnessKey{name, key}
}

func (w witnessKey) typed() []byte {
	return append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
}

func (w witnessKey) hash() []byte {
	sum := sha256.Sum256(append([]byte(w.name+"\n"), w.typed()...))
	return sum[:4]
}

func (w witnessKey) vkey() string {
	return fmt.Sprintf("%s+%x+%s", w.name, w.hash(), base64.StdEncoding.EncodeToString(w.typed()))
}

func (w witnessKey) cosign(checkpoint []byte, at time.Time) []byte {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	sig := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))
	line := append(w.hash(), binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))...)
	return fmt.Appendf(checkpoint, "— %s %s\n", w.name, base64.StdEncoding.EncodeToString(append(line, sig...)))
}

func releaseKey(t testing.TB) (transparency.ReleaseKey, *ecdsa.PrivateKey) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	k, err := transparency.ParseReleaseKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k, priv
}

func newTrust(t testing.TB, version int64, rootK int, roots []noteKey, log noteKey, witnesses string) *transparency.Trust {
	t.Helper()
	k, _ := releaseKey(t)
	w, err := transparency.ParseWitnessPolicy(witnesses)
	if err != nil {
		t.Fatal(err)
	}
	vkeys := make([]string, len(roots))
	for i, r := range roots {
		vkeys[i] = r.vkey
	}
	tr, err := transparency.NewTrust(version, expires, rootK, vkeys, 1, []transparency.ReleaseKey{k}, log.vkey, w)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// sign signs with keys and reads the note back, as everybody but the operator does.
func sign(t testing.TB, tr *transparency.Trust, keys ...noteKey) *transparency.Trust {
	t.Helper()
	signers := make([]note.Signer, len(keys))
	for i, k := range keys {
		signers[i] = k.signer
	}
	msg, err := tr.Sign(signers...)
	if err != nil {
		t.Fatal(err)
	}
	back, err := transparency.ParseTrust(msg)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestRotationNeedsBothThresholds(t *testing.T) {
	log, a, b, c := newNoteKey(t, origin), newNoteKey(t, "root.a"), newNoteKey(t, "root.b"), newNoteKey(t, "root.c")
	v1 := sign(t, newTrust(t, 1, 2, []noteKey{a, b}, log, "quorum none\n"), a, b)
	if err := v1.VerifySelf(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		version int64
		signers []noteKey
		good    bool
	}{
		"old and new":           {2, []noteKey{a, b, c}, true},
		"old without new":       {2, []noteKey{a, b}, false},
		"new without old":       {2, []noteKey{b, c}, false},
		"one key twice":         {2, []noteKey{a, a, c}, false},
		"a version left out":    {3, []noteKey{a, b, c}, false},
		"the same version":      {1, []noteKey{a, b, c}, false},
		"nobody of the version": {2, []noteKey{c}, false},
	} {
		next := sign(t, newTrust(t, tt.version, 2, []noteKey{b, c}, log, "quorum none\n"), tt.signers...)
		if err := v1.VerifyNext(next); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		} else if err != nil && !errors.Is(err, transparency.ErrTrust) {
			t.Errorf("%s: %v does not wrap ErrTrust", name, err)
		}
	}
}

func TestTrustTextHasOneForm(t *testing.T) {
	log, a, b := newNoteKey(t, origin), newNoteKey(t, "root.a"), newNoteKey(t, "root.b")
	w := newWitness(t, "w.example")
	policy := "witness w1 " + w.vkey() + " https://w.example/\ngroup g any w1\nquorum g\n"
	good := sign(t, newTrust(t, 1, 1, []noteKey{a, b}, log, policy), a)
	msg := string(good.Note())
	for name, edit := range map[string][2]string{
		"header":               {"policylist/trust/v1", "policylist/trust/v2"},
		"version zero":         {"version 1", "version 0"},
		"leading zero":         {"version 1", "version 01"},
		"time with offset":     {"T00:00:00Z", "T00:00:00+00:00"},
		"foreign origin":       {"origin " + origin, "origin other.example"},
		"threshold too high":   {"root 1", "root 3"},
		"threshold zero":       {"release 1", "release 0"},
		"a root twice":         {b.vkey, a.vkey},
		"log as a root":        {b.vkey, log.vkey},
		"comment":              {"release 1", "# a comment\nrelease 1"},
		"two spaces":           {"quorum g", "quorum  g"},
		"quorum unknown":       {"quorum g", "quorum h"},
		"no quorum":            {"quorum g\n", ""},
		"after the quorum":     {"quorum g\n", "quorum g\nquorum none\n"},
		"group of the unknown": {"any w1", "any w2"},
		"group threshold":      {"any w1", "2 w1"},
		"witness twice":        {"group g", "witness w2 " + w.vkey() + "\ngroup g"},
		"broken vkey":          {a.vkey, a.vkey[:len(a.vkey)-1]},
		"items out of order":   {"version 1\nexpires 2027-01-01T00:00:00Z\n", "expires 2027-01-01T00:00:00Z\nversion 1\n"},
	} {
		bad := strings.Replace(msg, edit[0], edit[1], 1)
		if bad == msg {
			t.Fatalf("%s: the flaw was not made", name)
		}
		if _, err := transparency.ParseTrust([]byte(bad)); !errors.Is(err, transparency.ErrTrust) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReleaseThresholdCountsKeysOnce(t *testing.T) {
	log, root := newNoteKey(t, origin), newNoteKey(t, "root.a")
	k1, p1 := releaseKey(t)
	k2, p2 := releaseKey(t)
	tr, err := transparency.NewTrust(1, expires, 1, []string{root.vkey}, 2, []transparency.ReleaseKey{k1, k2}, log.vkey, transparency.WitnessPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("a release")
	sig := func(k transparency.ReleaseKey, p *ecdsa.PrivateKey) transparency.KeySignature {
		sum := sha256.Sum256(msg)
		s, err := ecdsa.SignASN1(rand.Reader, p, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return transparency.KeySignature{Key: k.ID(), Signature: s}
	}
	if err := tr.VerifyRelease(msg, []transparency.KeySignature{sig(k1, p1), sig(k2, p2)}); err != nil {
		t.Error(err)
	}
	if tr.VerifyRelease(msg, []transparency.KeySignature{sig(k1, p1), sig(k1, p1)}) == nil {
		t.Error("one key counted twice")
	}
	if tr.VerifyRelease(msg, []transparency.KeySignature{sig(k1, p1), sig(k2, p1)}) == nil {
		t.Error("a key's name on another key's signature counted")
	}
	if tr.VerifyRelease([]byte("another"), []transparency.KeySignature{sig(k1, p1), sig(k2, p2)}) == nil {
		t.Error("signatures of another message counted")
	}
}

func TestCheckpointQuorum(t *testing.T) {
	log, root := newNoteKey(t, origin), newNoteKey(t, "root.a")
	w1, w2, w3 := newWitness(t, "w1.example"), newWitness(t, "w2.example"), newWitness(t, "w3.example")
	policy := fmt.Sprintf("witness w1 %s\nwitness w2 %s\nwitness w3 %s\ngroup g 2 w1 w2 w3\nquorum g\n", w1.vkey(), w2.vkey(), w3.vkey())
	tr := newTrust(t, 1, 1, []noteKey{root}, log, policy)
	cp := transparency.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 7, Hash: tlog.RecordHash([]byte("x"))}}
	signed, err := transparency.SignCheckpoint(cp, log.signer)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	one := w1.cosign(append([]byte(nil), signed...), at)
	if _, err := tr.OpenCheckpoint(one); !errors.Is(err, transparency.ErrCheckpoint) {
		t.Errorf("one of three cosignatures made a quorum of two: %v", err)
	}
	forged := w2.cosign(append([]byte(nil), one...), at)
	forged[len(forged)-10] ^= 1
	if _, err := tr.OpenCheckpoint(forged); err == nil {
		t.Error("a forged cosignature counted")
	}
	all := w3.cosign(w2.cosign(one, at.Add(-time.Hour)), at.Add(-2*time.Hour))
	stranger := newWitness(t, "w4.example").cosign(all, at.Add(time.Hour))
	got, err := tr.OpenCheckpoint(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if got.Checkpoint != cp || !got.QuorumTime.Equal(at.Add(-time.Hour)) {
		t.Errorf("got %v with quorum time %v: the second newest of three is wanted", got.Checkpoint, got.QuorumTime)
	}
	if strings.Contains(string(got.Note), "w4.example") || !strings.Contains(string(got.Note), "w3.example") {
		t.Errorf("the kept note must hold the verified lines only:\n%s", got.Note)
	}
	other := newTrust(t, 1, 1, []noteKey{root}, newNoteKey(t, origin), policy)
	if _, err := other.OpenCheckpoint(all); !errors.Is(err, transparency.ErrCheckpoint) {
		t.Errorf("another log key was accepted: %v", err)
	}
}

func FuzzParseTrust(f *testing.F) {
	log, a := newNoteKey(f, origin), newNoteKey(f, "root.a")
	f.Add(sign(f, newTrust(f, 1, 1, []noteKey{a}, log, "quorum none\n"), a).Note())
	f.Fuzz(func(t *testing.T, msg []byte) {
		tr, err := transparency.ParseTrust(msg)
		if err == nil && !strings.HasPrefix(string(msg), tr.Text()+"\n") {
			t.Errorf("accepted a text that formats differently: %q", msg)
		}
	})
}
