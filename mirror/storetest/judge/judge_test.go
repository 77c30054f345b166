package judge

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

const origin = "log.example/list"

// publish makes a log of 700 leaves below folder and returns its verifier key.
func publish(t *testing.T, folder string) (vkey string) {
	t.Helper()
	secret, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	log, err := tilelog.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var leaves [][]byte
	for i := range 700 {
		leaves = append(leaves, fmt.Appendf(nil, "leaf %d", i))
	}
	tree, err := log.Append(t.Context(), 0, leaves)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "checkpoint"), checkpoint)
	return vkey
}

func TestFsckRefusesWhatIsBroken(t *testing.T) {
	_, otherKey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(folder string, vkey *string) error{
		"nothing":           nil,
		"another key":       func(_ string, vkey *string) error { *vkey = otherKey; return nil },
		"a bit of an entry": func(folder string, _ *string) error { return flip(folder, "tile/entries/001", 100) },
		"a bit of a tile":   func(folder string, _ *string) error { return flip(folder, "tile/0/002.p/188", 100) },
		"a bit of the root": func(folder string, _ *string) error { return flip(folder, "checkpoint", len(origin)+8) },
		"a missing tile":    func(folder string, _ *string) error { return os.Remove(filepath.Join(folder, "tile/0/000")) },
		"no log at all":     func(folder string, _ *string) error { return os.RemoveAll(folder) },
		"a missing partial": func(folder string, _ *string) error { return os.Remove(filepath.Join(folder, "tile/1/000.p/2")) },
		"a missing last leaf": func(folder string, _ *string) error {
			return os.Remove(filepath.Join(folder, "tile/entries/002.p/188"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			vkey := publish(t, folder)
			if damage != nil {
				if err := damage(folder, &vkey); err != nil {
					t.Fatal(err)
				}
			}
			server := httptest.NewServer(http.FileServer(http.Dir(folder)))
			defer server.Close()
			for _, url := range []string{server.URL, "file://" + folder} {
				if err := Fsck(t, url, vkey); (err == nil) != (damage == nil) {
					t.Errorf("%s: %v", url, err)
				}
			}
		})
	}
}

func TestCosignRefusesAnotherBlobAndAnotherKey(t *testing.T) {
	cosign := tool.Path(t, "cosign")
	folder := t.TempDir()
	blob := filepath.Join(folder, "blob")
	write(t, blob, []byte("what is signed\n"))
	for _, name := range []string{"ours", "theirs"} {
		sign(t, folder, cosign, "generate-key-pair", "--output-key-prefix", name)
	}
	bundle := filepath.Join(folder, "bundle")
	sign(t, folder, cosign, "sign-blob", "--yes", "--key", "ours.key", "--bundle", bundle,
		"--use-signing-config=false", "--tlog-upload=false", blob)
	if err := CosignVerifyBlob(t, filepath.Join(folder, "ours.pub"), bundle, blob); err != nil {
		t.Error(err)
	}
	if CosignVerifyBlob(t, filepath.Join(folder, "theirs.pub"), bundle, blob) == nil {
		t.Error("accepted by a key that did not sign")
	}
	write(t, blob, []byte("what is signed!\n"))
	if CosignVerifyBlob(t, filepath.Join(folder, "ours.pub"), bundle, blob) == nil {
		t.Error("accepted another blob")
	}
}

func TestGpgvRefusesAnotherFileAndAnotherKey(t *testing.T) {
	gpg := tool.Path(t, "gpg")
	folder := t.TempDir()
	data := filepath.Join(folder, "data")
	write(t, data, []byte("what is signed\n"))
	for _, name := range []string{"ours", "theirs"} {
		user := name + "@list.example"
		sign(t, folder, gpg, "--batch", "--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never")
		sign(t, folder, gpg, "--batch", "--armor", "--output", name, "--export", user)
	}
	sign(t, folder, gpg, "--batch", "--armor", "--local-user", "ours@list.example", "--output", "data.asc",
		"--detach-sign", data)
	if err := Gpgv(t, filepath.Join(folder, "ours"), data+".asc", data); err != nil {
		t.Error(err)
	}
	if Gpgv(t, filepath.Join(folder, "theirs"), data+".asc", data) == nil {
		t.Error("accepted by a key that did not sign")
	}
	write(t, data, []byte("what is signed!\n"))
	if Gpgv(t, filepath.Join(folder, "ours"), data+".asc", data) == nil {
		t.Error("accepted another file")
	}
}

// sign runs a judge's own program to make what the judge is asked about.
func sign(t *testing.T, folder, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = folder
	cmd.Env = []string{"HOME=" + folder, "GNUPGHOME=" + folder, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD="}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(program), args, err, said)
	}
}

func flip(folder, path string, at int) error {
	name := filepath.Join(folder, path)
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if at >= len(data) {
		return errors.New(path + " is too short to be damaged there")
	}
	data[at] ^= 1
	return os.WriteFile(name, data, 0o644)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
