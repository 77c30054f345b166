package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog/tesseratest"
)

// sameFiles compares every tile and bundle that both folders have and returns how many that were.
func sameFiles(t *testing.T, ours, theirs string) int {
	t.Helper()
	count := 0
	err := filepath.WalkDir(filepath.Join(ours, "tile"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		path, err := filepath.Rel(ours, name)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(theirs, path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from tessera's", path)
		}
		count++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// TestTesseraWritesTheSameFiles grows both logs in the same steps. After each, what the step must publish is in both
// folders and the same; at the end, so is everything else that both have.
func TestTesseraWritesTheSameFiles(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	walk := []int64{1}
	for walk[len(walk)-1] < 3000 {
		walk = append(walk, walk[len(walk)-1]+1+random.Int64N(400))
	}
	for name, c := range map[string]struct {
		sizes []int64
		batch uint
		age   time.Duration
	}{
		"edges":        {[]int64{1, 2, 255, 256, 257, 511, 512}, 1 << 10, 50 * time.Millisecond},
		"at once":      {[]int64{1<<16 + 1}, 1<<16 + 1, time.Minute},
		"random steps": {walk, 1 << 10, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := newLog(t), tesseratest.New(t, c.batch, c.age)
			last := int64(0)
			for _, size := range c.sizes {
				batch := makeLeaves(last, size-last)
				mustAppend(t, ours, last, batch)
				theirs.Append(t, last, batch)
				for _, path := range Files(last, size) {
					got, err := ours.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					want, err := os.ReadFile(filepath.Join(theirs.Dir, path))
					if errors.Is(err, fs.ErrNotExist) {
						// Tessera's batch timer may cut a step in two; what it wrote then is compared below.
						continue
					}
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s at size %d differs from tessera's (%v)", path, size, err)
					}
				}
				last = size
			}
			full := 0
			for _, tile := range newTiles(0, last) {
				want, err := os.ReadFile(filepath.Join(theirs.Dir, transparency.TilePath(tile)))
				if err != nil {
					t.Fatalf("tessera lacks a file of the last tree: %v", err)
				}
				if got := mustRead(t, ours, transparency.TilePath(tile)); !bytes.Equal(got, want) {
					t.Errorf("%s differs from tessera's", transparency.TilePath(tile))
				}
				full++
			}
			if n := sameFiles(t, ours.disk.dir, theirs.Dir); n < full {
				t.Errorf("%d files compared, the last tree alone has %d", n, full)
			}
		})
	}
}

func mustRead(t testing.TB, l *Log, path string) []byte {
	t.Helper()
	data, err := l.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// makeLeaves returns count leaves of about 150 bytes for the indexes from start on.
func makeLeaves(start, count int64) [][]byte {
	leaves := make([][]byte, count)
	for i := range leaves {
		n := start + int64(i)
		leaves[i] = fmt.Appendf(nil, `{"change":"add","domain":"mail%d.example","mode":"enforce",`+
			`"mxs":["mx1.mail%d.example",".backup%d.example"],"policy-alias":"provider-%d"}`, n, n, n, n%17)
	}
	return leaves
}
