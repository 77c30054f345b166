package tilelog

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/types"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"
)

// TestTrillianServesFromTiles asks Trillian's own server, over the tiles of a durable log, for everything that it can
// serve by index: the storage is a whole one, and Trillian's proofs are those that x/mod makes from the same files.
func TestTrillianServesFromTiles(t *testing.T) {
	const size, old = 1000, 300
	l := newLog(t)
	leaves := makeLeaves(0, size)
	mustAppend(t, l, 0, leaves[:old])
	tree := mustAppend(t, l, old, leaves[old:])

	srv := server.NewTrillianLogRPCServer(extension.Registry{
		AdminStorage: oneTree{},
		LogStorage:   &table{attempt: newAttempt(newReader(&l.disk, tree))},
		QuotaManager: quota.Noop(),
	}, stillClock{})
	ctx := t.Context()

	latest, err := srv.GetLatestSignedLogRoot(ctx, &trillian.GetLatestSignedLogRootRequest{LogId: treeID})
	if err != nil {
		t.Fatal(err)
	}
	var root types.LogRootV1
	if err := root.UnmarshalBinary(latest.SignedLogRoot.LogRoot); err != nil {
		t.Fatal(err)
	}
	if root.TreeSize != size || !bytes.Equal(root.RootHash, tree.Hash[:]) {
		t.Errorf("root %x of size %d, want %v", root.RootHash, root.TreeSize, tree)
	}

	got, err := srv.GetLeavesByRange(ctx, &trillian.GetLeavesByRangeRequest{LogId: treeID, StartIndex: 990, Count: 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Leaves) != 10 {
		t.Fatalf("%d leaves from 990 on", len(got.Leaves))
	}
	for i, leaf := range got.Leaves {
		if leaf.LeafIndex != int64(990+i) || !bytes.Equal(leaf.LeafValue, leaves[990+i]) {
			t.Errorf("leaf %d: %d, %q", 990+i, leaf.LeafIndex, leaf.LeafValue)
		}
	}

	consistency, err := srv.GetConsistencyProof(ctx,
		&trillian.GetConsistencyProofRequest{LogId: treeID, FirstTreeSize: old, SecondTreeSize: size})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := tlog.ProveTree(size, old, l)
	if err != nil {
		t.Fatal(err)
	}
	sameProof(t, consistency.Proof.Hashes, ours)

	inclusion, err := srv.GetInclusionProof(ctx,
		&trillian.GetInclusionProofRequest{LogId: treeID, LeafIndex: 513, TreeSize: size})
	if err != nil {
		t.Fatal(err)
	}
	record, err := tlog.ProveRecord(size, 513, l)
	if err != nil {
		t.Fatal(err)
	}
	sameProof(t, inclusion.Proof.Hashes, record)

	if _, err := srv.GetLatestSignedLogRoot(ctx, &trillian.GetLatestSignedLogRootRequest{LogId: treeID + 1}); err == nil {
		t.Error("Trillian was shown a second tree")
	}
	unordered := &trillian.QueueLeafRequest{LogId: treeID, Leaf: &trillian.LogLeaf{LeafValue: leaves[0]}}
	if _, err := srv.QueueLeaf(ctx, unordered); err == nil {
		t.Error("Trillian queued a leaf without an index")
	}
}

func sameProof(t *testing.T, got [][]byte, want []tlog.Hash) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("proof of %d hashes, x/mod has %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i][:]) {
			t.Errorf("hash %d of the proof: %x, x/mod has %x", i, got[i], want[i])
		}
	}
}

// TestTrillianIsSilent: once a log has been opened, nothing that Trillian says through klog gets to the terminal.
func TestTrillianIsSilent(t *testing.T) {
	newLog(t)
	terminal, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = terminal
	klog.Info("info")
	klog.Warning("warning")
	klog.Error("error")
	klog.Flush()
	os.Stderr = stderr
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(terminal.Name()); err != nil || len(said) != 0 {
		t.Errorf("Trillian said %q (%v)", said, err)
	}
}

// TestNoDatabaseIsLinked keeps Trillian's databases and servers out: its packages log and server are all that is wanted.
func TestNoDatabaseIsLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("go list names %d packages only", len(deps))
	}
	for _, dep := range deps {
		for _, unwanted := range []string{
			"database/sql", "github.com/google/trillian/storage/", "github.com/transparency-dev/tessera", "cloud.google.com/",
			"github.com/jackc/", "github.com/go-sql-driver/", "go.etcd.io/", "github.com/prometheus/", "testing",
		} {
			if strings.HasPrefix(dep, unwanted) && dep != "github.com/google/trillian/storage/tree" {
				t.Errorf("links %s", dep)
			}
		}
	}
}
