package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// TestProbeFlagsUpFront: what cannot come to a good end is refused before anybody is asked; the servers are not there.
func TestProbeFlagsUpFront(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "file", nil)
	for _, err := range []error{os.Mkdir("folder", 0o755), syscall.Mkfifo("pipe", 0o600), os.Symlink("file", "link"), os.Symlink("nowhere", "dangling"),
		os.Symlink("file", "taken.partial"), unix.Mknod("socket", unix.S_IFSOCK|0o600, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, says, not string }{
		{"--out folder", "folder is a folder", ""},
		{"--out pipe", "pipe is a named pipe", ""},
		{"--out link", "link is a symbolic link", ""},
		{"--out dangling", "dangling is a symbolic link", ""},
		{"--out socket", "socket is a special file", ""},
		{"--out nowhere/x", "nowhere/x cannot be made", ""},
		{"--out file/x", "file/x", ""},
		{"--out taken --resume", "taken.partial is a symbolic link", ""},
		{"--out x --vantage-key k", "say which with --vantage", ""},
		{"--vantage north\n", "names of vantage and tool", "give --ehlo"},
		{"--ehlo localhost", "give --ehlo", ""},
		{"--timeout 999ms", "--timeout", ""},
		{"--timeout 61m", "--timeout", ""},
		{"--timeout 0", "--timeout", ""},
		{"--expiry-warning -1s", "--expiry-warning", ""},
		{"--smtp-port 0", "--smtp-port", ""},
		{"--https-port 0", "--https-port", ""},
	} {
		args := append(strings.Split(c.args, " "), "--allow-loopback", "--resolver", "127.0.0.1:1", "good.example")
		code, out, errs := probeCommand(t, args...)
		if code != exitUsage || out != "" || !strings.Contains(errs, c.says) || c.not != "" && strings.Contains(errs, c.not) {
			t.Errorf("%s: exit %d: %s%s", c.args, code, out, errs)
		}
	}
	if left, err := filepath.Glob("*.tmp"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOutKinds: a device is looked at, but no command is given one: a check that is broken would replace it when root
// runs the tests.
func TestOutKinds(t *testing.T) {
	for path, says := range map[string]string{"/dev/null": "/dev/null is a device", t.TempDir(): "is a folder"} {
		if err := checkOut(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := checkOut(filepath.Join(t.TempDir(), "x")); err != nil {
		t.Error(err)
	}
}

// TestMergeOutUpFront: the same places are refused by merge, and stay what they are.
func TestMergeOutUpFront(t *testing.T) {
	t.Chdir(t.TempDir())
	twoVantages(t)
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", "link"); err != nil {
		t.Fatal(err)
	}
	for place, says := range map[string]string{
		".": "is a folder", "pipe": "is a named pipe", "link": "is a symbolic link", "nowhere/x": "cannot be made",
	} {
		code, out, errs := probeCommand(t, "merge", "north.jsonl", "south.jsonl", "--quorum", "1", "--out", place)
		if code != exitUsage || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%s: exit %d: %s%s", place, code, out, errs)
		}
	}
	if info, err := os.Lstat("link"); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
}

// TestEvidenceOnAFullDisk: nobody called the command wrongly when standard output is full.
func TestEvidenceOnAFullDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	twoVantages(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here: ", err)
	}
	defer full.Close()
	for _, args := range []string{"merge north.jsonl south.jsonl --quorum 1", "merge north.jsonl south.jsonl --quorum 1 --out x", "history north.jsonl"} {
		var errs bytes.Buffer
		code := run(t.Context(), append([]string{"probe"}, strings.Fields(args)...), strings.NewReader(""), full, &errs)
		if code != exitInternal || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit %d: %s", args, code, errs.String())
		}
	}
}

// stopAtLine stops a command when it prints.
type stopAtLine struct{ stop context.CancelFunc }

func (s stopAtLine) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

// TestProbeInterrupted: who stops a scan is told how far it was and how it can go on.
func TestProbeInterrupted(t *testing.T) {
	p := startProbeLab(t)
	if err := p.SetBehaviour("mx.grey.example", lab.Hanging); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		hint string
	}{
		{nil, "with --out FILE --resume a scan can go on"},
		{[]string{"--resume", "--out", p.path("e.jsonl")}, "run the same again with --resume"},
	} {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var errs bytes.Buffer
		args := append(append([]string{}, p.flags...), append(c.args, "good.example", "grey.example")...)
		code := run(ctx, args, strings.NewReader(""), stopAtLine{stop}, &errs)
		want := "starttls-list: error: interrupted after 1 of 2 domains\nstarttls-list: hint: " + c.hint + "\n"
		if code != exitInternal || errs.String() != want {
			t.Errorf("%v: exit %d: %s", c.args, code, errs.String())
		}
	}
}
