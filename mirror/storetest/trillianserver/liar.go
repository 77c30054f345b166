//go:build unix

package trillianserver

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/google/trillian"
	"github.com/google/trillian/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// A Lie says how answers of the real server are falsified. What is nil stays true.
type Lie struct {
	Name    string
	About   string // what is wrong with the log: "root", "leaves" or "size"
	Root    func(*types.LogRootV1)
	Leaves  func([]*trillian.LogLeaf) []*trillian.LogLeaf
	Results func([]*trillian.QueuedLogLeaf) []*trillian.QueuedLogLeaf
}

// Lies returns one of every kind. Those about leaves want at least two in an answer.
func Lies() []Lie {
	return []Lie{
		{Name: "another root hash", About: "root", Root: func(r *types.LogRootV1) { r.RootHash[0] ^= 1 }},
		{Name: "a root hash cut short", About: "root", Root: func(r *types.LogRootV1) { r.RootHash = r.RootHash[:31] }},
		{Name: "half the size", About: "size", Root: func(r *types.LogRootV1) { r.TreeSize /= 2 }},
		{Name: "an empty tree", About: "size", Root: func(r *types.LogRootV1) { r.TreeSize = 0 }},
		{Name: "one leaf more than there is", About: "leaves", Root: func(r *types.LogRootV1) { r.TreeSize++ }},
		{Name: "a size that no log has", About: "root", Root: func(r *types.LogRootV1) { r.TreeSize = 1 << 63 }},
		leavesLie("a flipped bit in the last leaf", func(l []*trillian.LogLeaf) []*trillian.LogLeaf {
			l[len(l)-1].LeafValue[0] ^= 1
			return l
		}),
		leavesLie("two leaves exchanged", func(l []*trillian.LogLeaf) []*trillian.LogLeaf {
			l[0].LeafValue, l[1].LeafValue = l[1].LeafValue, l[0].LeafValue
			return l
		}),
		leavesLie("an empty leaf", func(l []*trillian.LogLeaf) []*trillian.LogLeaf { l[0].LeafValue = nil; return l }),
		leavesLie("a leaf of another index", func(l []*trillian.LogLeaf) []*trillian.LogLeaf { l[0].LeafIndex++; return l }),
		leavesLie("a leaf too many", func(l []*trillian.LogLeaf) []*trillian.LogLeaf { return append(l, l[0]) }),
		leavesLie("no leaves", func([]*trillian.LogLeaf) []*trillian.LogLeaf { return nil }),
		{Name: "a result too few", About: "leaves", Results: func(r []*trillian.QueuedLogLeaf) []*trillian.QueuedLogLeaf { return r[1:] }},
	}
}

func leavesLie(name string, f func([]*trillian.LogLeaf) []*trillian.LogLeaf) Lie {
	return Lie{Name: name, About: "leaves", Leaves: f}
}

// Liar stands between a client and the real server. It tells the truth until told otherwise.
type Liar struct {
	Address string // as Servers.Address

	trillian.UnimplementedTrillianLogServer
	real trillian.TrillianLogClient

	mu    sync.Mutex
	lie   Lie
	later bool // it begins with the next leaves that are added
	told  int
}

// StartLiar starts a liar; options may make it one with TLS.
func (s *Servers) StartLiar(t testing.TB, options ...grpc.ServerOption) *Liar {
	t.Helper()
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Liar{Address: listener.Addr().String(), real: trillian.NewTrillianLogClient(conn)}
	srv := grpc.NewServer(options...)
	trillian.RegisterTrillianLogServer(srv, l)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		conn.Close()
	})
	return l
}

// Tell makes it lie from now on; later, when the next leaves have been added. The zero Lie ends it.
func (l *Liar) Tell(lie Lie, later bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie, l.later, l.told = lie, later, 0
}

// Told returns how many answers were false since Tell.
func (l *Liar) Told() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// tell calls f with the lie to tell, which counts when f says that it told it.
func (l *Liar) tell(f func(Lie) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.later && f(l.lie) {
		l.told++
	}
}

// GetLatestSignedLogRoot lies about roots.
func (l *Liar) GetLatestSignedLogRoot(
	ctx context.Context, req *trillian.GetLatestSignedLogRootRequest,
) (*trillian.GetLatestSignedLogRootResponse, error) {
	resp, err := l.real.GetLatestSignedLogRoot(ctx, proto.CloneOf(req))
	if err != nil {
		return nil, err
	}
	l.tell(func(lie Lie) bool {
		var root types.LogRootV1
		if lie.Root == nil || root.UnmarshalBinary(resp.SignedLogRoot.LogRoot) != nil {
			return false
		}
		lie.Root(&root)
		resp.SignedLogRoot.LogRoot, err = root.MarshalBinary()
		return true
	})
	return resp, err
}

// GetLeavesByRange lies about leaves.
func (l *Liar) GetLeavesByRange(
	ctx context.Context, req *trillian.GetLeavesByRangeRequest,
) (*trillian.GetLeavesByRangeResponse, error) {
	resp, err := l.real.GetLeavesByRange(ctx, proto.CloneOf(req))
	if err != nil {
		return nil, err
	}
	l.tell(func(lie Lie) bool {
		if lie.Leaves == nil || len(resp.Leaves) < 2 {
			return false
		}
		resp.Leaves = lie.Leaves(resp.Leaves)
		return true
	})
	return resp, nil
}

// AddSequencedLeaves lies about results.
func (l *Liar) AddSequencedLeaves(
	ctx context.Context, req *trillian.AddSequencedLeavesRequest,
) (*trillian.AddSequencedLeavesResponse, error) {
	resp, err := l.real.AddSequencedLeaves(ctx, proto.CloneOf(req))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.later = false
	l.mu.Unlock()
	l.tell(func(lie Lie) bool {
		if lie.Results == nil {
			return false
		}
		resp.Results = lie.Results(resp.Results)
		return true
	})
	return resp, nil
}
