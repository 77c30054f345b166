package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// askWitnesses makes the operator's first trust version anew, with a witness policy.
func (o *operator) askWitnesses(policy string) {
	o.t.Helper()
	old := o.Trust.Newest()
	root, _, err := signing.Load(o.path(pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		o.t.Fatal(err)
	}
	name, _, _ := strings.Cut(old.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(pipeline.TrustDir+"/1", string(witnesstest.WithPolicy(o.t, old, policy, signer)))
	var names []string
	for _, m := range o.Mirrors {
		names = append(names, m.Name)
	}
	o.Publisher = o.publisher(names...)
	o.Witnesses = witness.New("test/1")
	o.Witnesses.Patience = 5 * time.Second
}

// today moves the operator to the time that real witnesses live in.
func (o *operator) today() { o.now = time.Now() }

// try releases without giving up on an error.
func (o *operator) try() (*pipeline.Published, error) {
	o.t.Helper()
	o.now = o.now.Add(time.Second)
	return o.Release(o.t.Context())
}

// must releases, with a cosignature of each witness named.
func (o *operator) must(names ...string) *pipeline.Published {
	o.t.Helper()
	out, err := o.try()
	if err != nil {
		o.t.Fatal(err)
	}
	if out.Waiting() || !out.Witnessed() {
		o.t.Fatalf("released, but waiting %v, witnessed %v", out.Waiting(), out.Witnessed())
	}
	cosigned := map[string]bool{}
	for _, w := range out.Witnesses() {
		cosigned[w.Name] = !w.Time.IsZero()
		if age := o.now.Sub(w.Time); !w.Time.IsZero() && age.Abs() > time.Minute {
			o.t.Errorf("%s cosigned %v ago", w.Name, age)
		}
	}
	for _, n := range names {
		if !cosigned[n] {
			o.t.Errorf("no cosignature of %s: %+v", n, out.Witnesses())
		}
	}
	return out
}

// waits releases, finds no quorum, and sees that the mirror did not move.
func (o *operator) waits() *pipeline.Published {
	o.t.Helper()
	before := o.pointer()
	out, err := o.try()
	if !errors.Is(err, pipeline.ErrQuorum) || out == nil || !out.Waiting() {
		o.t.Fatalf("want no quorum, got %v", err)
	}
	if !bytes.Equal(o.pointer(), before) {
		o.t.Fatal("the mirror shows a checkpoint without its quorum")
	}
	return out
}

func (o *operator) pointer() []byte {
	o.t.Helper()
	data, err := os.ReadFile(filepath.Join(o.path("public"), mirror.PointerPath))
	if err != nil && !os.IsNotExist(err) {
		o.t.Fatal(err)
	}
	return data
}

// change edits the list, so that the next release has something new.
func (o *operator) change(n int) {
	o.t.Helper()
	o.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new.example":{"mode":"testing","mxs":["mx%d.new.example"]}}}`, n))
}

// evidence returns the files that the state keeps.
func (o *operator) evidence() [][]byte {
	o.t.Helper()
	names, err := filepath.Glob(filepath.Join(o.State, "evidence", "*.json"))
	if err != nil {
		o.t.Fatal(err)
	}
	var out [][]byte
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			o.t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

// proofs reads every release's proof from the mirror and checks it.
func (o *operator) proofs(from, to int64) {
	o.t.Helper()
	for n := from; n <= to; n++ {
		data, err := os.ReadFile(filepath.Join(o.path("public"), mirror.ReleasePath(n)))
		if err != nil {
			o.t.Errorf("release %d: %v", n, err)
			continue
		}
		proof, err := transparency.ParseProof(data)
		if err != nil {
			o.t.Errorf("release %d: %v", n, err)
			continue
		}
		c, err := o.Trust.Newest().OpenCheckpoint(proof.Checkpoint)
		leaf, parse := mirror.ParseLeaf(proof.Extra)
		if err = errors.Join(err, parse, proof.Check(recordHash(proof.Extra), c.Tree)); err != nil || leaf.Release.Release != n {
			o.t.Errorf("release %d: %v", n, err)
		}
	}
}

// lossy passes requests on; while it is cut, answers are lost after the witness did its work.
type lossy struct {
	cut  atomic.Bool
	lost atomic.Int64
}

func (l *lossy) before(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.cut.Load() {
			proxy.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		if answer.Code == http.StatusOK {
			l.lost.Add(1)
		}
		panic(http.ErrAbortHandler) // closes the connection
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// pair is an operator whose trust names both real witnesses.
func pair(t *testing.T, quorum string) (o *operator, omni, lite *witnesstest.Process, line *lossy) {
	t.Helper()
	o, line = newOperator(t, "public"), &lossy{}
	o.today()
	log := o.Trust.Newest()
	omni, lite = witnesstest.StartOmniwitness(t, log.LogVKey(), log.Origin), witnesstest.StartLitewitness(t, log.LogVKey(), log.Origin)
	var policy string
	for _, p := range []*witnesstest.Process{omni, lite} {
		policy += fmt.Sprintf("witness %s %s %s\n", p.Name, p.VKey, line.before(t, p.URL))
	}
	o.askWitnesses(policy + "group both " + quorum + " omni lite\nquorum both\n")
	return o, omni, lite, line
}

// TestBothWitnessesCosign: a list under two real witnesses, both of which have to cosign, through a lost answer, an
// outage and a power cut.
func TestBothWitnessesCosign(t *testing.T) {
	o, omni, lite, line := pair(t, "all")
	first := o.must("omni", "lite")
	client := o.client("public", mirror.Auto)
	update := func(release int64) {
		t.Helper()
		got, err := client.Update(t.Context())
		if err != nil {
			t.Fatal(err, got.Problems)
		}
		if got.Release.Release != release || !got.Witnessed || got.Freshness != mirror.Fresh || o.now.Sub(got.QuorumTime).Abs() > time.Minute {
			t.Fatalf("a client holds release %d, %v, quorum time %v", got.Release.Release, got.Freshness, got.QuorumTime)
		}
	}
	update(1)
	o.change(1)
	o.must("omni", "lite")
	update(2)

	// The answers are lost, not the work: both witnesses are ahead of what the publisher remembers.
	line.cut.Store(true)
	o.change(2)
	o.waits()
	if line.lost.Load() != 2 {
		t.Fatalf("%d answers were lost", line.lost.Load())
	}
	update(2)
	line.cut.Store(false)
	if out := o.must("omni", "lite"); out.Leaf().Release != 3 || !out.Unchanged {
		t.Fatalf("the release that waited: %d", out.Leaf().Release)
	}
	update(3)

	// One is away: releases pile up, the newest takes them all along.
	lite.Stop()
	for n := range 3 {
		o.change(10 + n)
		if out := o.waits(); out.Leaf().Release != int64(4+n) || out.Witnesses()[0].Err != nil || out.Witnesses()[1].Err == nil {
			t.Fatalf("release %d: %+v", out.Leaf().Release, out.Witnesses())
		}
	}
	update(3)
	omni.Stop()
	o.change(20)
	o.waits()
	omni.Start(t)
	lite.Start(t)
	out := o.must("omni", "lite")
	if out.Leaf().Release != 7 || !out.Unchanged {
		t.Fatalf("after the outage: release %d", out.Leaf().Release)
	}
	update(7)
	o.proofs(1, 7)
	replayAll(t, o.Mirrors[0].Store, o, first.Leaf().Release, 7)
	cold := o.client("public", mirror.Snapshot)
	if got, err := cold.Update(t.Context()); err != nil || got.Release.Release != 7 {
		t.Errorf("a new client: %v, %v", err, got.Problems)
	}
	if files := o.evidence(); len(files) > 0 {
		t.Errorf("evidence against an honest log:\n%s", files[0])
	}
}

// TestOneWitnessOfTwoIsEnough where the trust says so.
func TestOneWitnessOfTwoIsEnough(t *testing.T) {
	o, omni, lite, _ := pair(t, "any")
	omni.Stop()
	out := o.must("lite")
	if r := out.Witnesses()[0]; !r.Time.IsZero() || !errors.Is(r.Err, witness.ErrUnavailable) {
		t.Errorf("the witness that is away: %+v", r)
	}
	lite.Stop()
	omni.Start(t)
	o.change(1)
	o.must("omni")
	lite.Start(t)
	o.change(2)
	o.must("omni", "lite")
	got, err := o.client("public", mirror.Auto).Update(t.Context())
	if err != nil || got.Release.Release != 3 {
		t.Errorf("a client: %v, %v", err, got.Problems)
	}
	omni.Stop()
	lite.Stop()
	o.change(3)
	o.waits()
}

// TestForkIsRefusedByBothWitnesses: a second publisher with the same keys and an empty state. Its release gets no
// cosignature, smaller or larger than the witnesses' tree, and the state keeps what shows the fork.
func TestForkIsRefusedByBothWitnesses(t *testing.T) {
	sqlite := tool.Path(t, "sqlite3")
	o, omni, _, _ := pair(t, "all")
	o.must("omni", "lite")
	o.change(1)
	o.must("omni", "lite")

	fork := func(domains int) (*operator, error) {
		twin := newOperator(t, "public")
		twin.now, twin.Trust, twin.Keys, twin.Witnesses = o.now, o.Trust, o.Keys, o.Witnesses
		var entries []string
		for i := range domains {
			entries = append(entries, fmt.Sprintf(`"d%d.example":{"mode":"testing","mxs":["mx.d%d.example"]}`, i, i))
		}
		twin.write("list/domains/new.json", `{"policies":{`+strings.Join(entries, ",")+`}}`)
		_, err := twin.try()
		return twin, err
	}
	for _, domains := range []int{1, 30} {
		twin, err := fork(domains)
		if !errors.Is(err, pipeline.ErrRefused) {
			t.Fatalf("%d domains: %v", domains, err)
		}
		for _, name := range []string{"omni", "lite"} {
			if !strings.Contains(err.Error(), "witness "+name) {
				t.Errorf("%d domains: not refused by %s: %v", domains, name, err)
			}
		}
		files := twin.evidence()
		if len(files) != 2 || twin.pointer() != nil {
			t.Fatalf("%d domains: %d files of evidence, pointer %q", domains, len(files), twin.pointer())
		}
		if _, err := twin.try(); !errors.Is(err, pipeline.ErrRefused) || len(twin.evidence()) != 2 {
			t.Errorf("%d domains, once more: %v, %d files", domains, err, len(twin.evidence()))
		}
		for _, data := range files {
			if _, err := mirror.ParseEvidence(data); !errors.Is(err, mirror.ErrNoFork) {
				t.Errorf("half of a proof is taken for one: %v", err)
			}
		}
		if domains == 1 {
			continue // they know the larger tree; there is nothing here to prove from
		}
		// With the checkpoint that a witness holds, either file proves the fork.
		held, err := exec.Command(sqlite, omni.DB, "SELECT chkpt FROM chkpts").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range files {
			e := completed(t, data, string(held))
			if err := e.Check(o.Trust); err != nil {
				t.Errorf("the completed evidence: %v\n%s", err, e.Bytes())
			}
		}
	}
	o.change(2)
	o.must("omni", "lite")
}
