package signing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/transparency"
)

// plainKey makes an unencrypted key: decrypting one costs a scrypt, which is another test's subject.
func plainKey(t testing.TB, kind Kind) *Key {
	t.Helper()
	private, err := generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write puts data into a file of mode 0600 and returns its path.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// verifies reports whether clients take the signature, by the key as a trust version names it.
func verifies(t testing.TB, spki, message, sig []byte) bool {
	t.Helper()
	key, err := transparency.ParseReleaseKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	return key.Verify(message, sig)
}

func TestSignaturesVerifyAndFlippedOnesDoNot(t *testing.T) {
	message := []byte("policylist/release/v1\nlist.example\n{}")
	for _, kind := range []Kind{ECDSAP256, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			key := plainKey(t, kind)
			sig, err := key.Sign(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(t, key.SPKI(), message, sig) {
				t.Fatal("its own signature does not verify")
			}
			if key.KeyID() != sha256.Sum256(key.SPKI()) || key.Kind() != kind {
				t.Error("the key is not named by its SPKI")
			}
			for i := range sig {
				flipped := bytes.Clone(sig)
				flipped[i] ^= 4
				if verifies(t, key.SPKI(), message, flipped) || !errors.Is(verify(key.public, message, flipped), ErrBadSignature) {
					t.Fatalf("byte %d flipped, and accepted", i)
				}
			}
			if verifies(t, key.SPKI(), append(message, '\n'), sig) || !errors.Is(verify(key.public, append(message, '\n'), sig), ErrBadSignature) {
				t.Error("accepted for another message")
			}
			other := plainKey(t, kind)
			if verifies(t, other.SPKI(), message, sig) || !errors.Is(verify(other.public, message, sig), ErrBadSignature) {
				t.Error("accepted for another key")
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := key.Sign(cancelled, message); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled context: %v", err)
			}
		})
	}
}

// A signer that answers with a wrong signature (a fault, or a KMS alias that was moved to another key) is found out
// before anything is published.
func TestWrongOwnSignatureIsNotReturned(t *testing.T) {
	for _, kind := range []Kind{ECDSAP256, Ed25519} {
		key := plainKey(t, kind)
		key.signer = plainKey(t, kind).signer
		if sig, err := key.Sign(t.Context(), []byte("m")); !errors.Is(err, ErrBadSignature) || sig != nil {
			t.Errorf("%s: %x, %v", kind, sig, err)
		}
	}
}

func TestOtherKeyTypesAreRefused(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, private := range map[string]any{"P-384": p384, "RSA": rsaKey, "none": []byte("x")} {
		if _, err := newKey(private); !errors.Is(err, ErrKeyType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Generate("rsa", nil); !errors.Is(err, ErrKeyType) {
		t.Errorf("generate rsa: %v", err)
	}
	var _ signature.Signer = plainKey(t, Ed25519).signer
}

func TestPublicPEMGivesTheKeyBack(t *testing.T) {
	key := plainKey(t, ECDSAP256)
	spki, err := ParsePublic(key.PublicPEM())
	if err != nil || !bytes.Equal(spki, key.SPKI()) {
		t.Fatalf("%x, %v", spki, err)
	}
	block, _ := pem.Decode(key.PublicPEM())
	private, _, err := GeneratePlain(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"private":  {private, ErrKeyType},
		"cut":      {key.PublicPEM()[:80], ErrDamaged},
		"text":     {[]byte("hello\n"), ErrNotPEM},
		"two":      {append(key.PublicPEM(), key.PublicPEM()...), ErrNotPEM},
		"not spki": {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes[1:]}), ErrKeyType},
	} {
		if _, err := ParsePublic(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A log key signs a note that x/mod's own verifier accepts, byte for byte what x/mod's own signer makes.
func TestNoteSignerIsTheOneOfXMod(t *testing.T) {
	const origin = "log.example/list"
	key := plainKey(t, Ed25519)
	signer, err := key.NoteSigner(origin)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := key.VerifierKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if signer.Name() != origin || signer.KeyHash() != verifier.KeyHash() {
		t.Errorf("signer %s %08x, verifier %s %08x", signer.Name(), signer.KeyHash(), verifier.Name(), verifier.KeyHash())
	}
	text := origin + "\n1\nAAAA\n"
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil || opened.Text != text {
		t.Fatalf("%v, %v", opened, err)
	}
	msg[0] ^= 1
	if _, err := note.Open(msg, note.VerifierList(verifier)); err == nil {
		t.Error("a changed note opened")
	}
	if public := key.public.(ed25519.PublicKey); len(public) != ed25519.PublicKeySize {
		t.Error("no Ed25519 key")
	}
}

func TestNoteSignerRefusals(t *testing.T) {
	if _, err := plainKey(t, ECDSAP256).NoteSigner("log.example"); !errors.Is(err, ErrKeyType) {
		t.Errorf("ECDSA: %v", err)
	}
	for _, name := range []string{"", "a+b", "a b", "a\nb"} {
		if _, err := plainKey(t, Ed25519).NoteSigner(name); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
}

func TestSignersAreSafeForConcurrentUse(t *testing.T) {
	keys, pgp := []*Key{plainKey(t, ECDSAP256), plainKey(t, Ed25519)}, openPGPKey(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, key := range keys {
				if _, err := key.Sign(t.Context(), []byte("m")); err != nil {
					t.Error(err)
				}
			}
			if _, err := pgp.Sign([]byte("m"), created); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
