package tool

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// SecondReader runs the reader of our formats in Python, schema/testdata/reader, which was written from schema/README.md, and
// returns what it prints and whether it was content. It runs with Debian's own Python, which has Debian's library; where that
// is missing the test is skipped, and fails in CI.
func SecondReader(t testing.TB, args ...string) (out string, content bool) {
	t.Helper()
	NeedSecondReader(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", append([]string{"-B", filepath.Join(moduleRoot(t), "schema/testdata/reader")}, args...)...)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("%v\n%s", err, said)
	}
	return string(said), err == nil
}

// NeedSecondReader skips the test, or fails it in CI, where SecondReader cannot run.
func NeedSecondReader(t testing.TB) {
	t.Helper()
	Path(t, "python3") // its stage was asked for
	for _, file := range []string{"/usr/bin/python3", "/usr/lib/python3/dist-packages/cryptography/__init__.py"} {
		if _, err := os.Stat(file); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%v (.github/check.sh judges installs it)", err)
		} else if err != nil {
			t.Skipf("%v (.github/check.sh judges installs it)", err)
		}
	}
}

// moduleRoot is the folder of go.mod, above the one that the test runs in.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above")
		}
	}
}
