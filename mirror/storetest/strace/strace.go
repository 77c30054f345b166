// Package strace runs a program that dies, or gets an error, at a system call on one file. Only tests import it.
//
// The file says which call is meant, never a count: strace counts per thread, and Go moves between threads.
package strace

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Point is a system call that goes wrong. The signal KILL comes before the call is carried out.
type Point struct {
	Path   string // absolute; or, for programs that open below a folder, the last element
	Call   string // system call, or a regular expression behind a slash: "/^rename"
	Inject string // "signal=KILL", "error=EIO"
}

func (p Point) String() string {
	return strings.Trim(p.Call, "/^") + " " + p.Path[strings.LastIndexByte(p.Path, '/')+1:] + " " + p.Inject
}

// Result is how the program ended.
type Result struct {
	Fired  bool // the point was reached, and what was to go wrong there did
	Killed bool
	Output string
}

// Find returns the path of strace. It skips the test where processes may not be traced.
func Find(t testing.TB) string {
	t.Helper()
	strace := tool.Path(t, "strace")
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("processes may not be traced here: %v: %s", err, out)
	}
	return strace
}

// Run runs a program with a point. Its environment is this process's.
func Run(t testing.TB, strace string, p Point, program string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	trace := filepath.Join(t.TempDir(), "trace")
	options := []string{"-f", "-o", trace, "-P", p.Path, "-e", "trace=" + p.Call, "-e", "inject=" + p.Call + ":" + p.Inject, program}
	out, err := exec.CommandContext(ctx, strace, append(options, args...)...).CombinedOutput()
	r := Result{Output: string(out)}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s: %v: %s", p, err, out)
	}
	if exit != nil {
		status, ok := exit.Sys().(syscall.WaitStatus)
		r.Killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	said, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	r.Fired = r.Killed && strings.Contains(string(said), "killed by SIGKILL") || strings.Contains(string(said), "(INJECTED)")
	return r
}
