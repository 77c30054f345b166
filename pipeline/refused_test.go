package pipeline_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

func recordHash(data []byte) tlog.Hash { return tlog.RecordHash(data) }

// completed does what transparency/README.md says: the witness's checkpoint goes into the empty place.
func completed(t *testing.T, refusal []byte, held string) mirror.Evidence {
	t.Helper()
	fields := map[string]any{}
	if err := json.Unmarshal(refusal, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["kind"] != "refusal" || fields["first"] != "" {
		t.Fatalf("not to be completed: %s", refusal)
	}
	fields["kind"], fields["first"] = "fork", strings.TrimRight(held, "\n")+"\n"
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	e, err := mirror.ParseEvidence(data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fakes is an operator with honest witnesses in this process, all of which have to cosign.
func fakes(t *testing.T, names ...string) (*operator, []*witnesstest.Fake) {
	t.Helper()
	o := newOperator(t, "public")
	var policy string
	var all []*witnesstest.Fake
	for _, name := range names {
		f := witnesstest.StartFake(t, name, o.Trust.Newest().LogVKey(), func() time.Time { return o.now })
		policy, all = policy+f.Line(), append(all, f)
	}
	o.askWitnesses(policy + "group g all " + strings.Join(names, " ") + "\nquorum g\n")
	return o, all
}

// TestForkShownByAWitness: one that serves its monitoring prefix shows the other history, and the evidence is whole.
func TestForkShownByAWitness(t *testing.T) {
	o, _ := fakes(t, "a")
	o.must("a")
	twin := newOperator(t, "public")
	twin.now, twin.Trust, twin.Keys, twin.Witnesses = o.now, o.Trust, o.Keys, o.Witnesses
	twin.change(1)
	if _, err := twin.try(); !errors.Is(err, pipeline.ErrRefused) {
		t.Fatal(err)
	}
	files := twin.evidence()
	if len(files) != 1 {
		t.Fatalf("%d files of evidence", len(files))
	}
	e, err := mirror.ParseEvidence(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(o.Trust); err != nil {
		t.Error(err)
	}
}

// TestCosignaturesAddUpOverRuns: witnesses that are there by turns make the quorum in the end, and all are asked anew each
// time, so that the quorum time is as late as it can be.
func TestCosignaturesAddUpOverRuns(t *testing.T) {
	o, all := fakes(t, "a", "b")
	o.must("a", "b")
	away := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return true
	}
	all[1].Bend = away
	o.change(1)
	o.waits()
	all[0].Bend, all[1].Bend = away, nil
	o.now = o.now.Add(time.Minute)
	if out, err := o.try(); err != nil || out.Leaf().Release != 2 || out.Witnesses()[0].Err == nil || out.Witnesses()[0].Time.IsZero() {
		t.Fatalf("%v, %+v", err, out)
	}
	all[0].Bend = nil
	o.change(2)
	o.must("a", "b")
}

// TestWitnessWithAnotherClockDoesNotCount: freshness comes from witnesses, so that their time must be right.
func TestWitnessWithAnotherClockDoesNotCount(t *testing.T) {
	o, all := fakes(t, "a", "b")
	o.must("a", "b")
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		all[0].Now = func() time.Time { return o.now.Add(off) }
		o.change(int(off.Hours()) + 5)
		if out := o.waits(); !errors.Is(out.Witnesses()[0].Err, witness.ErrUnavailable) || !strings.Contains(out.Witnesses()[0].Err.Error(), "clock") {
			t.Errorf("%v off: %+v", off, out.Witnesses())
		}
	}
	all[0].Now = func() time.Time { return o.now }
	o.must("a", "b")
}

// TestWaitingReleaseOfNoChanges: nothing new is made on top of it for a while, and then a renewal is.
func TestWaitingReleaseOfNoChanges(t *testing.T) {
	o, all := fakes(t, "a")
	o.must("a")
	all[0].Bend = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return true
	}
	for range 3 {
		if out := o.waits(); out.Leaf().Release != 2 {
			t.Fatalf("release %d waits", out.Leaf().Release)
		}
	}
	o.now = o.now.Add(20 * time.Hour)
	if out := o.waits(); out.Leaf().Release != 3 {
		t.Fatalf("after a day release %d waits", out.Leaf().Release)
	}
	if _, err := o.Final(t.Context()); !errors.Is(err, pipeline.ErrQuorum) {
		t.Errorf("final: %v", err)
	}
	all[0].Bend = nil
	o.now = o.now.Add(time.Second)
	out, err := o.Final(t.Context())
	if err != nil || out.Leaf().Override != mirror.OverrideFinal {
		t.Fatalf("final: %v", err)
	}
	o.proofs(1, out.Leaf().Release)
	replayAll(t, o.Mirrors[0].Store, o, 1, out.Leaf().Release)
}
