package tilelog

import (
	"context"
	"fmt"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// oneTree is a storage.AdminStorage that knows one tree, and has never known another.
type oneTree struct{}

func (oneTree) Snapshot(context.Context) (storage.ReadOnlyAdminTX, error) { return oneTreeTX{}, nil }

func (oneTree) ReadWriteTransaction(context.Context, storage.AdminTXFunc) error {
	return status.Error(codes.Unimplemented, "the tree of a tile log is fixed")
}

func (oneTree) CheckDatabaseAccessible(context.Context) error { return nil }

type oneTreeTX struct{}

func (oneTreeTX) GetTree(_ context.Context, id int64) (*trillian.Tree, error) {
	if id != treeID {
		return nil, status.Error(codes.NotFound, fmt.Sprintf("no tree %d", id))
	}
	return trillianTree(), nil
}

func (oneTreeTX) ListTrees(context.Context, bool) ([]*trillian.Tree, error) {
	return []*trillian.Tree{trillianTree()}, nil
}

func (oneTreeTX) Commit() error { return nil }

func (oneTreeTX) Close() error { return nil }
