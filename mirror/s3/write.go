package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Put implements mirror.Store.
func (s *Store) Put(ctx context.Context, o mirror.Object) error {
	if err := validate(o); err != nil {
		return s.tell("put", o.Path, err)
	}
	err := s.put(ctx, o, always)
	if err == nil {
		return nil
	}
	if refused(err) || ctx.Err() != nil {
		return s.tell("put", o.Path, unknownUnless(refused(err), err))
	}
	held, readErr := s.Get(ctx, o.Path, int64(len(o.Data)))
	if readErr == nil && bytes.Equal(held, o.Data) {
		return nil
	}
	return s.tell("put", o.Path, unknownUnless(false, err))
}

// Create implements mirror.Store: look, write on condition that nothing is there, read back. What is read decides, not
// what the store answered to the write.
func (s *Store) Create(ctx context.Context, o mirror.Object) error {
	if err := validate(o); err != nil {
		return s.tell("create", o.Path, err)
	}
	done, err := s.holds(ctx, o)
	if done || err != nil {
		return err // other bytes, or nobody knows: a store that ignores conditions would overwrite them
	}
	var writeErr error
	for range attempts { // a 409 says that another write is going on, which may then come to nothing
		writeErr = s.create(ctx, o)
		if refused(writeErr) || ctx.Err() != nil {
			return s.tell("create", o.Path, unknownUnless(refused(writeErr), errors.Join(writeErr, ctx.Err())))
		}
		done, err := s.holds(ctx, o)
		switch {
		case done, errors.Is(err, mirror.ErrConflict):
			return err
		case err != nil:
			return s.tell("create", o.Path, unknownUnless(false, errors.Join(writeErr, err)))
		case status(writeErr) != http.StatusConflict:
			if writeErr == nil {
				writeErr = errors.New("the store confirmed the write and does not have the object")
			}
			return s.tell("create", o.Path, unknownUnless(false, writeErr))
		}
	}
	return s.tell("create", o.Path, unknownUnless(false, writeErr))
}

// holds reports whether the store has exactly o's identity bytes. Other bytes wrap mirror.ErrConflict; an absent object is
// no error.
func (s *Store) holds(ctx context.Context, o mirror.Object) (bool, error) {
	held, err := s.Get(ctx, o.Path, int64(len(o.Data)))
	switch {
	case mirror.IsAbsent(err):
		return false, nil
	case errors.Is(err, mirror.ErrTooLarge), err == nil && !bytes.Equal(held, o.Data):
		return false, s.tell("create", o.Path, mirror.ErrConflict)
	case err != nil:
		return false, err
	}
	return true, nil
}

func (s *Store) create(ctx context.Context, o mirror.Object) error {
	if !s.unconditional.Load() {
		err := s.put(ctx, o, ifAbsent)
		if !knowsNoCondition(err) {
			return err
		}
		s.unconditional.Store(true)
	}
	return s.put(ctx, o, always)
}

// condition is what has to hold for a write: always, ifAbsent, or the ETag that the object must have.
type condition string

const (
	always   condition = ""
	ifAbsent condition = "*"
)

func (s *Store) put(ctx context.Context, o mirror.Object, c condition) error {
	in := &s3.PutObjectInput{Bucket: &s.options.Bucket, Key: s.key(o.Path)}
	body := o.Data
	if o.Gzip != nil {
		body = o.Gzip
		in.ContentEncoding = aws.String("gzip")
	}
	in.Body = bytes.NewReader(body)
	in.ContentLength = aws.Int64(int64(len(body)))
	if o.ContentType != "" {
		in.ContentType = &o.ContentType
	}
	if o.CacheControl != "" {
		in.CacheControl = &o.CacheControl
	}
	switch c {
	case always:
	case ifAbsent:
		in.IfNoneMatch = aws.String("*")
	default:
		in.IfMatch = aws.String(string(c))
	}
	ctx, cancel := s.deadline(ctx, int64(len(body)))
	defer cancel()
	_, err := s.client.PutObject(ctx, in)
	return err
}

// validate refuses an object that would be read back as something else: immutable objects cannot be mended.
func validate(o mirror.Object) error {
	if err := mirror.CheckPath(o.Path); err != nil {
		return err
	}
	if o.Gzip == nil {
		return nil
	}
	if int64(len(o.Gzip)) > encodedLimit(int64(len(o.Data))) {
		return fmt.Errorf("gzip form of %d bytes for %d identity bytes", len(o.Gzip), len(o.Data))
	}
	data, err := mirror.Gunzip(o.Gzip, int64(len(o.Data)))
	if err != nil {
		return fmt.Errorf("gzip form: %w", err)
	}
	if !bytes.Equal(data, o.Data) {
		return errors.New("gzip form decodes to other bytes than the identity form")
	}
	return nil
}

func unknownUnless(certain bool, err error) error {
	if certain {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// Delete implements mirror.Store.
func (s *Store) Delete(ctx context.Context, p string) error {
	if err := mirror.CheckPath(p); err != nil {
		return s.tell("delete", p, err)
	}
	ctx, cancel := s.deadline(ctx, 0)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.options.Bucket, Key: s.key(p)})
	if err == nil || status(err) == http.StatusNotFound && isAbsent(err) {
		return nil
	}
	return s.tell("delete", p, unknownUnless(refused(err), err))
}
