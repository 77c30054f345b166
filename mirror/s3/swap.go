package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/starttls-everywhere/policylist/mirror"
)

// maxSwapped caps an object that Swap replaces.
const maxSwapped = 16 << 20

// Swap replaces the object at o.Path on condition that it holds the bytes old now; nil means that nothing may be there.
// Other bytes wrap mirror.ErrConflict: somebody else was first, or came right behind. No two writers may ever offer the
// same bytes for one path, or both would take the object for their own. Where nobody can tell whether the write
// happened, or still will, the error wraps ErrUnknown; the same writer may then try the same again: if its bytes are
// there by then, they are its own.
func (s *Store) Swap(ctx context.Context, o mirror.Object, old []byte) error {
	if err := validate(o); err != nil {
		return s.tell("swap", o.Path, err)
	}
	held, tag, err := s.held(ctx, o.Path)
	if err != nil {
		return err
	}
	if same(held, o.Data) {
		return nil
	}
	var writeErr error
	for range attempts { // a 412 with the old bytes still there means that the store gave them another tag
		if !same(held, old) {
			return s.tell("swap", o.Path, mirror.ErrConflict)
		}
		writeErr = s.put(ctx, o, tag)
		if refused(writeErr) || ctx.Err() != nil {
			return s.tell("swap", o.Path, unknownUnless(refused(writeErr), errors.Join(writeErr, ctx.Err())))
		}
		if held, tag, err = s.held(ctx, o.Path); err != nil {
			return s.tell("swap", o.Path, unknownUnless(false, errors.Join(writeErr, err)))
		}
		if same(held, o.Data) {
			return nil
		}
		if c := status(writeErr); c != http.StatusConflict && c != http.StatusPreconditionFailed {
			break
		}
	}
	if !same(held, old) {
		return s.tell("swap", o.Path, mirror.ErrConflict)
	}
	if writeErr == nil {
		writeErr = errors.New("the store confirmed the write and does not have the object")
	}
	return s.tell("swap", o.Path, unknownUnless(false, writeErr))
}

// held reads an object and the condition under which it is still the same; nil when it is absent.
func (s *Store) held(ctx context.Context, p string) ([]byte, condition, error) {
	data, said, err := s.read(ctx, p, maxSwapped)
	switch {
	case mirror.IsAbsent(err):
		return nil, ifAbsent, nil
	case err != nil:
		return nil, always, err
	case said.tag == "":
		return nil, always, s.tell("get", p, errors.New("the store gives no ETag"))
	case data == nil:
		data = []byte{}
	}
	return data, condition(said.tag), nil
}

// same compares two objects, either of which may be absent.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// Probe finds out what conditional writes are worth here: it tries both conditions, and lets two writers race rounds
// times, for a new object and for one that is there. It writes below path and cleans up behind itself.
func (s *Store) Probe(ctx context.Context, path string, rounds int) (mirror.Conditions, error) {
	var c mirror.Conditions
	object := func(name string, value any) mirror.Object {
		return mirror.Object{Path: path + "/" + name, Data: fmt.Append(nil, value)}
	}
	if err := s.Put(ctx, object("one", "first")); err != nil {
		return c, err
	}
	defer s.Delete(ctx, path+"/one")
	_, stale, err := s.held(ctx, path+"/one")
	if err != nil {
		return c, err
	}
	if c.CreateOnly, err = s.refuses(ctx, object("one", "created"), ifAbsent); err != nil {
		return c, err
	}
	if err := s.Put(ctx, object("one", "second")); err != nil {
		return c, err
	}
	if c.IfMatch, err = s.refuses(ctx, object("one", "third"), stale); err != nil || !c.IfMatch || !c.CreateOnly {
		return c, err
	}
	for c.Rounds < rounds {
		name := fmt.Sprintf("race%d", c.Rounds/2)
		at := ifAbsent
		if c.Rounds%2 == 1 {
			if _, at, err = s.held(ctx, path+"/"+name); err != nil {
				return c, err
			}
		}
		c.Rounds++
		won, err := s.race(ctx, at, object(name, fmt.Sprint(c.Rounds, "a")), object(name, fmt.Sprint(c.Rounds, "b")))
		if err != nil {
			return c, err
		}
		if won > 1 {
			c.Twice++
		}
		if c.Rounds%2 == 0 || c.Rounds == rounds {
			if err := s.Delete(ctx, path+"/"+name); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// refuses reports whether the store keeps a write out whose condition does not hold.
func (s *Store) refuses(ctx context.Context, o mirror.Object, c condition) (bool, error) {
	err := s.put(ctx, o, c)
	switch {
	case err == nil || knowsNoCondition(err):
		return false, nil
	case status(err) == http.StatusPreconditionFailed || status(err) == http.StatusConflict:
		return true, nil
	}
	return false, s.tell("probe", o.Path, err)
}

// race sends two writes under one condition at the same time and counts those that were confirmed.
func (s *Store) race(ctx context.Context, c condition, a, b mirror.Object) (won int, err error) {
	start, answers := make(chan struct{}), make(chan error, 2)
	for _, o := range []mirror.Object{a, b} {
		go func() {
			<-start
			answers <- s.put(ctx, o, c)
		}()
	}
	close(start)
	for range 2 {
		switch answer := <-answers; {
		case answer == nil:
			won++
		case status(answer) != http.StatusPreconditionFailed && status(answer) != http.StatusConflict:
			err = errors.Join(err, s.tell("probe", a.Path, answer))
		}
	}
	return won, err
}
