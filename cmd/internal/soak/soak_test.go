package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency"
)

// partName is how the test program is called to run a part.
const partName = "soak-part"

func TestMain(m *testing.M) {
	if os.Args[0] != partName {
		os.Exit(m.Run())
	}
	if err := RunPart(context.Background(), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func options(t *testing.T) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: memory(t), Seed: 1, Program: self, Args: []string{partName}, Out: t.Logf, periods: 1}
}

// memory is a folder in memory, where there is one: what a process has written before it was killed is not lost, and the many
// fsyncs cost nothing there.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "soak-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestFiguresSoak has every fault once, and nothing comes of any.
func TestFiguresSoak(t *testing.T) {
	o := options(t)
	o.Gateway, o.periods = FindGateway(), len(kinds)
	if o.Gateway == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs versitygw (.github/check.sh installs it)")
		}
		o.periods-- // without S3 errors
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	r.Print(&text)
	t.Log(text.String())
	if !r.OK() {
		t.Error("something was wrong")
	}
	if len(r.Faults) != o.periods || r.Killed["publisher"] == 0 || r.Killed["client"] == 0 || r.Failed == 0 || r.Answers == 0 || r.Refused == 0 {
		t.Errorf("not everything happened: %+v", r)
	}
	t.Logf("figures: soak: faults %d, releases %d, updates %d, answers %d, killed %s; wrong states %d (aim 0); heap %s",
		len(r.Faults), r.Releases, r.Updates, r.Answers, counts(r.Killed), r.Wrong.Total(), r.Heap)
}

// What the judge is there for, made on purpose, is noticed, each kind by its own words.
func TestJudgeNotices(t *testing.T) {
	o := options(t)
	o.periods, o.only = 3, []kind{mirrorSlow}
	var leak [][]byte
	o.tamper = func(w *world, round int) error {
		leak = append(leak, make([]byte, 4<<20))
		switch round {
		case 1:
			w.static.spoil(mirror.ListPath)
		case 2:
			w.static.spoil(tableFile)
		case 3: // the last of a period
			return w.loseEdit()
		case 4:
			w.publisher.Source = w.path(pipeline.SourceDir)
			w.daemon.decider.SetLists(nil)
		case 5:
			return w.rewind(t)
		case 6:
			return w.fork(t)
		case 7:
			return w.double(t)
		}
		return nil
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(r.Problems, "\n")
	t.Log(all)
	for _, want := range []string{
		"its policy.json is that of none", "its postfix.map is that of none", "which the held list does not say", "log entries, it had",
		"that is not the beginning of this log", "has no effect", "the source says",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not noticed: %s", want)
		}
	}
	for kind, n := range map[string]int{"bytes": r.Wrong.Bytes, "lost": r.Wrong.Lost, "doubled": r.Wrong.Doubled, "forks": r.Wrong.Forks, "answers": r.Wrong.Answers} {
		if n == 0 {
			t.Errorf("%s: none counted", kind)
		}
	}
	if r.Heap.Flat || r.OK() {
		t.Errorf("%d MiB were kept, and memory is called flat: %s", len(leak)*4, r.Heap)
	}
}

// spoil lets the client's next update leave bytes in one of its files that no release has.
func (f *follower) spoil(name string) {
	sinks := f.client.Sinks
	f.client.Sinks = append(sinks[:len(sinks):len(sinks)], func(mirror.View) error {
		f.client.Sinks = sinks
		return os.WriteFile(filepath.Join(f.folder, name), []byte("{}"), 0o644)
	})
}

// loseEdit lets the publisher see an older source than its operator wrote.
func (w *world) loseEdit() error {
	copy := w.path("older")
	if err := os.CopyFS(copy, os.DirFS(w.path(pipeline.SourceDir))); err != nil {
		return err
	}
	w.publisher.Source = copy
	return nil
}

// shown are objects that stand before a mirror's own, for the judge alone.
type shown struct {
	mirror.Reader
	objects map[string][]byte
}

func (s shown) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	if data, ok := s.objects[path]; ok {
		return data, nil
	}
	return s.Reader.Get(ctx, path, limit)
}

// rewind lets a mirror be as it was some releases ago, for good.
func (w *world) rewind(t *testing.T) error {
	p := w.places[0]
	objects, _, err := w.past(t.Context(), p, 2)
	p.reader = shown{p.reader, objects}
	return err
}

// fork lets a mirror show another tree of the size that the log has, signed and cosigned.
func (w *world) fork(t *testing.T) error {
	tree := w.judge.rng.Tree()
	tree.Hash[0] ^= 1
	p := w.places[1]
	p.reader = shown{p.reader, map[string][]byte{mirror.CheckpointPath: w.signed(t, tree)}}
	return nil
}

// double lets a mirror's log go on with its last change and release once more.
func (w *world) double(t *testing.T) error {
	p, size := w.places[2], w.judge.rng.Size()
	entries, err := mirror.ReadEntries(t.Context(), p.reader, 0, size)
	if err != nil {
		return err
	}
	rng := w.judge.rng.Clone()
	for _, e := range entries[size-2:] {
		rng = rng.Append(tlog.RecordHash(e))
	}
	entries = append(entries, entries[size-2:]...)
	objects := map[string][]byte{mirror.CheckpointPath: w.signed(t, rng.Tree())}
	for _, path := range mirror.TilePaths(0, rng.Size()) {
		tile, err := transparency.ParseTilePath(path)
		if err != nil {
			return err
		}
		if tile.L >= 0 {
			continue
		}
		for _, e := range entries[tile.N*transparency.TileWidth:][:tile.W] {
			if objects[path], err = transparency.AppendEntry(objects[path], e); err != nil {
				return err
			}
		}
	}
	w.judge.look(t.Context(), p.Name, shown{p.reader, objects})
	return nil
}

// signed is a checkpoint with the log's signature and those of all witnesses, whatever it says.
func (w *world) signed(t *testing.T, tree tlog.Tree) []byte {
	t.Helper()
	c := transparency.Checkpoint{Origin: w.trust.Origin, Tree: tree}
	note, err := transparency.SignCheckpoint(c, w.publisher.Keys.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, wit := range w.witnesses {
		note = append(note, wit.Cosign(c.String())...)
	}
	return note
}

// A line through samples: what rises by more than its bound is not flat, nor is what was hardly measured.
func TestTrend(t *testing.T) {
	line := func(n int, size func(i int) float64) (all []sample) {
		for i := range n {
			all = append(all, sample{time.Duration(i) * time.Second, size(i)})
		}
		return all
	}
	const mb = 1 << 20
	for name, c := range map[string]struct {
		samples []sample
		flat    bool
	}{
		"even":            {line(20, func(int) float64 { return 50 * mb }), true},
		"wavering":        {line(20, func(i int) float64 { return float64(50+i%3) * mb }), true},
		"rising at first": {line(20, func(i int) float64 { return float64(min(i, 4)) * 20 * mb }), true},
		"rising":          {line(20, func(i int) float64 { return float64(50+2*i) * mb }), false},
		"falling":         {line(20, func(i int) float64 { return float64(90-2*i) * mb }), true},
		"too few":         {line(4, func(int) float64 { return 50 * mb }), false},
		"not told":        {nil, true},
	} {
		if got := trend(c.samples, heapShare, heapLeast); got.Flat != c.flat {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
