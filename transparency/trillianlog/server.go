package trillianlog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/types"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/starttls-everywhere/policylist/transparency"
)

const (
	// A call adds at most addLeaves leaves and, after the first, addBytes bytes: gRPC servers take 4 MiB by default, and
	// an integrated batch of Trillian's signer is 1,000 leaves by default.
	addLeaves = 1000
	addBytes  = 2 << 20

	// readLeaves is how many leaves are asked for at a time. leafOverhead is more than a leaf's hashes and times take.
	readLeaves   = 1000
	leafOverhead = 1 << 10
	maxReadBytes = readLeaves * (transparency.MaxEntryBytes + leafOverhead)

	// pollInterval is the signer's --sequencer_interval of 100 ms, halved.
	pollInterval = 50 * time.Millisecond

	maxSize = 1 << 48 // as tilelog's
)

// server is one tree of a Trillian log server. What it returns is the server's word, nothing more.
type server struct {
	Options
	conn   *grpc.ClientConn
	client trillian.TrillianLogClient
}

func dial(o Options) (*server, error) {
	conn, err := grpc.NewClient(o.Address,
		grpc.WithTransportCredentials(o.credentials()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(maxReadBytes)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrOptions, o.Address, err)
	}
	return &server{Options: o, conn: conn, client: trillian.NewTrillianLogClient(conn)}, nil
}

// call makes one call within its deadline.
func (s *server) call(ctx context.Context, what string, f func(ctx context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	err := f(within)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%s: tree %d: %s: %w", s.Address, s.Tree, what, err)
}

// root returns the tree that the server says it has. Errors: ErrRoot for one that no tree has, ErrUnavailable.
func (s *server) root(ctx context.Context) (tlog.Tree, error) {
	var resp *trillian.GetLatestSignedLogRootResponse
	err := s.call(ctx, "asking for the root", func(ctx context.Context) (err error) {
		resp, err = s.client.GetLatestSignedLogRoot(ctx, &trillian.GetLatestSignedLogRootRequest{LogId: s.Tree})
		return err
	})
	if err != nil {
		return tlog.Tree{}, err
	}
	var root types.LogRootV1
	if err := root.UnmarshalBinary(resp.GetSignedLogRoot().GetLogRoot()); err != nil {
		return tlog.Tree{}, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if root.TreeSize > maxSize || len(root.RootHash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%w: size %d with a hash of %d bytes", ErrRoot, root.TreeSize, len(root.RootHash))
	}
	return tlog.Tree{N: int64(root.TreeSize), Hash: tlog.Hash(root.RootHash)}, nil
}

// add hands leaves over and returns the indexes that the server holds a leaf at already: the same one or another.
func (s *server) add(ctx context.Context, start int64, leaves [][]byte) (taken map[int64]bool, err error) {
	taken = map[int64]bool{}
	for len(leaves) > 0 {
		n := batch(leaves)
		if err := s.addBatch(ctx, start, leaves[:n], taken); err != nil {
			return nil, err
		}
		start, leaves = start+int64(n), leaves[n:]
	}
	return taken, nil
}

// batch returns how many of the leaves go into one call, at least one.
func batch(leaves [][]byte) int {
	bytes := 0
	for n, leaf := range leaves {
		bytes += len(leaf) + leafOverhead
		if n == addLeaves || n > 0 && bytes > addBytes {
			return n
		}
	}
	return len(leaves)
}

func (s *server) addBatch(ctx context.Context, start int64, leaves [][]byte, taken map[int64]bool) error {
	req := &trillian.AddSequencedLeavesRequest{LogId: s.Tree, Leaves: make([]*trillian.LogLeaf, len(leaves))}
	for i, leaf := range leaves {
		index := start + int64(i)
		req.Leaves[i] = &trillian.LogLeaf{LeafIndex: index, LeafValue: leaf, LeafIdentityHash: identity(index)}
	}
	var resp *trillian.AddSequencedLeavesResponse
	err := s.call(ctx, fmt.Sprintf("adding %d leaves at %d", len(leaves), start), func(ctx context.Context) (err error) {
		resp, err = s.client.AddSequencedLeaves(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	if len(resp.GetResults()) != len(leaves) {
		return fmt.Errorf("%w: %d results for %d leaves added at %d", ErrLeaves, len(resp.GetResults()), len(leaves), start)
	}
	for i, result := range resp.GetResults() {
		index := start + int64(i)
		switch code := codes.Code(result.GetStatus().GetCode()); code {
		case codes.OK:
		case codes.FailedPrecondition, codes.AlreadyExists:
			taken[index] = true
		default:
			return fmt.Errorf("%s: tree %d: adding leaf %d: %v: %s", s.Address, s.Tree, index, code, result.GetStatus().GetMessage())
		}
	}
	return nil
}

// identity is what Trillian tells leaves apart by, 32 bytes in every storage: it is of the index and not of the bytes,
// because the databases refuse a repeated value and a log may well hold the same leaf twice.
func identity(index int64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "policylist/leaf/%d", index))
	return sum[:]
}

// wait polls until a tree that has had last leaves has at least size. Errors: ErrNotIntegrated, ErrRewound, and root's.
func (s *server) wait(ctx context.Context, last, size int64) (tlog.Tree, error) {
	patience := time.NewTimer(s.Patience)
	defer patience.Stop()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		root, err := s.root(ctx)
		switch {
		case err != nil:
			return tlog.Tree{}, err
		case root.N >= size:
			return root, nil
		case root.N < last:
			return tlog.Tree{}, fmt.Errorf("%w: size %d after size %d", ErrRewound, root.N, last)
		case root.N > last:
			last = root.N
			patience.Reset(s.Patience)
		}
		select {
		case <-poll.C:
		case <-patience.C:
			return tlog.Tree{}, fmt.Errorf("%w: size %d of %d for %v; does trillian_log_signer run, with --force_master or elections?",
				ErrNotIntegrated, root.N, size, s.Patience)
		case <-ctx.Done():
			return tlog.Tree{}, ctx.Err()
		}
	}
}

// leaves reads [from, to), which the tree says it has. Errors: ErrLeaves, ErrUnavailable.
func (s *server) leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	leaves := make([][]byte, 0, min(to-from, 1<<20))
	for from < to {
		count := min(to-from, readLeaves)
		var resp *trillian.GetLeavesByRangeResponse
		err := s.call(ctx, fmt.Sprintf("reading %d leaves at %d", count, from), func(ctx context.Context) (err error) {
			resp, err = s.client.GetLeavesByRange(ctx, &trillian.GetLeavesByRangeRequest{LogId: s.Tree, StartIndex: from, Count: count})
			return err
		})
		if err != nil {
			return nil, err
		}
		if got := int64(len(resp.GetLeaves())); got == 0 || got > count {
			return nil, fmt.Errorf("%w: %d leaves where %d were asked for at %d, of a tree of size %d or more", ErrLeaves, got, count, from, to)
		}
		for _, leaf := range resp.GetLeaves() {
			value := leaf.GetLeafValue()
			if leaf.GetLeafIndex() != from || len(value) == 0 || len(value) > transparency.MaxEntryBytes {
				return nil, fmt.Errorf("%w: index %d with %d bytes where leaf %d belongs", ErrLeaves, leaf.GetLeafIndex(), len(value), from)
			}
			leaves = append(leaves, value)
			from++
		}
	}
	return leaves, nil
}
