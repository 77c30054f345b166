package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// monitorProcess is starttls-list monitor in a process of its own, which the test binary becomes (see TestMain).
func monitorProcess(args ...string) *exec.Cmd {
	return &exec.Cmd{Path: os.Args[0], Args: append([]string{"starttls-list", "monitor"}, args...), Env: os.Environ()}
}

// killer serves a mirror and kills whoever asks, when it asks for the nth time.
type killer struct {
	files http.Handler

	mu    sync.Mutex
	asked int
	at    int // 0: never
	who   *os.Process
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.asked++
	if k.asked == k.at {
		k.who.Signal(syscall.SIGKILL)
	}
	k.mu.Unlock()
	k.files.ServeHTTP(w, r)
}

// run starts the monitor and returns its exit code, -1 when it was killed.
func (k *killer) run(t *testing.T, at int, args ...string) int {
	t.Helper()
	cmd := monitorProcess(args...)
	k.mu.Lock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k.asked, k.at, k.who = 0, at, cmd.Process
	k.mu.Unlock()
	cmd.Wait() // the exit code tells
	return cmd.ProcessState.ExitCode()
}

// A monitor is killed at each of its requests, in the middle of a delivery, and between its two files. Whatever the point,
// the next run tells everything that was not told, in the same words, and the one after that nothing.
func TestMonitorKilledAtEachPoint(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("sh is missing")
	}
	op := newOperator(t)
	op.release(3)
	k := &killer{files: http.FileServer(http.Dir(op.public()))}
	server := httptest.NewServer(k)
	defer server.Close()
	work := t.TempDir()
	state, told := filepath.Join(work, "state"), filepath.Join(work, "told")
	put(t, filepath.Join(work, "hook"), []byte("cat >>\"$1\"\n"))
	put(t, filepath.Join(work, "kill"), []byte("cat >>\"$1\"\nkill -9 $PPID\n"))
	args := func(hook string) []string {
		return []string{server.URL, "--trust", op.path("trust/1"), "--state", state, "--evidence", work, "--on-alert", "sh " + filepath.Join(work, hook) + " " + told}
	}
	if code := k.run(t, 0, args("hook")...); code != 0 {
		t.Fatalf("the first look: exit code %d", code)
	}
	op.write("mx.d0.example")
	op.release(0)

	start := files(t, work)
	restore := func() {
		t.Helper()
		for name, data := range start {
			put(t, filepath.Join(work, name), []byte(data))
		}
		put(t, told, nil)
	}
	// undisturbed run: how many requests, and what is told.
	restore()
	if code := k.run(t, 0, args("hook")...); code != exitFail {
		t.Fatalf("an undisturbed run: exit code %d", code)
	}
	requests, want, end := k.asked, toldIDs(t, told), files(t, work)
	if requests < 3 || len(want) != 2 {
		t.Fatalf("%d requests, told %v", requests, want)
	}
	after := func(point string, repeats bool) {
		t.Helper()
		before := len(toldIDs(t, told))
		if before > 0 != repeats {
			t.Errorf("%s: %d alerts were told before", point, before)
		}
		if code := k.run(t, 0, args("hook")...); code != exitFail {
			t.Errorf("%s: the next run: exit code %d", point, code)
		}
		if got := toldIDs(t, told)[before:]; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: told %v, want %v", point, got, want)
		}
		if code := k.run(t, 0, args("hook")...); code != 0 {
			t.Errorf("%s: the run after that: exit code %d", point, code)
		}
	}
	for at := 1; at <= requests; at++ {
		restore()
		if code := k.run(t, at, args("hook")...); code != -1 {
			t.Fatalf("request %d: not killed, exit code %d", at, code)
		}
		after("at a request", false)
	}
	restore()
	if code := k.run(t, 0, args("kill")...); code != -1 {
		t.Fatalf("delivery: not killed, exit code %d", code)
	}
	after("in the middle of a delivery", true)
	restore() // the list was written, the state was not
	put(t, state+".list", []byte(end["state.list"]))
	after("between list and state", false)
	t.Logf("killed at %d points", requests+2)
}

// toldIDs are the IDs of the alerts that a hook has appended to a file.
func toldIDs(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(data)) {
		var m struct{ Alerts []struct{ ID string } }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Alerts {
			ids = append(ids, a.ID)
		}
	}
	return ids
}
