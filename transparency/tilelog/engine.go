package tilelog

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
)

const (
	// treeID names the one tree to Trillian. Nothing stores it.
	treeID = 1
	// batchLeaves is how many leaves Trillian integrates at a time. It builds a map of all nodes of a batch.
	batchLeaves = 4096
)

// silenceTrillian turns off klog, through which Trillian prints to stderr whatever it does; all that matters comes back
// as an error. Trillian and klog keep this switch, and the metrics that must be set up before the sequencer runs, in
// their own package variables, so the guard has to be one as well.
var silenceTrillian = sync.OnceFunc(func() {
	klog.SetLogger(logr.Discard())
	log.InitMetrics(nil)
})

func trillianTree() *trillian.Tree {
	return &trillian.Tree{
		TreeId:    treeID,
		TreeState: trillian.TreeState_ACTIVE,
		TreeType:  trillian.TreeType_PREORDERED_LOG,
	}
}

// sequence hands leaves to Trillian's log server and has its sequencer integrate them into a.
func sequence(ctx context.Context, a *attempt, start int64, leaves [][]byte) error {
	table := &table{attempt: a}
	srv := server.NewTrillianLogRPCServer(extension.Registry{
		AdminStorage: oneTree{},
		LogStorage:   table,
		QuotaManager: quota.Noop(),
	}, stillClock{})
	for batch := range slices.Chunk(leaves, batchLeaves) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := addSequenced(ctx, srv, start, batch); err != nil {
			return a.cause(err)
		}
		start += int64(len(batch))
		for len(a.queued) > 0 {
			n, err := log.IntegrateBatch(ctx, trillianTree(), batchLeaves, 0, 0, stillClock{}, table, quota.Noop())
			if err != nil {
				return a.cause(err)
			}
			if n == 0 {
				return fmt.Errorf("sequencer left %d leaves", len(a.queued))
			}
		}
	}
	return nil
}

// cause prefers what the storage reported to what Trillian made of it.
func (a *attempt) cause(err error) error {
	if a.err != nil {
		return a.err
	}
	return err
}

func addSequenced(ctx context.Context, srv *server.TrillianLogRPCServer, start int64, leaves [][]byte) error {
	req := &trillian.AddSequencedLeavesRequest{LogId: treeID, Leaves: make([]*trillian.LogLeaf, len(leaves))}
	for i, leaf := range leaves {
		index := start + int64(i)
		req.Leaves[i] = &trillian.LogLeaf{
			LeafIndex: index,
			LeafValue: leaf,
			// Trillian's default, the leaf hash, would make a second leaf of the same bytes a duplicate.
			LeafIdentityHash: binary.BigEndian.AppendUint64(nil, uint64(index)),
		}
	}
	resp, err := srv.AddSequencedLeaves(ctx, req)
	if err != nil {
		return err
	}
	for i, result := range resp.Results {
		switch code := codes.Code(result.GetStatus().GetCode()); code {
		case codes.OK, codes.AlreadyExists:
		case codes.FailedPrecondition:
			return fmt.Errorf("%w at index %d", ErrConflict, start+int64(i))
		case codes.OutOfRange:
			return fmt.Errorf("%w: %s", ErrGap, result.Status.GetMessage())
		default:
			return fmt.Errorf("leaf %d: %v: %s", start+int64(i), code, result.Status.GetMessage())
		}
	}
	return nil
}

// stillClock is a clock.TimeSource at which it is always one nanosecond past 1970: later than the roots that the storage
// shows to the sequencer (0), which is all that the sequencer asks of a clock. It has no timers to offer, and neither
// the server nor IntegrateBatch takes one.
type stillClock struct{}

func (stillClock) Now() time.Time { return time.Unix(0, 1).UTC() }

func (stillClock) NewTimer(d time.Duration) clock.Timer { return clock.System.NewTimer(d) }
