package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startedDaemon is a "serve" that a script has started.
type startedDaemon struct {
	cmd *exec.Cmd
	dir string
	log lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// daemons are by the folder of the script.
var daemons sync.Map

// scriptPatience is how long anything that happens at once may take on a machine that has other things to do.
const scriptPatience = time.Minute

func scriptDaemon(ts *testscript.TestScript, neg bool, args []string) {
	path := filepath.Join(ts.Getenv("WORK"), ".bin", "starttls-policy")
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, "starttls-policy"); exists(p) {
			path = p
			break
		}
	}
	d := &startedDaemon{cmd: exec.Command(path, append([]string{"serve"}, args...)...), dir: ts.MkAbs(".")}
	d.cmd.Dir, d.cmd.Stderr = d.dir, &d.log
	d.cmd.Env = append(os.Environ(), "NOW="+ts.Getenv("NOW"))
	ts.Check(d.cmd.Start())
	ts.Defer(func() { d.end(os.Kill) })
	ended := make(chan struct{})
	go func() {
		d.cmd.Wait()
		close(ended)
	}()
	if up := eventually(func() bool { return strings.Contains(d.log.String(), "listening") }, ended); up == neg {
		ts.Fatalf("serve %q: listening %v\n%s", args, up, d.log.String())
	}
	if !neg {
		daemons.Store(d.dir, d)
		return
	}
	<-ended
	ts.Check(os.WriteFile(ts.MkAbs("daemon.log"), []byte(d.log.String()), 0o644))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eventually waits for ready, or for the end.
func eventually(ready func() bool, ended <-chan struct{}) bool {
	deadline := time.After(scriptPatience)
	for !ready() {
		select {
		case <-ended:
			return ready()
		case <-deadline:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return true
}

func (d *startedDaemon) end(signal os.Signal) {
	d.cmd.Process.Signal(signal)
	eventually(func() bool { return d.cmd.Process.Signal(syscall.Signal(0)) != nil }, nil)
}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	value, ok := daemons.Load(ts.MkAbs("."))
	if neg || !ok || len(args) != 1 || args[0] != "-9" && args[0] != "-TERM" {
		ts.Fatalf("usage: enddaemon -9|-TERM, after daemon")
	}
	d := value.(*startedDaemon)
	if args[0] == "-9" {
		d.end(os.Kill)
	} else {
		d.end(syscall.SIGTERM)
	}
	ts.Check(os.WriteFile(ts.MkAbs("daemon.log"), []byte(d.log.String()), 0o644))
}

func scriptAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: ask ADDRESS MAP KEY WANT")
	}
	network, address := listenPlace(args[0]).split()
	if network == "unix" {
		address = ts.MkAbs(address)
	}
	var got string
	var err error
	right := eventually(func() bool {
		if got, err = askOnce(network, address, args[1]+" "+args[2]); err != nil {
			return false
		}
		head, open := strings.CutSuffix(args[3], "…")
		return got == args[3] || open && strings.HasPrefix(got, head)
	}, nil)
	if !right {
		ts.Fatalf("%s %s: %q, %v, want %q", args[1], args[2], got, err, args[3])
	}
}

// askOnce speaks the protocol without the package under test.
func askOnce(network, address, request string) (string, error) {
	c, err := net.DialTimeout(network, address, scriptPatience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(scriptPatience))
	if _, err := fmt.Fprintf(c, "%d:%s,", len(request), request); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	var n int
	if _, err := fmt.Fscanf(r, "%d:", &n); err != nil {
		return "", err
	}
	reply := make([]byte, n+1)
	if _, err := io.ReadFull(r, reply); err != nil {
		return "", err
	}
	if reply[n] != ',' {
		return "", fmt.Errorf("%q does not end with a comma", reply)
	}
	return strings.TrimRight(string(reply[:n]), " "), nil
}
