package mirror

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/bundle"
)

func testKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ECDSA": p256, "Ed25519": ed}
}

// What is accepted beside a list is about that list and signed by the key in the bundle; every altered form is refused.
func TestVerifyKeyless(t *testing.T) {
	list := []byte("list\n")
	for name, key := range testKeys(t) {
		good := bundle.Keyless(t, list, key)
		if err := VerifyKeyless(good, list); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := VerifyKeyless(good, []byte("another\n")); !errors.Is(err, ErrKeyless) {
			t.Errorf("%s: another list: %v", name, err)
		}
		for what, bad := range map[string][]byte{
			"nothing":             nil,
			"no JSON":             []byte("<html>"),
			"an ordinary bundle":  bytes.ReplaceAll(good, []byte(`"certificate":{"rawBytes"`), []byte(`"publicKey":{"hint"`)),
			"another media type":  bytes.ReplaceAll(good, []byte("v0.3"), []byte("v0.2")),
			"another digest name": bytes.ReplaceAll(good, []byte("SHA2_256"), []byte("SHA2_512")),
			"no timestamp":        bytes.ReplaceAll(good, []byte(`{"signedTimestamp":"AAAA"}`), nil),
			"two objects":         append(bytes.Clone(good), good...),
			"more in it":          bytes.ReplaceAll(good, []byte(`"certificate"`), []byte(`"tlogEntries":[],"certificate"`)),
			"another signature":   bytes.ReplaceAll(good, []byte(`"signature":"`), []byte(`"signature":"AAAA`)),
			"no certificate":      bytes.ReplaceAll(good, []byte(`"rawBytes":"`), []byte(`"rawBytes":"AAAA`)),
		} {
			if err := VerifyKeyless(bad, list); !errors.Is(err, ErrKeyless) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
}

// FuzzVerifyKeyless gives keyless bundles: whatever a fuzzer makes of a good one, it is about no other list.
func FuzzVerifyKeyless(f *testing.F) {
	list := []byte("list\n")
	for _, key := range testKeys(f) {
		f.Add(bundle.Keyless(f, list, key))
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if VerifyKeyless(data, []byte("another\n")) == nil {
			t.Errorf("accepted %q for another list", data)
		}
	})
}
