package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// A bundle names the key and the bytes, and carries the signature as clients check it; TestCosignAccepts has the whole of it
// judged from outside.
func TestBundle(t *testing.T) {
	for _, kind := range []Kind{ECDSAP256, Ed25519} {
		key, blob := plainKey(t, kind), []byte("{\n}\n")
		data, err := SignBundle(t.Context(), key, blob)
		if err != nil {
			t.Fatal(err)
		}
		var b bundle
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		id, digest := key.KeyID(), sha256.Sum256(blob)
		if hint := b.VerificationMaterial.PublicKey.Hint; b.MediaType != BundleMediaType || hint != base64.StdEncoding.EncodeToString(id[:]) {
			t.Errorf("%s: media type %q, hint %q", kind, b.MediaType, hint)
		}
		if m := b.MessageSignature; !bytes.Equal(m.MessageDigest.Digest, digest[:]) || !verifies(t, key.SPKI(), blob, m.Signature) {
			t.Errorf("%s: %+v", kind, m)
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
