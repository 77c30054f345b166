package mirror

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/transparency"
)

// testKey is an Ed25519 key that depends on its name alone, so that every run signs the same bytes.
type testKey struct {
	name string
	priv ed25519.PrivateKey
}

func newTestKey(name string) testKey {
	seed := sha256.Sum256([]byte("key of " + name))
	return testKey{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (k testKey) pub() ed25519.PublicKey { return k.priv.Public().(ed25519.PublicKey) }

// typed is the key as note keys carry it, behind its algorithm byte; hash is the note key hash.
func (k testKey) typed(alg byte) []byte { return append([]byte{alg}, k.pub()...) }

func (k testKey) hash(alg byte) []byte {
	sum := sha256.Sum256(append([]byte(k.name+"\n"), k.typed(alg)...))
	return sum[:4]
}

func (k testKey) vkey(alg byte) string {
	return fmt.Sprintf("%s+%x+%s", k.name, k.hash(alg), base64.StdEncoding.EncodeToString(k.typed(alg)))
}

// signer signs notes as a root or as a log.
func (k testKey) signer(t testing.TB) note.Signer {
	t.Helper()
	skey := append([]byte{1}, k.priv.Seed()...)
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", k.name, k.hash(1), base64.StdEncoding.EncodeToString(skey)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cosign adds a witness's line to a checkpoint, as C2SP tlog-cosignature/v1 says.
func (k testKey) cosign(checkpoint []byte, at time.Time) []byte {
	return k.cosignAs(checkpoint, uint64(at.Unix()), at.Unix())
}

// cosignAs is cosign with a time, in seconds, that is told otherwise than it is signed.
func (k testKey) cosignAs(checkpoint []byte, told uint64, signed any) []byte {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	sig := ed25519.Sign(k.priv, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", signed, text))
	line := append(k.hash(4), binary.BigEndian.AppendUint64(nil, told)...)
	return fmt.Appendf(checkpoint, "— %s %s\n", k.name, base64.StdEncoding.EncodeToString(append(line, sig...)))
}

// testReleaseKey signs releases; sign may be that of any algorithm.
type testReleaseKey struct {
	transparency.ReleaseKey
	sign func(msg []byte) []byte
}

func newReleaseKey(t testing.TB, name string) testReleaseKey {
	t.Helper()
	k := newTestKey(name)
	return testReleaseKey{publicReleaseKey(t, k.pub()), func(msg []byte) []byte { return ed25519.Sign(k.priv, msg) }}
}

// newECDSAReleaseKey signs without randomness (RFC 6979): one key signs the same bytes in every run.
func newECDSAReleaseKey(t testing.TB, priv *ecdsa.PrivateKey) testReleaseKey {
	t.Helper()
	return testReleaseKey{publicReleaseKey(t, priv.Public()), func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		sig, err := priv.Sign(nil, sum[:], crypto.SHA256) // nil: RFC 6979
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}}
}

func publicReleaseKey(t testing.TB, pub any) transparency.ReleaseKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	k, err := transparency.ParseReleaseKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k testReleaseKey) signature(msg []byte) transparency.KeySignature {
	return transparency.KeySignature{Key: k.ID(), Signature: k.sign(msg)}
}

// keyring is whose signatures one trust version counts, with the private halves.
type keyring struct {
	roots     []testKey
	rootK     int
	releases  []testReleaseKey
	releaseK  int
	log       testKey
	witnesses []testKey // a quorum of one more than half of them; none asks for none
	expires   time.Time
}

func (k keyring) trust(t testing.TB, version int64, signers ...testKey) *transparency.Trust {
	t.Helper()
	var roots []string
	for _, r := range k.roots {
		roots = append(roots, r.vkey(1))
	}
	var releases []transparency.ReleaseKey
	for _, r := range k.releases {
		releases = append(releases, r.ReleaseKey)
	}
	policy, err := transparency.ParseWitnessPolicy(k.policy())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := transparency.NewTrust(version, k.expires, k.rootK, roots, k.releaseK, releases, k.log.vkey(1), policy)
	if err != nil {
		t.Fatal(err)
	}
	var by []note.Signer
	for _, s := range signers {
		by = append(by, s.signer(t))
	}
	msg, err := tr.Sign(by...)
	if err != nil {
		t.Fatal(err)
	}
	if tr, err = transparency.ParseTrust(msg); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (k keyring) policy() string {
	if len(k.witnesses) == 0 {
		return "quorum none\n"
	}
	var b, names strings.Builder
	for i, w := range k.witnesses {
		fmt.Fprintf(&b, "witness w%d %s\n", i, w.vkey(4))
		fmt.Fprintf(&names, " w%d", i)
	}
	return fmt.Sprintf("%sgroup g %d%s\nquorum g\n", b.String(), len(k.witnesses)/2+1, names.String())
}
