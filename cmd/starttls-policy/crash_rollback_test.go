package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
)

// rollbackCalls are the system calls by which going back, and going forth again, writes what lasts.
var rollbackCalls = []struct {
	undo       bool
	call, path string
}{
	{false, "/^rename", "var/example/pin.json"},
	{false, "fsync", "var/example"},
	{false, "/^rename", "var/postfix-tls-policy"},
	{true, "/^unlink", "var/example/pin.json"},
	{true, "fsync", "var/example"},
	{true, "/^rename", "var/postfix-tls-policy"},
}

// TestFiguresCrashRollback kills "rollback" at its system calls, or lets them fail. Postfix has the old table or the new
// one, whole; what was asked for counts from the moment at which the pin is there or gone, and the next update writes
// the table by it.
func TestFiguresCrashRollback(t *testing.T) {
	tracer := strace.Find(t)
	w := newCrashWorld(t)
	forth := copyClient(t, w.clean.dir)
	back := copyClient(t, forth.dir)
	back.run(w.program, 0, "rollback", "--reason", "x")
	if bytes.Equal(back.read("var/postfix-tls-policy"), forth.read("var/postfix-tls-policy")) {
		t.Fatal("the two lists have the same table")
	}
	fired := 0
	for _, p := range rollbackCalls {
		for _, inject := range []string{"signal=KILL", "error=EIO"} {
			t.Run(p.call+" "+p.path+" "+inject, func(t *testing.T) {
				from, args := forth, []string{"rollback", "--reason", "x"}
				if p.undo {
					from, args = back, []string{"rollback", "--undo"}
				}
				c := copyClient(t, from.dir)
				point := strace.Point{Path: filepath.Join(c.dir, p.path), Call: p.call, Inject: inject}
				r := strace.Run(t, tracer, point, w.program, c.arguments(args...)...)
				if r.Fired && r.Killed == (inject == "signal=KILL") {
					fired++
				} else {
					t.Errorf("fired %v, killed %v:\n%s", r.Fired, r.Killed, r.Output)
				}
				table := c.read("var/postfix-tls-policy")
				if !bytes.Equal(table, back.read("var/postfix-tls-policy")) && !bytes.Equal(table, forth.read("var/postfix-tls-policy")) {
					t.Errorf("the table is neither of the two:\n%s", table)
				}
				want, code := forth, 0
				if exists(filepath.Join(c.dir, "var/example/pin.json")) {
					want, code = back, exitStale
				}
				c.run(w.program, code, "update")
				if !bytes.Equal(c.read("var/postfix-tls-policy"), want.read("var/postfix-tls-policy")) {
					t.Errorf("after the next update the table is not that of the list in force (put back: %v)", code != 0)
				}
			})
		}
	}
	t.Logf("figures: rollback crash points at system calls %d, fired %d", 2*len(rollbackCalls), fired)
}

// run runs a command that must end with this code.
func (c client) run(program string, code int, args ...string) {
	c.t.Helper()
	cmd := exec.Command(program, c.arguments(args...)...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("%v: exit code %d, want %d\n%s", args, got, code, out)
	}
}
