package witnesstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/transparency/witness/loopback"
)

// StartLitewitness starts torchwood's witness for one log. Its key lives in an ssh-agent, which the test is, and the log
// is entered in its database with the sqlite3 program. Without either program the test is skipped, or fails (see package
// tool).
func StartLitewitness(t testing.TB, logVKey, origin string) *Process {
	t.Helper()
	program, sqlite := tool.Path(t, "litewitness"), tool.Path(t, "sqlite3")
	// A socket's path has at most 107 bytes; the test's own folder may be longer.
	dir, err := os.MkdirTemp("", "litewitness")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	serveAgent(t, socket, private)
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	const name = "lite.witness.example"
	address := tool.FreePort(t)
	p := &Process{Name: "lite", VKey: loopback.VKey(name, public), URL: "http://" + address, DB: filepath.Join(dir, "witness.db")}
	enter := exec.Command(sqlite, p.DB)
	enter.Stdin = logRow(t, origin, logVKey)
	if out, err := enter.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	p.command = func() *exec.Cmd {
		return exec.Command(program, "-name", name, "-db", p.DB, "-ssh-agent", socket, "-listen", address, "-key", ssh.FingerprintSHA256(key))
	}
	p.Start(t)
	return p
}

// logRow is the script that makes litewitness's tables, as it would itself, and enters a log that it has not seen yet.
func logRow(t testing.TB, origin, vkey string) *os.File {
	t.Helper()
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log.sql")
	write(t, path, fmt.Sprintf(`CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));
INSERT INTO log VALUES ('%s', 0, '%s');
INSERT INTO key VALUES ('%s', '%s');
`, origin, empty, origin, vkey))
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// serveAgent answers as an ssh-agent that holds one key, until the test ends.
func serveAgent(t testing.TB, socket string, key ed25519.PrivateKey) {
	t.Helper()
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				agent.ServeAgent(keys, c) // ends with the connection
			}()
		}
	}()
}
