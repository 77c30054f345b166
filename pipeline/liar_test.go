//go:build unix

package pipeline_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// follow makes the operator's log that of a Trillian server.
func (o *operator) follow(address string, tree int64, patience time.Duration) {
	p := o.Publisher
	p.OpenLog = func(dir string) (pipeline.Log, error) {
		known, err := p.SignedTree()
		if err != nil {
			return nil, err
		}
		return trillianlog.Open(o.t.Context(), dir, trillianlog.Options{
			Address: address, Tree: tree, Known: known, Timeout: 10 * time.Second, Patience: patience,
		})
	}
}

// TestNothingIsSignedForALiar lets Trillian take the leaves of the second release and then lie about them, in every way
// there is; or stop working. The release ends there: no checkpoint is signed, the mirror shows the first release. When
// Trillian is honest again, the release is completed, and a client that saw the first goes on to it.
func TestNothingIsSignedForALiar(t *testing.T) {
	s := trillianserver.Start(t)
	wants := map[string]error{"root": trillianlog.ErrRoot, "leaves": trillianlog.ErrLeaves, "size": trillianlog.ErrRewound}
	for _, lie := range trillianserver.Lies() {
		t.Run(lie.Name, func(t *testing.T) {
			liar := s.StartLiar(t)
			o := newOperator(t, "public")
			o.follow(liar.Address, s.NewTree(t), 10*time.Second)
			o.betrayed(wants[lie.About], func() { liar.Tell(lie, true) }, func() {
				if liar.Told() == 0 {
					t.Error("nothing was lied about")
				}
				liar.Tell(trillianserver.Lie{}, false)
			})
		})
	}
	t.Run("no signer", func(t *testing.T) {
		o := newOperator(t, "public")
		tree := s.NewTree(t)
		o.follow(s.Address, tree, 10*time.Second)
		o.betrayed(trillianlog.ErrNotIntegrated, func() {
			s.StopSigner()
			o.follow(s.Address, tree, 200*time.Millisecond)
		}, func() {
			s.StartSigner()
			o.follow(s.Address, tree, 10*time.Second)
		})
	})
}

// betrayed makes one release honestly and one between begin and end, and completes it after end.
func (o *operator) betrayed(want error, begin, end func()) {
	o.t.Helper()
	o.release()
	client := o.client("public", mirror.Auto)
	o.update(client, 1)
	before := o.published()
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	begin()
	o.now = o.now.Add(time.Hour)
	if _, err := o.Release(o.t.Context()); !errors.Is(err, want) {
		o.t.Errorf("release: %v, want %v", err, want)
	}
	if name := o.path("state/outbox/2/checkpoint"); !absent(name) {
		o.t.Errorf("%s was signed", name)
	}
	if !bytes.Equal(o.published(), before) {
		o.t.Error("the mirror's pointer changed")
	}
	o.update(client, 1)
	end()
	o.release()
	if absent(o.path("state/outbox/2/checkpoint")) {
		o.t.Error("release 2 was not completed")
	}
	o.update(client, 2)
}

func (o *operator) update(c *mirror.Client, atLeast int64) {
	o.t.Helper()
	out, err := c.Update(o.t.Context())
	if err != nil || out.Release.Release < atLeast {
		o.t.Errorf("client: %v, release %+v, want %d", err, out.Release, atLeast)
	}
}

func (o *operator) published() []byte {
	o.t.Helper()
	data, err := os.ReadFile(filepath.Join(o.path("public"), mirror.CheckpointPath))
	if err != nil {
		o.t.Fatal(err)
	}
	return data
}

func absent(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// TestRebuiltLogHasWhatWasSigned: the folder of the log is lost, and Trillian is another one that holds fewer leaves, or
// other ones, than what this publisher has signed.
func TestRebuiltLogHasWhatWasSigned(t *testing.T) {
	s := trillianserver.Start(t)
	o := newOperator(t, "public")
	tree := s.NewTree(t)
	o.follow(s.Address, tree, 10*time.Second)
	o.release()
	signed, err := o.SignedTree()
	if err != nil || signed == (tlog.Tree{}) {
		t.Fatalf("signed: %v, %v", signed, err)
	}
	if err := os.RemoveAll(o.path("state/log")); err != nil {
		t.Fatal(err)
	}
	o.follow(s.Address, s.NewTree(t), 10*time.Second)
	if _, err := o.Release(t.Context()); !errors.Is(err, trillianlog.ErrRewound) {
		t.Errorf("an empty Trillian: %v", err)
	}
	other := newOperator(t, "public")
	foreign := s.NewTree(t)
	other.follow(s.Address, foreign, 10*time.Second)
	other.release()
	o.follow(s.Address, foreign, 10*time.Second)
	if err := os.RemoveAll(o.path("state/log")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Release(t.Context()); !errors.Is(err, trillianlog.ErrRoot) {
		t.Errorf("another list's Trillian: %v", err)
	}
	o.follow(s.Address, tree, 10*time.Second)
	if err := os.RemoveAll(o.path("state/log")); err != nil {
		t.Fatal(err)
	}
	if out := o.release(); out.Leaf().Release != 2 {
		t.Errorf("after all: release %d", out.Leaf().Release)
	}
}
