package tilelog

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table is Trillian's storage.LogStorage for one attempt. Its tables are tiles and bundles: a node is read from the tile
// that has it, a leaf from its bundle, and what Trillian writes goes into the attempt, not to disk. A transaction that
// fails is not rolled back; the attempt is dropped with it.
type table struct{ attempt *attempt }

// tableTX is its transaction, both storage.LogTreeTX and storage.ReadOnlyLogTreeTX.
type tableTX struct{ *attempt }

// fail keeps the first error, because the sequencer flattens errors to text.
func (a *attempt) fail(err error) error {
	if a.err == nil {
		a.err = err
	}
	return err
}

func (table) CheckDatabaseAccessible(context.Context) error { return nil }

func (table) GetActiveLogIDs(context.Context) ([]int64, error) { return []int64{treeID}, nil }

func (t *table) SnapshotForTree(context.Context, *trillian.Tree) (storage.ReadOnlyLogTreeTX, error) {
	return tableTX{t.attempt}, nil
}

func (t *table) ReadWriteTransaction(ctx context.Context, _ *trillian.Tree, f storage.LogTXFunc) error {
	return f(ctx, tableTX{t.attempt})
}

func (table) QueueLeaves(
	context.Context, *trillian.Tree, []*trillian.LogLeaf, time.Time,
) ([]*trillian.QueuedLogLeaf, error) {
	return nil, status.Error(codes.Unimplemented, "leaves of a tile log have their index from the start")
}

// AddSequencedLeaves sequences leaves that continue the log and compares those that it has already.
func (t *table) AddSequencedLeaves(
	_ context.Context, _ *trillian.Tree, leaves []*trillian.LogLeaf, now time.Time,
) ([]*trillian.QueuedLogLeaf, error) {
	results := make([]*trillian.QueuedLogLeaf, len(leaves))
	for i, leaf := range leaves {
		results[i] = &trillian.QueuedLogLeaf{Leaf: leaf}
		var no *status.Status
		switch end := t.attempt.end(); {
		case leaf.LeafIndex > end:
			no = status.Newf(codes.OutOfRange, "index %d, next is %d", leaf.LeafIndex, end)
		case leaf.LeafIndex == end:
			leaf.QueueTimestamp = timestamppb.New(now)
			t.attempt.added = append(t.attempt.added, leaf.LeafValue)
			t.attempt.queued = append(t.attempt.queued, leaf)
		default:
			old, err := t.attempt.leaf(leaf.LeafIndex)
			if err != nil {
				return nil, t.attempt.fail(err)
			}
			no = status.New(codes.AlreadyExists, "identical leaf")
			if !bytes.Equal(old, leaf.LeafValue) {
				no = status.New(codes.FailedPrecondition, "different leaf")
			}
			results[i].Leaf = &trillian.LogLeaf{LeafIndex: leaf.LeafIndex, LeafValue: old}
		}
		results[i].Status = no.Proto()
	}
	return results, nil
}

func (tableTX) Commit(context.Context) error { return nil }

func (tableTX) Close() error { return nil }

// LatestSignedLogRoot shows the root with time 0, see stillClock.
func (tx tableTX) LatestSignedLogRoot(context.Context) (*trillian.SignedLogRoot, error) {
	root := types.LogRootV1{TreeSize: uint64(tx.tree.N), RootHash: tx.tree.Hash[:]}
	data, err := root.MarshalBinary()
	if err != nil {
		return nil, tx.fail(err)
	}
	return &trillian.SignedLogRoot{LogRoot: data}, nil
}

// StoreSignedLogRoot takes over the root that the sequencer computed.
func (tx tableTX) StoreSignedLogRoot(_ context.Context, slr *trillian.SignedLogRoot) error {
	var root types.LogRootV1
	if err := root.UnmarshalBinary(slr.GetLogRoot()); err != nil {
		return tx.fail(err)
	}
	n := int64(root.TreeSize) - tx.tree.N
	if n < 0 || n > int64(len(tx.queued)) || len(root.RootHash) != tlog.HashSize {
		return tx.fail(fmt.Errorf("sequencer made a root of size %d from size %d and %d leaves",
			root.TreeSize, tx.tree.N, len(tx.queued)))
	}
	tx.queued = tx.queued[n:]
	tx.tree = tlog.Tree{N: int64(root.TreeSize), Hash: tlog.Hash(root.RootHash)}
	return nil
}

// GetMerkleNodes returns nodes by level and index, from the tile that can be hashed to them.
func (tx tableTX) GetMerkleNodes(_ context.Context, ids []compact.NodeID) ([]tree.Node, error) {
	nodes := make([]tree.Node, len(ids))
	for i, id := range ids {
		hash, err := tx.hash(tlog.StoredHashIndex(int(id.Level), int64(id.Index)))
		if err != nil {
			return nil, tx.fail(err)
		}
		nodes[i] = tree.Node{ID: id, Hash: hash[:]}
	}
	return nodes, nil
}

// SetMerkleNodes keeps the nodes that tiles store.
func (tx tableTX) SetMerkleNodes(_ context.Context, nodes []tree.Node) error {
	for _, node := range nodes {
		if err := tx.setHash(int(node.ID.Level), int64(node.ID.Index), node.Hash); err != nil {
			return tx.fail(err)
		}
	}
	return nil
}

// DequeueLeaves returns the leaves that come next. Leaves in an attempt are all old enough, whatever the cutoff.
func (tx tableTX) DequeueLeaves(_ context.Context, limit int, _ time.Time) ([]*trillian.LogLeaf, error) {
	return tx.queued[:min(limit, len(tx.queued))], nil
}

func (tableTX) UpdateSequencedLeaves(context.Context, []*trillian.LogLeaf) error {
	return status.Error(codes.Unimplemented, "leaves of a tile log have their index from the start")
}

// GetLeavesByRange returns leaves that are sequenced, integrated or not.
func (tx tableTX) GetLeavesByRange(_ context.Context, start, count int64) ([]*trillian.LogLeaf, error) {
	if start < 0 || count < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "%d leaves at %d", count, start)
	}
	var leaves []*trillian.LogLeaf
	for i := start; i < tx.end() && i-start < count; i++ {
		value, err := tx.leaf(i)
		if err != nil {
			return nil, tx.fail(err)
		}
		hash := tlog.RecordHash(value)
		leaves = append(leaves, &trillian.LogLeaf{LeafIndex: i, LeafValue: value, MerkleLeafHash: hash[:]})
	}
	return leaves, nil
}

// GetLeavesByHash has no index to look into; tile logs are read by index.
func (tableTX) GetLeavesByHash(context.Context, [][]byte, bool) ([]*trillian.LogLeaf, error) {
	return nil, status.Error(codes.Unimplemented, "a tile log has no index by hash")
}
