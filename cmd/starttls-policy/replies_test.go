package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// sameEntries are 200 domains, which every release has, and one that tells the releases apart.
func sameEntries(release int) []byte {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "%q: {\"mode\": %q, \"mxs\": [\"mx%d.example\", \".p%[3]d.example\"]},\n", fmt.Sprintf("d%03d.example", i), []string{"enforce", "testing"}[i%5/4], i)
	}
	return fmt.Appendf(nil, "{\"policies\": {\n%s\"release.example\": {\"mode\": \"enforce\", \"mxs\": [\"mx%d.release.example\"]}\n}}\n", b.String(), release)
}

// TestRepliesAreTheSameBytes: for 1,000 questions in every dialect to the real daemon, over the reload of a release and over a
// restart, after SIGTERM and after SIGKILL.
func TestRepliesAreTheSameBytes(t *testing.T) {
	m := newMachine(t, "[serve]\nlisten = [\"unix:DIR/sock\"]\nsources = [\"list\"]\nupdate = \"off\"\n")
	release := func(n int, at string, more ...string) {
		t.Helper()
		if _, err := publish(t.Context(), m.dir+"/operator", m.dir+"/public", at, sameEntries(n)); err != nil {
			t.Fatal(err)
		}
		m.runs(0, append([]string{"update"}, more...)...)
	}
	release(2, "2026-03-01T12:10:00Z", "--accept", "2") // 200 domains at once are held back else
	end := m.starts()
	first, rnd, asked := map[string]string{}, rand.New(rand.NewPCG(1, 2)), 0
	ask := func(n int) {
		t.Helper()
		for range n {
			request := []string{"legacy", "sni", "floor", "tlsrpt", "QUERY"}[rnd.IntN(5)] + fmt.Sprintf(" d%03d.example", rnd.IntN(250))
			reply, err := askOnce("unix", filepath.Join(m.dir, "sock"), request)
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := first[request]; ok && before != reply {
				t.Fatalf("%s: %q, then %q", request, before, reply)
			}
			first[request] = reply
			asked++
		}
	}
	awaits := func(n int) {
		t.Helper()
		want := fmt.Sprintf("OK secure match=mx%d.release.example", n)
		if !eventually(func() bool {
			reply, err := askOnce("unix", filepath.Join(m.dir, "sock"), "legacy release.example")
			return err == nil && reply == want
		}, nil) {
			t.Fatalf("release %d is not in force", n)
		}
	}
	awaits(2)
	ask(400)
	release(3, "2026-03-01T12:20:00Z")
	awaits(3)
	ask(200)
	end(syscall.SIGTERM)
	end = m.starts()
	ask(200)
	end(syscall.SIGKILL)
	end = m.starts()
	ask(200)
	end(syscall.SIGTERM)
	if asked != 1000 || len(first) < 500 {
		t.Errorf("%d questions, %d different", asked, len(first))
	}
}

// starts starts the real daemon and waits until it listens.
func (m *machine) starts() (end func(os.Signal)) {
	m.t.Helper()
	var log lockedLog
	cmd := exec.Command("starttls-policy", "serve", "--config", m.configPath) // that of TestMain
	cmd.Env = append(os.Environ(), "NOW="+stamp(m.at))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	end = func(s os.Signal) {
		cmd.Process.Signal(s)
		<-ended
	}
	m.t.Cleanup(func() { end(os.Kill) })
	if !eventually(func() bool { return strings.Contains(log.String(), "listening") }, ended) {
		m.t.Fatalf("it does not listen:\n%s", log.String())
	}
	return end
}
