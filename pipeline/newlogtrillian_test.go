//go:build unix

package pipeline_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestNewLogOnTrillian: the list's log lives in a Trillian server, and a trust version begins another. With the tree of the
// old log nothing is signed or published; with a tree of its own the new log goes on, and clients with it.
func TestNewLogOnTrillian(t *testing.T) {
	s := trillianserver.Start(t)
	r := newRotating(t, "public")
	old := s.NewTree(t)
	r.follow(s.Address, old, 10*time.Second)
	r.release()
	c := r.client("public", mirror.Auto)
	updated(t, c)
	r.rotate(func(r *rotating) { r.origin = "list.operator.example/second" })
	r.Mirrors = []pipeline.Target{r.target("second")}

	r.follow(s.Address, old, 10*time.Second)
	r.now = r.now.Add(time.Hour)
	_, err := r.Release(t.Context())
	if err == nil || !strings.Contains(err.Error(), "second is not new: give its engine an empty tree of its own, and remove "+r.path("state/log-2")) {
		t.Errorf("with the tree of the old log: %v", err)
	}
	if !absent(r.path("second/" + mirror.CheckpointPath)) {
		t.Error("the new log has the old one's entries")
	}

	// The old leaves stand in the new log's folder now: it is removed with the tree.
	if err := os.RemoveAll(r.path("state/log-2")); err != nil {
		t.Fatal(err)
	}
	r.follow(s.Address, s.NewTree(t), 10*time.Second)
	out := r.release()
	c.Sources = []mirror.Source{{Name: "second", Reader: r.Mirrors[0].Store}}
	if got := updated(t, c); got.Release.Release != 2 || out.Leaf().From != 0 || got.Release.Origin != "list.operator.example/second" {
		t.Errorf("%+v", got)
	}
	r.release()
	c.Method = mirror.Delta
	updated(t, c)
	r.audited("second")
}
