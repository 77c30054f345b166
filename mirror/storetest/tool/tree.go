package tool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Accounts are lines for passwd and group: the users of Debian's mail servers, for a root folder of a test's own.
func Accounts() (passwd, group string) { return accounts, groups }

// accounts are what the install scripts of Debian's mail servers make, and what their programs look for when they start.
const accounts = `postfix:x:7001:7001::/nonexistent:/usr/sbin/nologin
Debian-exim:x:7002:7002::/nonexistent:/usr/sbin/nologin
opensmtpd:x:7003:7003::/nonexistent:/usr/sbin/nologin
opensmtpq:x:7004:7004::/nonexistent:/usr/sbin/nologin
smmta:x:7005:7005::/nonexistent:/usr/sbin/nologin
smmsp:x:7006:7006::/nonexistent:/usr/sbin/nologin
`

const groups = `postfix:x:7001:
Debian-exim:x:7002:
opensmtpd:x:7003:
opensmtpq:x:7004:
smmta:x:7005:
smmsp:x:7006:
postdrop:x:7007:
`

// Tree returns the folder that the Debian packages behind name in tools.txt ("deb:…") were unpacked to, or the root of
// another Debian ("root:…"): usr/, etc/ and so on. Nothing is installed, since Debian's mail servers exclude each other and would take port 25. What happens when it
// is missing is as for Path.
func Tree(t testing.TB, name string) string {
	t.Helper()
	return Path(t, name)
}

// Command is the program at path below tree, with the libraries that were unpacked beside it. It sees its server's
// accounts, and this machine under a full name, without which sendmail waits for a minute: /etc/passwd, group and hosts
// are covered in a mount namespace of its own. That, and programs that give up privileges, takes root, or sudo without a
// password: without either the test is skipped, but fails when CI=true.
func Command(ctx context.Context, t testing.TB, tree, path string, args ...string) *exec.Cmd {
	t.Helper()
	return command(ctx, t, tree, nil, append([]string{filepath.Join(tree, path)}, args...))
}

// command takes the environment apart, for sudo passes none on.
func command(ctx context.Context, t testing.TB, tree string, env, args []string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	script := `for f in passwd group hosts; do mount --bind "$0/$f" /etc/$f || exit; done; exec env "$@"`
	host, _ := os.Hostname()
	for file, more := range map[string]string{"passwd": accounts, "group": groups, "hosts": fmt.Sprintf("127.0.0.1 %s.example %[1]s\n", host)} {
		own, err := os.ReadFile("/etc/" + file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), append([]byte(more), own...), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	words := append(AsRoot(ctx, t), "unshare", "-m", "sh", "-c", script, dir, "LD_LIBRARY_PATH="+strings.Join(libraries(tree), ":"))
	words = append(append(words, env...), args...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

// AsRoot begins a command line that takes root: it is empty, or sudo. Without either the test is skipped, but fails when
// CI=true.
func AsRoot(ctx context.Context, t testing.TB) []string {
	t.Helper()
	sudo := exec.CommandContext(ctx, "sudo", "-n", "true")
	switch {
	case os.Getuid() == 0:
		return nil
	case sudo.Run() == nil:
		return []string{"sudo", "-n"}
	case os.Getenv("CI") == "true":
		t.Fatal("needs root, or sudo without a password")
	}
	t.Skip("needs root, or sudo without a password")
	return nil
}

// libraries are the folders below tree that hold shared libraries.
func libraries(tree string) []string {
	var out []string
	for _, pattern := range []string{"usr/lib/postfix", "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		matches, err := filepath.Glob(filepath.Join(tree, pattern))
		if err == nil {
			out = append(out, matches...)
		}
	}
	return out
}
