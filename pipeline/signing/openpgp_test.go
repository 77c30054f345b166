package signing

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// created is the birthday of the OpenPGP keys in these tests.
var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openPGPKey(t *testing.T) *OpenPGPKey {
	t.Helper()
	private, err := GenerateOpenPGP("Example list", "list@list.example", created, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, findings, err := LoadOpenPGP(write(t, "openpgp.key", private), Password{})
	if err != nil || codes(findings) != "key.plain" {
		t.Fatal(findings, err)
	}
	return key
}

func (k *OpenPGPKey) keyring(t *testing.T, armor bool) *Keyring {
	t.Helper()
	public, err := k.PublicKey(armor)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := ReadKeyring(public)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestDetachedSignature(t *testing.T) {
	key, other := openPGPKey(t), openPGPKey(t)
	data, now := []byte("{\n}\n"), created.Add(time.Hour)
	asc, err := key.Sign(data, now)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(asc, []byte("-----BEGIN PGP SIGNATURE-----\n")) || !bytes.HasSuffix(asc, []byte("-----END PGP SIGNATURE-----\n")) {
		t.Errorf("armor:\n%s", asc)
	}
	for _, armor := range []bool{true, false} {
		signer, at, err := VerifyDetached(key.keyring(t, armor), data, asc, now)
		if err != nil || signer != key.Fingerprint() || !at.Equal(now) {
			t.Errorf("armored keyring %v: %s at %v: %v", armor, signer, at, err)
		}
	}
	for name, c := range map[string]struct {
		ring      *Keyring
		data, sig []byte
		at        time.Time
		want      error
	}{
		"other bytes":           {key.keyring(t, true), []byte("{}"), asc, time.Time{}, ErrBadSignature},
		"other key":             {other.keyring(t, true), data, asc, time.Time{}, ErrUnknownKey},
		"signature of later":    {key.keyring(t, true), data, asc, now.Add(-time.Minute), ErrNotValidThen},
		"key not born":          {key.keyring(t, true), data, asc, created.Add(-time.Minute), ErrNotValidThen},
		"empty":                 {key.keyring(t, true), data, nil, now, ErrNotOpenPGP},
		"text":                  {key.keyring(t, true), data, []byte("signed, the operator"), now, ErrNotOpenPGP},
		"cut":                   {key.keyring(t, true), data, asc[:len(asc)/2], now, ErrNotOpenPGP},
		"a key is no signature": {key.keyring(t, true), data, must(key.PublicKey(true)), now, ErrNotOpenPGP},
		"same, binary":          {key.keyring(t, true), data, must(key.PublicKey(false)), now, ErrNotOpenPGP},
		"huge":                  {key.keyring(t, true), data, make([]byte, maxDetached+1), now, ErrNotOpenPGP},
	} {
		if _, _, err := VerifyDetached(c.ring, c.data, c.sig, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := key.Sign(data, created.Add(-time.Second)); err == nil {
		t.Error("signed before the key was made")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEncryptedOpenPGPKey(t *testing.T) {
	private, err := GenerateOpenPGP("Example list", "list@list.example", created, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "openpgp.key", private)
	key, findings, err := LoadOpenPGP(path, Password{LookupEnv: environment("open sesame")})
	if err != nil || len(findings) > 0 {
		t.Fatal(findings, err)
	}
	if _, err := key.Sign([]byte("x"), created); err != nil {
		t.Error(err)
	}
	if _, _, err := LoadOpenPGP(path, Password{LookupEnv: environment("wrong")}); !errors.Is(err, ErrPassword) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, _, err := LoadOpenPGP(path, Password{}); !errors.Is(err, ErrNoPassword) {
		t.Errorf("no passphrase: %v", err)
	}
	public := must(key.PublicKey(true))
	pemKey, _, err := GeneratePlain(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"public": {public, ErrNotOpenPGP},
		"binary": {must(key.PublicKey(false)), ErrKeyType},
		"pkcs8":  {pemKey, ErrNotOpenPGP},
		"text":   {[]byte("hello"), ErrNotOpenPGP},
		"empty":  {nil, ErrNotOpenPGP},
		"cut":    {private[:len(private)/2], ErrNotOpenPGP},
		"two":    {append(bytes.Clone(dearmored(t, private)), dearmored(t, private)...), ErrKeyType},
	} {
		_, _, err := LoadOpenPGP(write(t, name, c.data), Password{LookupEnv: environment("open sesame")})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func dearmored(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := dearmor(data, "PGP PRIVATE KEY BLOCK")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, r.Len())
	if _, err := r.Read(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// gpgv (GnuPG) is the outside judge: it accepts our signatures, and refuses them over other bytes. The second key is
// one that GnuPG 2.2 exported with --export-secret-subkeys, as careful operators do: the RSA primary key stayed at home,
// an Ed25519 subkey signs, both under a passphrase.
func TestGpgvAccepts(t *testing.T) {
	gpgv := tool.Path(t, "gpgv")
	theirs, findings, err := LoadOpenPGP("testdata/gnupg-subkey.asc", Password{LookupEnv: environment("open sesame")})
	if err != nil || strings.Contains(codes(findings), CodePlainKey) {
		t.Fatal(findings, err)
	}
	for name, key := range map[string]*OpenPGPKey{"ours": openPGPKey(t), "from GnuPG": theirs} {
		data, now := []byte("{\n\"version\":\"0.1\"\n}\n"), theirs.entity.Subkeys[0].PublicKey.CreationTime.Add(time.Minute)
		asc, err := key.Sign(data, now)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		dir := t.TempDir()
		for file, content := range map[string][]byte{
			"keyring.gpg": must(key.PublicKey(false)), "policy.json": data, "policy.json.asc": asc, "other.json": append(data, ' ')} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run := func(file string) (string, error) {
			cmd := exec.CommandContext(t.Context(), gpgv, "--homedir", dir, "--keyring", filepath.Join(dir, "keyring.gpg"),
				filepath.Join(dir, "policy.json.asc"), filepath.Join(dir, file))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := run("policy.json"); err != nil || !strings.Contains(out, "Good signature") {
			t.Errorf("%s: gpgv: %v\n%s", name, err, out)
		}
		if out, err := run("other.json"); err == nil || !strings.Contains(out, "BAD signature") {
			t.Errorf("%s: gpgv over other bytes: %v\n%s", name, err, out)
		}
	}
}

// The history of the list that closed in 2020: 46 files, signed by one key that has long expired. 001 was never
// signed; the signatures of 003 and 018 belong to other bytes.
func TestOldListHistory(t *testing.T) {
	const dir = "../../../shared/data/eff-history"
	data, err := os.ReadFile(filepath.Join(dir, "eff-authority.pgp"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the history is not part of this repository")
	}
	ring, err := ReadKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 46 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		number := filepath.Base(file)[:3]
		list := must(os.ReadFile(file))
		asc, err := os.ReadFile(file + ".asc")
		if (number == "001") != errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s.asc: %v", file, err)
		}
		if err != nil {
			continue
		}
		signer, at, err := VerifyDetached(ring, list, asc, time.Time{})
		if number == "003" || number == "018" {
			if !errors.Is(err, ErrBadSignature) {
				t.Errorf("%s: %v, want a bad signature", number, err)
			}
			continue
		}
		if err != nil || signer != ring.Fingerprints()[0] || at.Year() < 2018 || at.Year() > 2020 {
			t.Errorf("%s: %s at %v: %v", number, signer, at, err)
		}
	}
}
