// Package tesseratest makes logs with Tessera, the independent implementation of tiled logs, to hold ours against.
package tesseratest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// Log is a log of the independent implementation, on its POSIX driver.
type Log struct {
	Dir string
	add tessera.AddFn
}

// New makes one that integrates leaves when there are batch of them, or age after the first. Batches that are on
// their way together may overtake each other, so what must stay in order has to fit into one.
func New(t testing.TB, batch uint, age time.Duration) *Log {
	t.Helper()
	key, _, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(100*time.Millisecond).
		WithGarbageCollectionInterval(0).
		WithPushback(1<<20).
		WithBatching(batch, age))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return &Log{Dir: dir, add: appender.Add}
}

// Append adds leaves and returns when all are integrated.
func (l *Log) Append(t testing.TB, start int64, leaves [][]byte) {
	t.Helper()
	futures := make([]tessera.IndexFuture, len(leaves))
	for i, leaf := range leaves {
		futures[i] = l.add(context.Background(), tessera.NewEntry(leaf))
	}
	for i, future := range futures {
		got, err := future()
		if err != nil {
			t.Fatal(err)
		}
		if got.Index != uint64(start)+uint64(i) {
			t.Fatalf("tessera put leaf %d at %d", start+int64(i), got.Index)
		}
	}
}
