// Package judge asks other people's tools about what we publish. None of them shares code with us, so what they accept
// is in the formats' terms and not only in ours. Only tests import it.
//
// Each function returns nil when the judge accepts, an error with the judge's words when it refuses, and skips or fails
// the test when the judge is missing (see package tool). The command lines are those of `.github/check.sh --help`.
package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// patience is far more than any judge needs for what tests show it.
const patience = 2 * time.Minute

// Fsck lets Tessera's fsck (C2SP tlog-tiles) fetch the log at url, http:// or file://, rebuild its tree from the entry
// bundles and compare every tile and the checkpoint. vkey is the log's note verifier key; the origin is its name.
//
// Each missing or wrong tile ends one of fsck's workers, and without workers fsck v1.0.4 hangs: it gets many, and a
// judge that is still silent after two minutes has refused.
func Fsck(t testing.TB, url, vkey string) error {
	t.Helper()
	key := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(key, []byte(vkey), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := run(t, tool.Path(t, "fsck"),
		"--storage_url="+strings.TrimSuffix(url, "/")+"/", "--public_key="+key, "--ui=false", "-v=1", "--N=16")
	if err != nil {
		return err
	}
	// fsck v1.0.4 exits with 0 whatever it finds: only its words tell.
	if strings.Contains(said, "fsck failed") || !strings.Contains(said, "Successfully fsck'd log") {
		return fmt.Errorf("fsck refuses %s:\n%s", url, said)
	}
	return nil
}

// CosignVerifyBlob lets cosign verify a file by a sigstore bundle (v0.3) and a PEM public key. cosign is told to do
// without Rekor, Sigstore's public log: ours is another one.
func CosignVerifyBlob(t testing.TB, publicKey, bundle, blob string) error {
	t.Helper()
	_, err := run(t, tool.Path(t, "cosign"),
		"verify-blob", "--key", publicKey, "--bundle", bundle, "--insecure-ignore-tlog=true", blob)
	return err
}

// Signed is a keyless bundle over a blob, and who is said to have made it.
type Signed struct{ Bundle, Blob, Identity, Issuer string }

// CosignVerifyKeyless lets cosign verify a keyless bundle by a trusted root of its own: with timestamps, without Rekor and
// certificate transparency.
func CosignVerifyKeyless(t testing.TB, trustedRoot string, s Signed) error {
	t.Helper()
	_, err := run(t, tool.Path(t, "cosign"), "verify-blob", "--trusted-root", trustedRoot, "--bundle", s.Bundle,
		"--certificate-identity", s.Identity, "--certificate-oidc-issuer", s.Issuer,
		"--use-signed-timestamps=true", "--insecure-ignore-tlog=true", "--insecure-ignore-sct=true", s.Blob)
	return err
}

// SigstoreGoVerify lets sigstore-go, by the program among its examples, verify the same.
func SigstoreGoVerify(t testing.TB, trustedRoot string, s Signed) error {
	t.Helper()
	said, err := run(t, tool.Path(t, "sigstore-go-verification"), "-trustedrootJSONpath", trustedRoot, "-artifact", s.Blob,
		"-expectedSAN", s.Identity, "-expectedIssuer", s.Issuer, "-requireTlog=false", "-requireCTlog=false", "-requireTimestamp=true", s.Bundle)
	if err == nil && !strings.Contains(said, "Verification successful!") {
		return fmt.Errorf("sigstore-go-verification: %s", said)
	}
	return err
}

// Gpgv lets gpgv verify a detached OpenPGP signature over a file by the armored public keys in another.
func Gpgv(t testing.TB, publicKeys, signature, data string) error {
	t.Helper()
	ring := filepath.Join(t.TempDir(), "keys.gpg") // gpgv reads binary keys only
	gpgv := tool.Path(t, "gpgv")
	if _, err := run(t, tool.Path(t, "gpg"), "--batch", "--output", ring, "--dearmor", publicKeys); err != nil {
		return err
	}
	_, err := run(t, gpgv, "--keyring", ring, signature, data)
	return err
}

// run returns what a program wrote, in an environment where it finds no settings, keys or caches of this machine.
func run(t testing.TB, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"HOME=" + home, "GNUPGHOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(program), errors.Join(err, ctx.Err()), &said)
	}
	return said.String(), nil
}
