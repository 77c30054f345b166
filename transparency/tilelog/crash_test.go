//go:build unix

package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// The crash tests start this test binary again, as a process that appends and kills itself.
const (
	crashDir  = "TILELOG_CRASH_DIR"  // the log's folder
	crashStep = "TILELOG_CRASH_STEP" // die right after this many steps
	crashSize = "TILELOG_CRASH_SIZE" // grow to this size
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		os.Exit(appendAndDie(dir))
	}
	os.Exit(m.Run())
}

func appendAndDie(dir string) int {
	last, err1 := strconv.ParseInt(os.Getenv(crashStep), 10, 64)
	size, err2 := strconv.ParseInt(os.Getenv(crashSize), 10, 64)
	var steps atomic.Int64
	l, err := open(dir, func(string, string) error {
		if steps.Add(1) == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
		return nil
	})
	if err := errors.Join(err1, err2, err); err != nil {
		fmt.Println(err)
		return 1
	}
	start := l.Tree().N
	if _, err := l.Append(context.Background(), start, makeLeaves(start, size-start)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// crash runs the child and says whether it got killed. Not being killed, it must have succeeded.
func crash(t *testing.T, dir string, step, size int64) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprint(crashStep, "=", step), fmt.Sprint(crashSize, "=", size))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
			return true
		}
	}
	t.Fatalf("step %d: %v\n%s", step, err, out)
	return false
}

// TestKilledAfterEveryStep kills a process after each step of opening a new log and of appending to it. The next process
// finds the old tree or the new one, whole, and takes the same leaves again.
func TestKilledAfterEveryStep(t *testing.T) {
	for _, c := range []struct{ from, to, steps int64 }{{0, 3, 15}, {300, 520, 25}, {255, 256, 15}} {
		t.Run(fmt.Sprintf("%d to %d", c.from, c.to), func(t *testing.T) {
			leaves := makeLeaves(0, c.to)
			want := newHashLog(t, leaves).trees
			step, oldTrees, newTrees := int64(1), 0, 0
			for ; ; step++ {
				dir := filepath.Join(t.TempDir(), "log")
				if c.from > 0 {
					l := mustOpen(t, dir)
					mustAppend(t, l, 0, leaves[:c.from])
					l.Close()
				}
				if !crash(t, dir, step, c.to) {
					break
				}
				l := mustOpen(t, dir)
				switch tree := l.Tree(); tree {
				case want[c.from]:
					oldTrees++
				case want[c.to]:
					newTrees++
				default:
					t.Fatalf("killed after step %d: tree %v", step, tree)
				}
				checkLog(t, l, leaves[:l.Tree().N])
				mustAppend(t, l, c.from, leaves[c.from:])
				checkLog(t, l, leaves)
				noTemps(t, dir)
				l.Close()
			}
			if step < c.steps || oldTrees == 0 || newTrees == 0 {
				t.Errorf("died after %d different steps, %d times with the old tree and %d with the new", step-1, oldTrees, newTrees)
			}
		})
	}
}

// TestKilledAgainAndAgain kills one process after another on the same log, each one step further than the last, and then
// continues with other leaves than those that were lost.
func TestKilledAgainAndAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	leaves := makeLeaves(0, 700)
	l := mustOpen(t, dir)
	tree := mustAppend(t, l, 0, leaves[:250])
	l.Close()
	for step := int64(1); l.Tree() == tree; step++ {
		if !crash(t, dir, step, 520) {
			t.Fatal("the child ended before it stored a root")
		}
		l = mustOpen(t, dir)
		if l.Tree() == tree && step == 20 {
			break // in the middle of things: files are renamed, the root is not
		}
		l.Close()
	}
	if l.Tree() != tree {
		t.Fatal("20 steps made a root durable: this test must stop earlier")
	}
	other := append(append([][]byte{}, leaves[:250]...), makeLeaves(9000, 300)...)
	mustAppend(t, l, 250, other[250:])
	checkLog(t, l, other)
	checkEveryWidth(t, l, other)
}

func noTemps(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, tempName))
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files: %v, %v", left, err)
	}
}

