package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// sandboxed: with nothing to write to but its state, without root and without a right, everything works, and what would
// write elsewhere fails and says so.
func sandboxed(t *testing.T, m *installed) {
	root := tool.AsRoot(t.Context(), t)
	const nobody = "65534"
	state := filepath.Join(m.dir, "state")
	script := `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs tmpfs /tmp
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
	case $place in "$1" | /tmp | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;; *) mount -o remount,bind,ro "$place" ;; esac
done
shift
exec setpriv --reuid ` + nobody + ` --regid ` + nobody + ` --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"`
	inside := func(args ...string) *exec.Cmd {
		words := append(slices.Clone(root), "unshare", "-m", "sh", "-c", script, "sh", state)
		words = append(words, args...)
		return exec.Command(words[0], words[1:]...)
	}
	if out, err := exec.Command("cp", "-r", state, state+".kept").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer os.RemoveAll(state + ".kept")
	own := append(slices.Clone(root), "chown", "-R", nobody+":"+nobody, state)
	if out, err := exec.Command(own[0], own[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer func() { // to whoever goes on with it
		back := append(slices.Clone(root), "chown", "-R", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), state)
		exec.Command(back[0], back[1:]...).Run()
	}()
	if out, err := inside("touch", filepath.Join(m.dir, "x")).CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only file system") {
		t.Fatalf("this is no sandbox: %v\n%s", err, out)
	}
	data, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(m.dir, "sandbox.toml")
	write := func(more string) {
		if err := os.WriteFile(config, append(slices.Clone(data), more...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table := "\n[postfix]\ntype = \"cdb\"\ndialect = \"floor\"\nmap = \"%s/table\"\n"
	write(fmt.Sprintf(table, state) + "[metrics]\ntextfile = \"" + state + "/x.prom\"\n[[export]]\nformat = \"hints\"\nfile = \"" + state + "/hints\"\n")
	for _, args := range [][]string{{"update"}, {"update", "--method", "snapshot"}, {"status"}, {"disable", "--reason", "x"}, {"enable"}, {"status", "--prometheus"}} {
		if out, err := inside(append([]string{m.program, "--config", config}, args...)...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{"table", "table.cdb", "x.prom", "hints", "update.json"} {
		info, err := os.Stat(filepath.Join(state, name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v; mail servers read it", name, info, err)
		}
	}
	// The daemon takes its socket from outside and keeps its cache.
	write(strings.Replace("[metrics]\ntextfile = \"STATE/x.prom\"\n", "STATE", state, 1))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	live := strings.Replace(string(text), `sources = ["list"]`, "resolver = \"127.0.0.1:9\"", 1) // nobody answers there
	if err := os.WriteFile(config, []byte(live), 0o644); err != nil {
		t.Fatal(err)
	}
	m.serveInside(inside, config)
	if !exists(filepath.Join(state, policiesFile)) {
		t.Error("the daemon's cache was not saved")
	}
	write(fmt.Sprintf(table, m.dir))
	if out, err := inside(m.program, "--config", config, "update").CombinedOutput(); err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("a table outside: %v\n%s", err, out)
	}
}

// serveInside starts the daemon in the sandbox, asks it and stops it.
func (m *installed) serveInside(inside func(...string) *exec.Cmd, config string) {
	t := m.t
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var log lockedLog
	cmd := inside("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", m.program, "--config", config, "serve")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{file}, &log
	if cmd.Args[0] == "sudo" {
		cmd.Args = slices.Insert(cmd.Args, 1, "-C", "4") // else it closes the socket
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := askOnce("tcp", l.Addr().String(), "floor a.example"); err != nil || got != "OK "+listedAnswer {
		t.Errorf("%q, %v", got, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%v\n%s", err, log.String())
	}
}
