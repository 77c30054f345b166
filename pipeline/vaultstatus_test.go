package pipeline_test

import (
	"context"
	"errors"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// readOnly is a store whose credentials do not let anybody write.
type readOnly struct{ pipeline.VaultStore }

var errDenied = errors.New("access denied")

func (readOnly) Probe(context.Context, string, int) (mirror.Conditions, error) {
	return mirror.Conditions{}, errDenied
}

// TestVaultStatus: whoever may only read still learns whose the lease is, and what an earlier run has found out about the
// store; nobody learns anything wrong about a store that nobody has tried.
func TestVaultStatus(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	status := func(store pipeline.VaultStore, name string) pipeline.VaultStatus {
		t.Helper()
		s, err := (&pipeline.Vault{Store: store, Publisher: name}).Status(t.Context(), o.Now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := status(readOnly{b.store("state")}, "")
	if !s.Empty || !s.Probed.IsZero() || s.Held || !errors.Is(s.ProbeErr, errDenied) || !errors.Is(s.Refusal, errDenied) || errors.Is(s.Refusal, pipeline.ErrPublisher) {
		t.Errorf("an untried store: %+v", s)
	}
	o.remote(b.store("state")).Vault.Publisher = "ci"
	o.release()
	s = status(readOnly{b.store("state")}, "")
	if s.Empty || !s.Conditions.Hold() || s.Probed.IsZero() || s.Owner != "ci" || s.Held || s.Epoch != 1 || s.Refusal != nil {
		t.Errorf("for a reader: %+v", s)
	}
	s = status(racing{b.store("state")}, "laptop")
	if s.Conditions.Hold() || !errors.Is(s.Refusal, pipeline.ErrPublisher) {
		t.Errorf("under another name at a racing store: %+v", s)
	}
	if s = status(racing{b.store("state")}, "ci"); s.Refusal != nil {
		t.Errorf("under its own name: %+v", s)
	}
}
