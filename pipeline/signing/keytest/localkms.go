package keytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// KMS is a running local-kms.
type KMS struct {
	process *tool.Process
	keys    map[string]*ecdsa.PrivateKey // by alias
}

// StartKMS starts local-kms with one P-256 key for each alias, which "awskms:///alias/NAME" names, and points the AWS SDK
// at it. local-kms knows no Ed25519.
func StartKMS(t testing.TB, aliases ...string) *KMS {
	t.Helper()
	program := tool.Path(t, "local-kms")
	dir := t.TempDir()
	k := &KMS{keys: map[string]*ecdsa.PrivateKey{}}
	seed := filepath.Join(dir, "seed.yaml")
	if err := os.WriteFile(seed, k.seed(t, aliases), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		address := tool.FreePort(t)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(context.Background(), program)
		cmd.Env = append(os.Environ(), "PORT="+port, "KMS_SEED_PATH="+seed, "KMS_DATA_PATH="+filepath.Join(dir, "data-"+port), "KMS_REGION=eu-test-1")
		k.process = tool.Start(t, cmd, os.Interrupt)
		if k.process.Listens(address) {
			UseAWS(t, "http://"+address)
			return k
		}
	}
	t.Fatal("local-kms does not start")
	return nil
}

// UseAWS points the AWS SDK at a KMS and gives it credentials.
func UseAWS(t testing.TB, endpoint string) {
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_KMS": endpoint, "AWS_REGION": "eu-test-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
}

// Stop ends the service, as an outage does.
func (k *KMS) Stop() { k.process.Stop() }

// Public returns the public half of an alias's key.
func (k *KMS) Public(alias string) *ecdsa.PublicKey { return &k.keys[alias].PublicKey }

// seed is what local-kms starts with.
func (k *KMS) seed(t testing.TB, aliases []string) []byte {
	var keys, names strings.Builder
	for i, alias := range aliases {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k.keys[alias] = private
		der, err := x509.MarshalECPrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
		id := fmt.Sprintf("800d5768-3fd7-4edd-a4b8-%012d", i)
		fmt.Fprintf(&keys, "      - Metadata:\n          KeyId: %s\n          KeyUsage: SIGN_VERIFY\n        PrivateKeyPem: |\n          %s\n",
			id, strings.ReplaceAll(text, "\n", "\n          "))
		fmt.Fprintf(&names, "  - AliasName: alias/%s\n    TargetKeyId: %s\n", alias, id)
	}
	return []byte("Keys:\n  Asymmetric:\n    Ecc:\n" + keys.String() + "Aliases:\n" + names.String())
}
