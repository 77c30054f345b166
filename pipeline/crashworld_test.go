package pipeline_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// crashWorld is an operator whose publisher is a process that can be killed, its mirrors, and two clients of each that ask
// again and again. What is wrong is counted by what it would mean, and fails the test.
type crashWorld struct {
	t       testing.TB
	program string // of testdata/publisher
	home    string
	names   []string
	stores  []*dir.Reader
	clients []*mirror.Client
	now     time.Time

	args    []string          // more of the program's arguments
	env     []string          // more of its environment
	started func(*os.Process) // is told of each process; may be nil
	state   func() string     // the folder of the state, or of a copy; nil: it is the operator's
	sets    map[string]int    // how often the log sets domains, where not once

	held   map[int64][32]byte // SHA-256 of the list that clients held under each release number
	trees  map[tlog.Tree]bool // of all checkpoints that a mirror showed
	number map[string]int64   // the newest release that the client in each folder held
	wrong  verdict
}

// verdict counts what must not be.
type verdict struct{ lost, doubled, forks, clients int }

func (v *verdict) add(o verdict) {
	v.lost, v.doubled, v.forks, v.clients = v.lost+o.lost, v.doubled+o.doubled, v.forks+o.forks, v.clients+o.clients
}

// fail counts one thing that is wrong.
func (w *crashWorld) fail(count *int, format string, args ...any) {
	w.t.Helper()
	*count++
	w.t.Errorf(format, args...)
}

// crashFill is how many entries the list has beside the example's: the release that is interrupted crosses the first
// full tile.
const crashFill = 240

// newCrashWorld makes the list's first releases, on all mirrors.
func newCrashWorld(t testing.TB, program string, names ...string) *crashWorld {
	t.Helper()
	o := newOperator(t)
	w := &crashWorld{t: t, program: program, home: o.dir, names: names, now: o.now}
	w.begin()
	return w
}

// begin makes the first releases, and lets the clients join.
func (w *crashWorld) begin() {
	w.t.Helper()
	w.change("fill", crashFill)
	w.finish()
	w.change("second", 1)
	w.finish()
	w.join()
}

// join lets the clients begin.
func (w *crashWorld) join() {
	w.t.Helper()
	w.open()
	for _, c := range w.clients {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
		if _, err := mirror.Join(w.t.Context(), c.Dir, c.Sources[0].Reader, w.chain().Versions()[0].Digest()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.poll()
}

// copy is the same world in another folder.
func (w *crashWorld) copy(t testing.TB) *crashWorld {
	t.Helper()
	c := &crashWorld{t: t, program: w.program, home: memoryDir(t), names: w.names, now: w.now, args: w.args, sets: w.sets}
	if err := os.CopyFS(c.home, os.DirFS(w.home)); err != nil {
		t.Fatal(err)
	}
	c.open()
	c.poll()
	return c
}

// memoryDir is a folder in memory, where there is one: what a process has written before it was killed is not lost, on
// whatever disk, and the many fsyncs cost nothing there.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "crash-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// open opens the mirrors and the two clients of each, which update in different ways.
func (w *crashWorld) open() {
	w.t.Helper()
	w.held, w.trees, w.number = map[int64][32]byte{}, map[tlog.Tree]bool{}, map[string]int64{}
	for _, name := range w.names {
		r, err := dir.OpenReader(filepath.Join(w.home, name))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { r.Close() })
		w.stores = append(w.stores, r)
		for _, method := range []mirror.Method{mirror.Auto, mirror.Snapshot} {
			w.clients = append(w.clients, &mirror.Client{
				Dir: filepath.Join(w.home, "client", name+string(method)), Sources: []mirror.Source{{Name: name, Reader: r}},
				Method: method, Now: func() time.Time { return w.now }, Log: quiet(),
			})
		}
	}
}

// change puts n new domains into the source.
func (w *crashWorld) change(name string, n int) {
	w.t.Helper()
	var entries []string
	for i := range n {
		entries = append(entries, fmt.Sprintf(`"%s%d.example":{"mode":"testing","mxs":["mx.%s%d.example"]}`, name, i, name, i))
	}
	text := `{"policies":{` + strings.Join(entries, ",\n") + `}}`
	if err := os.WriteFile(filepath.Join(w.home, pipeline.SourceDir, "domains", name+".json"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// crashHangs is how long a process may take from one moment to the next.
const crashHangs = 2 * time.Minute

// crashRun is how the process is to run.
type crashRun struct {
	down, point, mode string
	at                func(moment string) // sees every moment while the process waits; may be nil
}

// crashEnd is how it ended.
type crashEnd struct {
	moments []string
	held    []string // "domain code…", by the gate
	killed  bool
	lied    bool
	err     error // with what it said, where it ended by itself with an error
}

// run runs the publisher once, an hour later.
func (w *crashWorld) run(r crashRun) crashEnd {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	args := []string{"-home", w.home, "-now", w.now.Format(policy.TimeFormat), "-down", r.down, "-point", r.point, "-mode", r.mode}
	cmd := exec.CommandContext(ctx, w.program, append(append(args, w.args...), w.names...)...)
	cmd.Env = append(os.Environ(), w.env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		w.t.Fatal(err)
	}
	if w.started != nil {
		w.started(cmd.Process)
	}
	hangs := time.AfterFunc(crashHangs, cancel)
	defer hangs.Stop()
	var end crashEnd
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, name, _ := strings.Cut(lines.Text(), " ")
		end.lied = end.lied || what == "lied"
		switch what {
		case "at":
			end.moments = append(end.moments, name)
		case "held":
			end.held = append(end.held, name)
		}
		hangs.Stop() // what the clients take is not its time
		if r.at != nil {
			r.at(lines.Text())
		}
		hangs.Reset(crashHangs)
		io.WriteString(in, "\n") // a process that is dead does not read it
	}
	if err := cmd.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			w.t.Fatal(err)
		}
		status, ok := exit.Sys().(syscall.WaitStatus)
		if end.killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL && ctx.Err() == nil; !end.killed {
			end.err = fmt.Errorf("%w: %s", err, said.String())
		}
	}
	return end
}

// finish is a run that nothing goes wrong in. A mirror's clients look whenever one of its mutable objects has changed.
func (w *crashWorld) finish(down ...string) {
	w.t.Helper()
	r := crashRun{down: strings.Join(down, ""), at: func(moment string) {
		for _, c := range w.clients {
			if strings.HasPrefix(moment, "after "+c.Sources[0].Name+".put.") {
				w.update(c)
			}
		}
	}}
	if end := w.run(r); end.killed || end.err != nil {
		w.fail(&w.wrong.lost, "started again: killed %v, %v", end.killed, end.err)
	}
}

// poll lets every client update, and remembers what each mirror shows.
func (w *crashWorld) poll() {
	w.t.Helper()
	for _, c := range w.clients {
		w.update(c)
	}
	w.look()
}

// update lets one client update, and remembers what it holds.
func (w *crashWorld) update(c *mirror.Client) {
	w.t.Helper()
	name := c.Sources[0].Name
	out, err := c.Update(w.t.Context())
	if err != nil || len(out.Problems) > 0 {
		w.fail(&w.wrong.clients, "a client of %s: %v %v", name, err, out.Problems)
		return
	}
	data, err := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath))
	if err != nil {
		w.t.Fatal(err)
	}
	n := out.Release.Release
	if n < w.number[c.Dir] {
		w.fail(&w.wrong.clients, "a client of %s went from release %d to %d", name, w.number[c.Dir], n)
	}
	w.number[c.Dir] = n
	digest := sha256.Sum256(data)
	if before, ok := w.held[n]; ok && before != digest {
		w.fail(&w.wrong.clients, "two clients hold different lists as release %d", n)
	}
	w.held[n] = digest
}

