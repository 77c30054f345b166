package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/policy"
)

// updateCalls are the system calls by which an update writes each file that lasts: its rename or link, and the fsync of
// its folder afterwards.
var updateCalls = []struct{ call, path string }{
	{"/^rename", "var/example/trust/1.copy"}, // which is missing
	{"fsync", "var/example/trust"},
	{"/^link", "var/example/kept/DIGEST.json"}, // of the list before
	{"/^rename", "var/example/kept/DIGEST.tlog-proof"},
	{"/^link", "var/example/policy.old.json"},
	{"/^rename", "var/example/policy.json"},
	{"/^rename", "var/example/policy.json.tlog-proof"},
	{"fsync", "var/example"},
	{"/^rename", "var/postfix-tls-policy"},
	{"/^rename", "var/example/state.old.json"},
	{"/^rename", "var/example/state.json"},
	{"/^rename", "var/update.json"},
	{"fsync", "var"},
}

// TestFiguresCrashClient kills the program of a mail server at the system calls of an update, or lets them fail. Postfix
// has the old table or the new one, whole, and the next update is right.
func TestFiguresCrashClient(t *testing.T) {
	tracer, w := strace.Find(t), newCrashWorld(t)
	digest, clean, base := fmt.Sprintf("%x", sha256.Sum256(w.base.read("var/example/policy.json"))), w.clean, w.base
	var points, fired atomic.Int64
	t.Run("points", func(t *testing.T) {
		for _, call := range updateCalls {
			for _, inject := range []string{"signal=KILL", "error=EIO"} {
				t.Run(call.call+" "+call.path+" "+inject, func(t *testing.T) {
					t.Parallel()
					c := copyClient(t, base.dir)
					path := strings.Replace(call.path, "DIGEST", digest, 1)
					p := strace.Point{Path: filepath.Join(c.dir, path), Call: call.call, Inject: inject}
					r := strace.Run(t, tracer, p, w.program, c.arguments("update")...)
					points.Add(1)
					if r.Fired && r.Killed == (inject == "signal=KILL") {
						fired.Add(1)
					} else {
						t.Errorf("fired %v, killed %v:\n%s", r.Fired, r.Killed, r.Output)
					}
					for _, name := range []string{"var/postfix-tls-policy", "var/example/policy.json"} {
						if got := c.read(name); !bytes.Equal(got, base.read(name)) && !bytes.Equal(got, clean.read(name)) {
							t.Errorf("%s is neither the old nor the new one:\n%s", name, got)
						}
					}
					c.run(w.program, 0, "update")
					for _, name := range []string{"var/postfix-tls-policy", "var/example/policy.json", "var/example/trust/1.copy"} {
						if !bytes.Equal(c.read(name), clean.read(name)) {
							t.Errorf("after the next update %s is not the new one", name)
						}
					}
				})
			}
		}
	})
	t.Logf("figures: client crash points at system calls %d, fired %d", points.Load(), fired.Load())
}

// crashWorld is a program and a mail server's folder, before and after an update that brings two domains more.
type crashWorld struct {
	program     string
	base, clean client
}

func newCrashWorld(t *testing.T) crashWorld {
	t.Helper()
	home := t.TempDir()
	w := crashWorld{program: filepath.Join(t.TempDir(), "starttls-policy"), base: client{t, filepath.Join(home, "client")}}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", w.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(policy.TimeFormat) }
	operator, public := filepath.Join(home, "operator"), filepath.Join(home, "public")
	fingerprint, err := publish(context.Background(), operator, public, at(time.Hour), bulk(20, "mx"))
	if err != nil {
		t.Fatal(err)
	}
	w.base.run(w.program, 0, "join", public, "--fingerprint", fingerprint, "--name", "example", "--state", filepath.Join(w.base.dir, "var"))
	if err := os.Remove(filepath.Join(w.base.dir, "var", "example", "trust", "1.copy")); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(context.Background(), operator, public, at(0), bulk(22, "mx")); err != nil {
		t.Fatal(err)
	}
	w.clean = copyClient(t, w.base.dir)
	w.clean.run(w.program, 0, "update")
	return w
}

// client is a mail server's folder: c.toml, and the state in var.
type client struct {
	t   *testing.T
	dir string
}

// copyClient copies the folder; paths in its configuration go along.
func copyClient(t *testing.T, from string) client {
	t.Helper()
	c := client{t, filepath.Join(t.TempDir(), "client")}
	if err := os.CopyFS(c.dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(c.read("c.toml")), from, c.dir)
	if err := os.WriteFile(filepath.Join(c.dir, "c.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c client) arguments(args ...string) []string {
	return append(args, "--config", filepath.Join(c.dir, "c.toml"))
}

func (c client) read(name string) []byte {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}