// TestEveryStepFails lets each step of an append fail in turn, as a full or dying disk does. The log stays what it was,
// and takes the leaves when the disk is well again; only a failure after the root's rename ends in ErrUncertain, and
// opening the log again tells what it came to.
func TestEveryStepFails(t *testing.T) {
	const old, size = 300, 520
	leaves := makeLeaves(0, size)
	want := newHashLog(t, leaves).trees
	uncertain := 0
	for failing := int64(1); ; failing++ {
		broken := errors.New("no space left, or worse")
		dir := filepath.Join(t.TempDir(), "log")
		var armed atomic.Bool
		var steps atomic.Int64
		l, err := open(dir, func(string, string) error {
			if armed.Load() && steps.Add(1) == failing {
				return broken
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, 0, leaves[:old])
		armed.Store(true)
		_, err = l.Append(t.Context(), old, leaves[old:])
		if err == nil {
			if failing < 25 || uncertain != 2 {
				t.Errorf("%d steps, of which %d end uncertain", failing-1, uncertain)
			}
			l.Close()
			return
		}
		if !errors.Is(err, broken) {
			t.Fatalf("step %d: %v", failing, err)
		}
		if errors.Is(err, ErrUncertain) {
			uncertain++
			if _, again := l.Append(t.Context(), old, leaves[old:]); !errors.Is(again, ErrUncertain) {
				t.Errorf("step %d: then appended: %v", failing, again)
			}
			l.Close()
			l = mustOpen(t, dir)
			if l.Tree() != want[old] && l.Tree() != want[size] {
				t.Fatalf("step %d: tree %v", failing, l.Tree())
			}
		} else if root, err := readRoot(&l.disk); err != nil || root != want[old] || l.Tree() != want[old] {
			t.Fatalf("step %d: root file %v (%v), tree %v", failing, root, err, l.Tree())
		}
		mustAppend(t, l, old, leaves[old:])
		checkLog(t, l, leaves)
		l.Close()
	}
}

// TestSomethingIsInTheWay makes the file system itself refuse: a folder lies where a file must go, or a file where a
// folder must.
func TestSomethingIsInTheWay(t *testing.T) {
	leaves := makeLeaves(0, 300)
	for _, path := range []string{"tile/0/000.p/9", "tile/entries/000.p/9", "tile/1"} {
		l := newLog(t)
		tree := mustAppend(t, l, 0, leaves[:5])
		name := filepath.Join(l.disk.dir, path)
		size := 9
		if path == "tile/1" {
			size = 300
			if err := os.WriteFile(name, nil, fileMode); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(filepath.Join(name, "occupied"), dirMode); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, l, tree, leaves[:size])
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, 5, leaves[5:size])
		checkLog(t, l, leaves[:size])
		noTemps(t, l.disk.dir)
	}
}

// TestReadOnlyFolder takes the permission to write away. Root writes nevertheless.
func TestReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write to read-only folders")
	}
	leaves := makeLeaves(0, 9)
	for _, folder := range []string{"tmp", "tile/0/000.p", "tile/entries/000.p"} {
		l := newLog(t)
		tree := mustAppend(t, l, 0, leaves[:5])
		name := filepath.Join(l.disk.dir, folder)
		if err := os.Chmod(name, 0o555); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, l, tree, leaves)
		if err := os.Chmod(name, dirMode); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, 5, leaves[5:])
		checkLog(t, l, leaves)
	}
}

// checkRefused appends what the disk will not take, and checks that the log and its root file stay at tree.
func checkRefused(t *testing.T, l *Log, tree tlog.Tree, leaves [][]byte) {
	t.Helper()
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	_, err := l.Append(t.Context(), tree.N, leaves[tree.N:])
	if !errors.As(err, &pathErr) && !errors.As(err, &linkErr) {
		t.Errorf("append on an unwritable disk: %v", err)
	}
	if root, err := readRoot(&l.disk); err != nil || root != tree || l.Tree() != tree {
		t.Errorf("root file %v (%v), tree %v, want %v", root, err, l.Tree(), tree)
	}
}
