// Package keytest is where private keys live in tests that is not a file of ours: a plugin program of sigstore's
// kms/cliplugin ("drawer"), and a stand-in of AWS KMS, local-kms. Only tests import it.
package keytest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// Drawer is the plugin's program: "drawer:///path/to/key.pem" is an unencrypted key in that file.
const Drawer = "sigstore-kms-drawer"

// Environment variables of the plugin.
const (
	// FaultVar makes signing go wrong: one of the Fault constants, or "".
	FaultVar = "DRAWER_FAULT"
	// LogVar names a file to which the plugin adds a line with the key's path for each signature.
	LogVar = "DRAWER_LOG"
	// SpareVar is how many signatures of that file go well before the fault begins.
	SpareVar = "DRAWER_SPARE"
)

// What may go wrong with a device.
const (
	FaultError  = "error"  // it says no
	FaultHang   = "hang"   // it never answers
	FaultGarble = "garble" // it answers something else
	FaultOther  = "other"  // another key signs
	FaultKill   = "kill"   // it signs, and the machine loses power: the caller is killed before the answer
)

// Install builds the plugin and puts it into a folder that comes first in PATH. The test's folder must still be in the
// module.
func Install(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, Drawer), "github.com/starttls-everywhere/policylist/pipeline/signing/keytest/drawer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// RunDrawer is the plugin.
func RunDrawer() {
	if err := drawer(); err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
	}
}

func drawer() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(args.InitOptions.KeyResourceID)
	if err != nil {
		return err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(data, cryptoutils.SkipPassword)
	if err != nil {
		return err
	}
	wrong := ""
	if args.MethodName == common.SignMessageMethodName {
		wrong = faultNow()
		if private, err = fault(wrong, private); err != nil {
			return err
		}
		if err := note(os.Getenv(LogVar), args.InitOptions.KeyResourceID); err != nil {
			return err
		}
	}
	key, err := signature.LoadSignerVerifier(private, args.InitOptions.HashFunc)
	if err != nil {
		return err
	}
	out := os.Stdout
	if wrong == FaultKill {
		defer syscall.Kill(os.Getppid(), syscall.SIGKILL)
		if out, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil { // signed, and the answer is lost
			return err
		}
	}
	_, err = handler.Dispatch(out, os.Stdin, args, &inDrawer{key})
	return err
}

// faultNow is what goes wrong with this signature, if anything does.
func faultNow() string {
	spare, _ := strconv.Atoi(os.Getenv(SpareVar))
	log, _ := os.ReadFile(os.Getenv(LogVar))
	if bytes.Count(log, []byte("\n")) < spare {
		return ""
	}
	return os.Getenv(FaultVar)
}

// fault does what goes wrong before a signature, and returns the key that signs.
func fault(name string, private crypto.PrivateKey) (crypto.PrivateKey, error) {
	switch name {
	case FaultError:
		return nil, errors.New("the drawer is locked")
	case FaultHang:
		time.Sleep(24 * time.Hour)
	case FaultGarble:
		fmt.Println("\x1b[31mnot JSON")
		os.Exit(1)
	case FaultOther:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return private, nil
}

func note(path, line string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}

// inDrawer is a key as sigstore's protocol wants it. Nothing makes keys by it.
type inDrawer struct{ signature.SignerVerifier }

var errNoKeys = errors.New("this drawer makes no keys")

func (*inDrawer) CreateKey(context.Context, string) (crypto.PublicKey, error) { return nil, errNoKeys }
func (*inDrawer) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errNoKeys
}
func (*inDrawer) SupportedAlgorithms() []string { return nil }
func (*inDrawer) DefaultAlgorithm() string      { return "" }
