package witnesstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/transparency/witness/loopback"
)

// StartOmniwitness starts transparency.dev's witness for one log, whose vkey's name is its origin. Without the program
// the test is skipped, or fails (see package tool). It takes the first tree of a log that it sees on trust.
func StartOmniwitness(t testing.TB, logVKey, origin string) *Process {
	t.Helper()
	program := tool.Path(t, "omniwitness")
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const name = "omni.witness.example"
	typed := append([]byte{1}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), typed...))
	key := fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...)))
	logs := fmt.Sprintf("Logs:\n  - Origin: %s\n    URL: http://log.example/\n    PublicKey: %s\n    Feeder: none\n", origin, logVKey)
	write(t, filepath.Join(dir, "key"), key)
	write(t, filepath.Join(dir, "logs.yaml"), logs)
	address := tool.FreePort(t)
	p := &Process{Name: "omni", VKey: loopback.VKey(name, public), URL: "http://" + address, DB: filepath.Join(dir, "witness.db")}
	p.command = func() *exec.Cmd {
		return exec.Command(program, "--listen", address, "--metrics_listen=", "--db_file", p.DB,
			"--private_key_path", filepath.Join(dir, "key"), "--additional_logs", filepath.Join(dir, "logs.yaml"))
	}
	p.Start(t)
	return p
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
