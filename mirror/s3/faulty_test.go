package s3_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest/faulty"
)

// faultyOperation is something that a store does, over an object that holds "old", or none.
type faultyOperation struct {
	name     string
	old      bool
	requests []string // methods in its course
	do       func(context.Context, *s3.Store) error
	guarded  bool // a write of it that arrives late changes nothing that came between
}

func faultyOperations() []faultyOperation {
	object := mirror.Object{Path: "thing", Data: []byte("new")}
	return []faultyOperation{
		{"get", true, []string{"GET"}, func(ctx context.Context, s *s3.Store) error {
			data, err := s.Get(ctx, "thing", 100)
			if err == nil && string(data) != "old" {
				err = fmt.Errorf("got %q", data)
			}
			return err
		}, true},
		{"put", true, []string{"PUT"}, func(ctx context.Context, s *s3.Store) error { return s.Put(ctx, object) }, false},
		{"create", false, []string{"GET", "PUT"}, func(ctx context.Context, s *s3.Store) error { return s.Create(ctx, object) }, true},
		{"swap", true, []string{"GET", "PUT"}, func(ctx context.Context, s *s3.Store) error { return s.Swap(ctx, object, []byte("old")) }, true},
		{"first swap", false, []string{"GET", "PUT"}, func(ctx context.Context, s *s3.Store) error { return s.Swap(ctx, object, nil) }, true},
		{"list", true, []string{"LIST"}, func(ctx context.Context, s *s3.Store) error {
			n := 0
			for _, err := range s.List(ctx, "") {
				if n++; err != nil {
					return err
				}
			}
			if n != 2 {
				return fmt.Errorf("listed %d objects", n)
			}
			return nil
		}, true},
		{"delete", true, []string{"DELETE"}, func(ctx context.Context, s *s3.Store) error { return s.Delete(ctx, "thing") }, false},
	}
}

// TestFiguresFaultyStore: every operation, every fault of each of its requests, once and for good. A write that is reported
// as done is done. What is not known is called unknown, and while the reader is not lied to nobody else is blamed. A late
// write under a condition changes nothing that came between; without one it may, which is why only pointers are written so.
func TestFiguresFaultyStore(t *testing.T) {
	g, at := gateway(t)
	p := faulty.Start(t, g.Endpoint, func(string) string { return "x" })
	cases, ran, met, done, unknown := 0, 0, 0, 0, 0
	for _, op := range faultyOperations() {
		for _, method := range op.requests {
			for nth := 1; nth <= 2; nth++ {
				for _, k := range faulty.Kinds {
					for _, times := range []int{1, 9} {
						if !k.Applies(method) || nth == 2 && method != "GET" {
							continue
						}
						if cases++; os.Getenv("POLICYLIST_FULL") != "1" && (cases%2 == 0) != (cases/2%2 == 0) {
							continue // in the short form each fault comes once or for good
						}
						ran++
						plain := at(fmt.Sprintf("case%d", cases))
						err := faultyCase(t, p, op, plain, k, faulty.One(faulty.Request{Method: method, Name: "x", Nth: nth}, k, times), &met)
						switch {
						case err == nil:
							done++
						case errors.Is(err, s3.ErrUnknown):
							unknown++
						}
					}
				}
			}
		}
	}
	t.Logf("figures: faulty S3 for single operations: cases %d of %d, faults met %d, done all the same %d, unknown %d", ran, cases, met, done, unknown)
	if unknown == 0 || done == 0 {
		t.Error("either nothing works, or nothing goes wrong")
	}
}

// faultyCase is one operation that goes wrong; it returns how it ended.
func faultyCase(t *testing.T, p *faulty.Proxy, op faultyOperation, plain s3.Options, k faulty.Kind, schedule func(faulty.Request) faulty.Kind, met *int) error {
	t.Helper()
	direct := open(t, plain)
	put(t, direct, mirror.Object{Path: "beside", Data: []byte("x")})
	if op.old {
		put(t, direct, mirror.Object{Path: "thing", Data: []byte("old")})
	}
	o := plain
	o.Endpoint, o.Pause = p.URL, time.Millisecond
	if k == faulty.Slow || k == faulty.Mute {
		o.Patience = 100 * time.Millisecond
	}
	p.Arm(schedule)
	began := time.Now()
	err := op.do(t.Context(), open(t, o))
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("%s, %s: it took %s", op.name, k, took)
	}
	for _, h := range p.Disarm() {
		if h.Fault != faulty.None {
			*met++
		}
	}
	held, getErr := direct.Get(t.Context(), "thing", 100)
	lied := k == faulty.Stale || k == faulty.Short
	switch {
	case err == nil && op.name == "delete" && !mirror.IsAbsent(getErr),
		err == nil && op.name != "delete" && op.requests[len(op.requests)-1] == "PUT" && string(held) != "new":
		t.Errorf("%s, %s: done, and the store holds %q, %v", op.name, k, held, getErr)
	case errors.Is(err, mirror.ErrConflict) && !lied:
		t.Errorf("%s, %s: somebody else is blamed: %v", op.name, k, err)
	case mirror.IsAbsent(err) && !lied:
		t.Errorf("%s, %s: the object is said to be absent: %v", op.name, k, err)
	}
	if op.guarded {
		put(t, direct, mirror.Object{Path: "thing", Data: []byte("later")})
	}
	if p.Land(); op.guarded {
		if got := get(t, direct, "thing"); got != "later" {
			t.Errorf("%s, %s: a late write made %q of what came between", op.name, k, got)
		}
	}
	return err
}
