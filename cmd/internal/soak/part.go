package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// job is what one process of its own does, as JSON on its standard input.
type job struct {
	Release   bool          `json:"release"` // else it updates a client
	Home      string        `json:"home"`    // the operator's folder
	Now       time.Time     `json:"now"`
	Places    []address     `json:"places"`
	Down      []string      `json:"down"` // places that the publisher does not reach
	Folder    string        `json:"folder"`
	Sources   []string      `json:"sources"` // URLs that the client asks, in this order
	Method    mirror.Method `json:"method"`
	DieAt     int64         `json:"die_at"`     // the operation at which it is killed; 0: none
	FileLimit int64         `json:"file_limit"` // the length at which its files can grow no more; below 0: none
}

// address is where a mirror is written to.
type address struct {
	Name     string `json:"name"`
	Folder   string `json:"folder"`
	Endpoint string `json:"endpoint"` // of an S3 gateway; "": a folder
	Access   string `json:"access"`
	Secret   string `json:"secret"`
}

// RunPart does one job, read from in, as a process of a soak. It is not for people.
func RunPart(ctx context.Context, in io.Reader) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("a part of a soak: %w", err)
	}
	if j.FileLimit >= 0 {
		if err := limitFiles(j.FileLimit); err != nil {
			return err
		}
	}
	f := &fuse{at: j.DieAt}
	if !j.Release {
		c, err := newClient(j.Folder, j.Sources, func() time.Time { return j.Now }, f)
		if err != nil {
			return err
		}
		c.Method = j.Method
		_, err = c.Update(ctx)
		return err
	}
	targets, done, err := openTargets(ctx, j.Places, j.Down, f)
	if err != nil {
		return err
	}
	defer done()
	p, err := newPublisher(j.Home, func() time.Time { return j.Now }, targets, f)
	if err != nil {
		return err
	}
	_, err = p.Release(ctx)
	return err
}

// limitFiles makes the kernel refuse what would make a file longer than n bytes: a disk that is full, for one process. The
// write that meets it is cut short, and the next fails with EFBIG (setrlimit(2), RLIMIT_FSIZE).
func limitFiles(n int64) error {
	signal.Ignore(syscall.SIGXFSZ) // which would end the process before the error is seen
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	set(&l.Cur, n)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

// set sets an integer whose type differs from system to system.
func set[T ~int64 | ~uint64](to *T, n int64) { *to = T(n) }

// fuse counts the operations of a process and kills it at one of them, as a power cut would, with no more to say.
type fuse struct {
	at int64
	n  atomic.Int64
}

// step is one moment at which the process can die. A nil fuse never blows.
func (f *fuse) step() {
	if f != nil && f.n.Add(1) == f.at {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// around is step before and after an operation: what it did may be done or not.
func (f *fuse) around(do func() error) error {
	f.step()
	err := do()
	f.step()
	return err
}

// errKilled means that a part was killed, as its job said.
var errKilled = errors.New("killed")

// run lets a process do the job. It returns errKilled, or what the process said when it ended with an error.
func (o Options) run(ctx context.Context, j job) error {
	in, err := json.Marshal(j)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, o.Program)
	cmd.Args = o.Args
	said := &head{}
	cmd.Stdin, cmd.Stderr, cmd.SysProcAttr = bytes.NewReader(in), said, apart()
	if err = cmd.Run(); err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL && ctx.Err() == nil {
			return errKilled
		}
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// apart keeps the terminal's interrupt from a process: the soak ends in order, and for that needs what it has started.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// maxSaid is how much of what a process said is kept, in bytes from its beginning.
const maxSaid = 2 << 10

// head keeps the first bytes that are written to it.
type head struct{ text []byte }

// Write implements io.Writer.
func (t *head) Write(p []byte) (int, error) {
	t.text = append(t.text, p[:min(len(p), maxSaid-len(t.text))]...)
	return len(p), nil
}

func (t *head) String() string { return string(bytes.TrimSpace(t.text)) }
