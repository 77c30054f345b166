package pipeline_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// askFrom makes the witnesses of the next trust version those of the policy, which real processes are.
func (r *rotating) askFrom(policy string) {
	r.t.Helper()
	w, err := transparency.ParseWitnessPolicy(policy)
	if err != nil {
		r.t.Fatal(err)
	}
	r.rotate(func(r *rotating) { r.witness = w })
}

// TestWitnessesRotate: trust versions replace a witness by another, ask for both, give one a new key, and ask for none,
// while both run. A client follows by deltas, one that was off all the time by a snapshot; the newest version's witnesses
// must have cosigned, whoever cosigned before.
func TestWitnessesRotate(t *testing.T) {
	r := newRotating(t, "public")
	r.today()
	log := r.Trust.Newest()
	omni, lite := witnesstest.StartOmniwitness(t, log.LogVKey(), log.Origin), witnesstest.StartLitewitness(t, log.LogVKey(), log.Origin)
	r.askWitnesses(omni.Line() + "quorum omni\n")
	r.reopen()
	r.must("omni")
	client, offline := r.client("public", mirror.Auto), r.client("public", mirror.Snapshot)
	updated(t, client)
	updated(t, offline)
	client.Method = mirror.Delta
	follows := func(trust int64, witnessed bool) {
		t.Helper()
		got := updated(t, client)
		if got.TrustVersion != trust || got.Witnessed != witnessed || got.Freshness != mirror.Fresh || len(got.Alarms) > 0 {
			t.Errorf("under version %d: %+v", trust, got)
		}
	}

	// The new witness starts from nothing, in the middle of the log; the old one is not asked any more.
	omni.Stop()
	r.askFrom(lite.Line() + "quorum lite\n")
	r.must("lite")
	follows(2, true)

	// Both: the one that was away is behind by a release. While the other is away there is no quorum, nor a way back.
	r.askFrom(omni.Line() + lite.Line() + "group both all omni lite\nquorum both\n")
	r.change(1)
	r.waits()
	if got, err := client.Update(t.Context()); err != nil || got.Release.Release != 2 {
		t.Errorf("without a quorum: %v, %+v", err, got)
	}
	omni.Start(t)
	r.must("omni", "lite")
	follows(3, true)

	// A witness with a new key is another witness: its old cosignatures count no more.
	lite.Stop()
	again := witnesstest.StartLitewitness(t, log.LogVKey(), log.Origin)
	if again.VKey == lite.VKey {
		t.Fatal("the second litewitness has the key of the first")
	}
	r.askFrom(again.Line() + "quorum lite\n")
	r.change(2)
	r.must("lite")
	follows(4, true)
	offline.Sources[0].Reader = r.Mirrors[0].Store
	if got := updated(t, offline); got.TrustVersion != 4 || !got.Witnessed || got.Method != "snapshot" {
		t.Errorf("a client that was off: %+v", got)
	}

	r.rotate(func(r *rotating) { r.witness = transparency.WitnessPolicy{} })
	r.change(3)
	r.now = r.now.Add(time.Second)
	if out, err := r.Release(t.Context()); err != nil || out.Witnessed() || out.Leaf().Trust != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	follows(5, false)
	r.audited("public")
}
