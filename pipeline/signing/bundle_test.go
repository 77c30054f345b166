package signing

import (
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

func TestBundle(t *testing.T) {
	key, blob := plainKey(t, ECDSAP256), []byte("{\n}\n")
	data, err := SignBundle(t.Context(), key, blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyBundle(data, key.SPKI(), blob); err != nil {
		t.Fatal(err)
	}
	if err := VerifyBundle(data, key.SPKI(), []byte("{}")); !errors.Is(err, ErrBadSignature) {
		t.Errorf("other bytes: %v", err)
	}
	if err := VerifyBundle(data, plainKey(t, ECDSAP256).SPKI(), blob); !errors.Is(err, ErrBadSignature) {
		t.Errorf("other key: %v", err)
	}
	sig, _, _, err := ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	// Right key and digest, but the signature is about something else.
	stolen := Bundle(sig, key.KeyID(), sha256.Sum256([]byte("{}")))
	if err := VerifyBundle(stolen, key.SPKI(), []byte("{}")); !errors.Is(err, ErrBadSignature) {
		t.Errorf("stolen signature: %v", err)
	}
}

func TestMalformedBundles(t *testing.T) {
	good := string(Bundle([]byte{1}, [32]byte{2}, [32]byte{3}))
	if _, keyID, digest, err := ParseBundle([]byte(good)); err != nil || keyID[0] != 2 || digest[0] != 3 {
		t.Fatalf("%s: %v", good, err)
	}
	for name, data := range map[string]string{
		"empty":         "",
		"not an object": "[]",
		"cut":           good[:len(good)-3],
		"two":           good + good,
		"version 0.2":   strings.Replace(good, "v0.3", "v0.2", 1),
		"foreign field": strings.Replace(good, `{"mediaType"`, `{"dsseEnvelope":{},"mediaType"`, 1),
		"digest kind":   strings.Replace(good, "SHA2_256", "SHA2_512", 1),
		"digest length": strings.Replace(good, `"digest":"AwAA`, `"digest":"`, 1),
		"hint length":   strings.Replace(good, `"hint":"AgAA`, `"hint":"`, 1),
		"hint base64":   strings.Replace(good, `"hint":"A`, `"hint":"_`, 1),
		"no signature":  strings.Replace(good, `"AQ=="`, `""`, 1),
		"huge":          good + strings.Repeat(" ", maxBundle),
	} {
		if _, _, _, err := ParseBundle([]byte(data)); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// cosign is the outside judge, for both algorithms: our bundle verifies, other bytes do not. Key files go both ways:
// cosign opens ours, and we open cosign's.
func TestCosignAccepts(t *testing.T) {
	cosign := tool.Path(t, "cosign")
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), cosign, args...)
		cmd.Env = append(os.Environ(), "COSIGN_PASSWORD=", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	blob := []byte("{\n\"version\":\"0.1\"\n}\n")
	list, other := put("policy.json", blob), put("other.json", append(blob, ' '))
	for _, kind := range []Kind{ECDSAP256, Ed25519} {
		key := plainKey(t, kind)
		data, err := SignBundle(t.Context(), key, blob)
		if err != nil {
			t.Fatal(err)
		}
		public, bundle := put(string(kind)+".pub", key.PublicPEM()), put(string(kind)+".json", data)
		verify := []string{"verify-blob", "--key", public, "--bundle", bundle, "--insecure-ignore-tlog"}
		if out, err := run(append(verify, list)...); err != nil {
			t.Errorf("%s: cosign: %v\n%s", kind, err, out)
		}
		if out, err := run(append(verify, other)...); err == nil {
			t.Errorf("%s: cosign accepted other bytes\n%s", kind, out)
		}
	}
	private, public, err := Generate(ECDSAP256, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run("public-key", "--key", put("ours.key", private)); err != nil || !strings.Contains(out, string(public)) {
		t.Errorf("cosign cannot read our key: %v\n%s\nwanted:\n%s", err, out, public)
	}
	theirs := filepath.Join(dir, "theirs")
	if out, err := run("generate-key-pair", "--output-key-prefix", theirs); err != nil {
		t.Fatalf("cosign: %v\n%s", err, out)
	}
	loaded, findings, err := Load(theirs+".key", Password{LookupEnv: environment("")})
	if err != nil || len(findings) > 0 {
		t.Fatal(findings, err)
	}
	if want := must(os.ReadFile(theirs + ".pub")); string(loaded.PublicPEM()) != string(want) {
		t.Errorf("from cosign's key we read:\n%s\nwanted:\n%s", loaded.PublicPEM(), want)
	}
}
