package pipeline_test

import (
	"context"
	"errors"
	"iter"

	"github.com/starttls-everywhere/policylist/mirror"
)

// outage is a mirror that can be out of reach.
type outage struct {
	mirror.Store
	name string
	down bool
}

var errOutage = errors.New("no route to the mirror")

func (o *outage) reach() error {
	if o.down {
		return errOutage
	}
	return nil
}

// Get implements mirror.Reader.
func (o *outage) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := o.reach(); err != nil {
		return nil, err
	}
	return o.Store.Get(ctx, path, limit)
}

// Put implements mirror.Store.
func (o *outage) Put(ctx context.Context, obj mirror.Object) error {
	if err := o.reach(); err != nil {
		return err
	}
	return o.Store.Put(ctx, obj)
}

// Create implements mirror.Store.
func (o *outage) Create(ctx context.Context, obj mirror.Object) error {
	if err := o.reach(); err != nil {
		return err
	}
	return o.Store.Create(ctx, obj)
}

// List implements mirror.Store.
func (o *outage) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if err := o.reach(); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return o.Store.List(ctx, prefix)
}
