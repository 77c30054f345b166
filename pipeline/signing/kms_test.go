package signing

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// What this build cannot reach is said before anything is asked, with the way out; a scheme cannot lead to a program
// elsewhere than in PATH.
func TestProvidersThatAreNotThere(t *testing.T) {
	for ref, want := range map[string]string{
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k": "go build -tags gcpkms",
		"azurekms://vault.example/key":                            "go build -tags azurekms",
		"hashivault://key":                                        "go build -tags hashivault",
		"openbao://key":                                           "go build -tags hashivault",
		"nothing://key":                                           "no program sigstore-kms-nothing in PATH",
		"../../tmp/evil://key":                                    "no name of a key service",
		"\x1b[31m://key":                                          `"\x1b[31m"`,
		"://key":                                                  "no name of a key service",
	} {
		_, _, err := Open(t.Context(), ref, Password{})
		if !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestAWSReferenceIsChecked(t *testing.T) {
	if _, err := OpenRemote(t.Context(), "awskms:///release"); !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "ALIAS") {
		t.Error(err)
	}
}

// A key in (a stand-in of) AWS KMS signs what everybody verifies with its public half. After the service is gone the
// error says so, within the caller's patience.
func TestKeyInAWSKMS(t *testing.T) {
	service := keytest.StartKMS(t, "release", "other")
	key, _, err := Open(t.Context(), "awskms:///alias/release", Password{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.MarshalPKIXPublicKey(service.Public("release"))
	if err != nil || string(want) != string(key.SPKI()) {
		t.Fatalf("another public key: %v", err)
	}
	message := []byte("policylist/release/v1\n")
	if sig, err := key.Sign(t.Context(), message); err != nil || !verifies(t, want, message, sig) {
		t.Errorf("signature %x, %v", sig, err)
	}
	if _, err := NoteSigner(t.Context(), key, "log.example"); !errors.Is(err, ErrKeyType) {
		t.Errorf("an ECDSA key signs notes: %v", err)
	}
	if _, err := OpenRemote(t.Context(), "awskms:///alias/nobody"); !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "alias/nobody") {
		t.Errorf("an alias that is not there: %v", err)
	}
	service.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := key.Sign(ctx, message); !errors.Is(err, ErrRemote) {
		t.Errorf("without the service: %v", err)
	}
	if _, err := OpenRemote(ctx, "awskms:///alias/release"); !errors.Is(err, ErrRemote) {
		t.Errorf("without the service: %v", err)
	}
}

func inDrawer(t *testing.T, kind Kind) (ref string, public *Key) {
	t.Helper()
	keytest.Install(t)
	priv, _, err := GeneratePlain(kind)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, priv, 0o600); err != nil {
		t.Fatal(err)
	}
	key, _, err := Load(path, Password{})
	if err != nil {
		t.Fatal(err)
	}
	return "drawer://" + path, key
}

// Devices sign through a program of sigstore's plugin protocol: releases with either kind of key, notes with Ed25519.
func TestKeyInPlugin(t *testing.T) {
	for _, kind := range []Kind{ECDSAP256, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			ref, public := inDrawer(t, kind)
			key, _, err := Open(t.Context(), ref, Password{})
			if err != nil {
				t.Fatal(err)
			}
			if key.KeyID() != public.KeyID() {
				t.Fatal("another key")
			}
			sig, err := key.Sign(t.Context(), []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(t, public.SPKI(), []byte("message"), sig) {
				t.Error("another key signed")
			}
			signer, err := NoteSigner(t.Context(), key, "log.example/1")
			if kind == ECDSAP256 {
				if !errors.Is(err, ErrKeyType) {
					t.Errorf("notes with ECDSA: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			signed, err := note.Sign(&note.Note{Text: "text\n"}, signer)
			if err != nil {
				t.Fatal(err)
			}
			vkey, err := public.VerifierKey("log.example/1")
			if err != nil {
				t.Fatal(err)
			}
			verifier, err := note.NewVerifier(vkey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever a device does instead of signing, there is an error and no signature, and the wait ends.
func TestPluginFaults(t *testing.T) {
	ref, _ := inDrawer(t, ECDSAP256)
	key, err := OpenRemote(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for fault, want := range map[string]error{
		keytest.FaultError:  ErrRemote,
		keytest.FaultGarble: ErrRemote,
		keytest.FaultOther:  ErrBadSignature,
		keytest.FaultHang:   context.DeadlineExceeded,
	} {
		t.Setenv(keytest.FaultVar, fault)
		ctx := t.Context()
		if fault == keytest.FaultHang {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		if sig, err := key.Sign(ctx, []byte("m")); !errors.Is(err, want) || sig != nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: %x, %v", fault, sig, err)
		}
	}
	if _, err := OpenRemote(t.Context(), ref+".gone"); !errors.Is(err, ErrRemote) {
		t.Errorf("a key that is not there: %v", err)
	}
}