// look remembers the trees that the mirrors' signed notes name.
func (w *crashWorld) look() {
	w.t.Helper()
	chain := w.chain()
	for _, r := range w.stores {
		if note, err := r.Get(w.t.Context(), mirror.CheckpointPath, 1<<20); err == nil {
			c, err := chain.Newest().OpenCheckpoint(note)
			if err != nil {
				w.fail(&w.wrong.forks, "checkpoint: %v", err)
			}
			w.trees[c.Tree] = true
		}
		if proof, err := r.Get(w.t.Context(), mirror.PointerPath, 1<<20); err == nil {
			_, c, err := mirror.OpenPointer(proof, chain)
			if err != nil {
				w.fail(&w.wrong.forks, "pointer: %v", err)
			}
			w.trees[c.Tree] = true
		}
	}
}

// outbox returns the files of a release in the outbox, nil when it has not got so far.
func (w *crashWorld) outbox(release int64) map[string]string {
	w.t.Helper()
	state := filepath.Join(w.home, pipeline.StateDir)
	if w.state != nil {
		state = w.state()
	}
	folder := filepath.Join(state, "outbox", fmt.Sprint(release))
	names, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	files := map[string]string{}
	for _, n := range names {
		data, errFile := os.ReadFile(filepath.Join(folder, n.Name()))
		files[n.Name()], err = string(data), errors.Join(err, errFile)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	delete(files, "meta.json") // says later that the release is done
	return files
}

// keeps looks whether a release that was in the outbox when the process died is still the same.
func (w *crashWorld) keeps(release int64, before map[string]string) {
	w.t.Helper()
	after := w.outbox(release)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if strings.HasPrefix(name, ".tmp-") {
			continue // a file that was not whole
		}
		if name == "checkpoint.signed" { // gets more cosignatures with each run
			before[name], after[name] = logPart(before[name]), logPart(after[name])
		}
		if before[name] != after[name] {
			w.fail(&w.wrong.lost, "%s of release %d is not what it was before the crash", name, release)
		}
	}
}

// logPart is a signed note up to the log's own signature, which comes first.
func logPart(note string) string {
	text, signatures, _ := strings.Cut(note, "\n\n")
	first, _, _ := strings.Cut(signatures, "\n")
	return text + "\n\n" + first
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
