package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

const (
	creators = 32
	rounds   = 8
)

// together calls do(0) to do(n-1) at once and returns their results in that order.
func together(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	group.Wait()
	return errs
}

func oneCreatorWins(t *testing.T, s mirror.Store) {
	ctx := within(t)
	for round := range rounds {
		path := fmt.Sprintf("release/%d.tlog-proof", round)
		content := func(i int) string { return fmt.Sprintf("creator %02d of round %d", i, round) }
		winner := ""
		for i, err := range together(creators, func(i int) error { return s.Create(ctx, object(path, content(i))) }) {
			switch {
			case err == nil && winner != "":
				t.Fatalf("%q and %q both won", winner, content(i))
			case err == nil:
				winner = content(i)
			case !errors.Is(err, mirror.ErrConflict):
				t.Fatalf("%q: %v, want ErrConflict", content(i), err)
			}
		}
		if winner == "" {
			t.Fatal("nobody won")
		}
		want(t, s, path, []byte(winner))
	}
}

func sameBytesAllSucceed(t *testing.T, s mirror.Store) {
	ctx := within(t)
	for round := range rounds {
		o := object(fmt.Sprintf("tile/0/x000/%03d", round), "the same bytes")
		for i, err := range together(creators, func(int) error { return s.Create(ctx, o) }) {
			if err != nil {
				t.Fatalf("creator %d: %v", i, err)
			}
		}
		want(t, s, o.Path, o.Data)
	}
}

// A pointer is replaced, and an immutable object appears, while others read.
func readerSeesWholeObjects(t *testing.T, s mirror.Store) {
	const size, puts, readers = 256 << 10, 40, 4
	ctx := within(t)
	version := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%2)}, size+i%2) }
	put(t, s, mirror.Object{Path: "checkpoint", Data: version(0)})
	done := make(chan struct{})
	errs := together(readers+1, func(i int) error {
		if i == readers {
			defer close(done)
			return replace(puts, func(n int) error {
				return errors.Join(s.Put(ctx, mirror.Object{Path: "checkpoint", Data: version(n)}),
					s.Create(ctx, mirror.Object{Path: fmt.Sprintf("trust/%d", n), Data: version(n)}))
			})
		}
		for n := 0; ; n++ {
			select {
			case <-done:
				return nil
			default:
			}
			pointer, err := s.Get(ctx, "checkpoint", 2*size)
			if err != nil {
				return err
			}
			if !bytes.Equal(pointer, version(0)) && !bytes.Equal(pointer, version(1)) {
				return fmt.Errorf("the pointer is neither old nor new: %d bytes", len(pointer))
			}
			object, err := s.Get(ctx, fmt.Sprintf("trust/%d", n%puts), 2*size)
			if err == nil && !bytes.Equal(object, version(n%puts)) {
				return fmt.Errorf("an immutable object has %d bytes", len(object))
			}
			if err != nil && !mirror.IsAbsent(err) {
				return err
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func replace(times int, do func(n int) error) error {
	for n := range times {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}
