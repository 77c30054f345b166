package signing

import (
	"crypto/sha256"
	"os"
	"testing"
	"time"
)

// What a mirror or a pull request can hand us never panics; what is accepted is really signed.
func FuzzVerifyDetached(f *testing.F) {
	private, err := GenerateOpenPGP("Example list", "list@list.example", created, nil)
	if err != nil {
		f.Fatal(err)
	}
	key, _, err := LoadOpenPGP(write(f, "openpgp.key", private), Password{})
	if err != nil {
		f.Fatal(err)
	}
	public := must(key.PublicKey(false))
	data := []byte("{}\n")
	asc := must(key.Sign(data, created))
	f.Add(public, asc)
	f.Add(must(key.PublicKey(true)), asc)
	f.Add(public, must(os.ReadFile("testdata/gnupg-subkey.asc")))
	trusted, err := ReadKeyring(public)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, keyring, sig []byte) {
		if ring, err := ReadKeyring(keyring); err == nil {
			_, _, _ = VerifyDetached(ring, data, sig, time.Time{})
		}
		if _, _, err := VerifyDetached(trusted, []byte("other bytes"), sig, time.Time{}); err == nil {
			t.Fatalf("%q passes for a signature of other bytes", sig)
		}
	})
}

// No key file crashes the program, encrypted ones with foreign scrypt parameters included.
func FuzzDecode(f *testing.F) {
	plain, public, err := GeneratePlain(ECDSAP256)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(public)
	f.Add([]byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		private, _, err := decode(data, "fuzz.key", Password{LookupEnv: environment("x")})
		if err != nil {
			return
		}
		key, err := newKey(private)
		if err != nil {
			return
		}
		if sig, err := key.Sign(t.Context(), data); err == nil && key.KeyID() == sha256.Sum256(key.SPKI()) {
			if !verifies(t, key.SPKI(), data, sig) {
				t.Fatal("the key's own signature does not verify")
			}
		}
	})
}
