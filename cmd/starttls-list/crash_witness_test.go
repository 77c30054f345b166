package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// cosigningCalls are the system calls by which a release keeps what it shows to witnesses and what they give.
var cosigningCalls = []fileCall{
	{"/^open", "state/outbox/2/checkpoint.signed"},
	{"/^rename", "state/outbox/2/checkpoint.signed"}, // before the witness is asked
	{"/^rename", "state/witnesses.json"},             // it has cosigned, and nothing here says so
	{"/^rename", "state/outbox/2/checkpoint"},        // its cosignature is in checkpoint.signed
	{"/^rename", "state/outbox/2/proof"},
	{"fsync", "state/outbox/2"},
}

// TestFiguresCrashCosigning is TestFiguresCrashSyscalls for a list that asks a witness: whatever the program has
// forgotten, the witness has not, and it goes on with the same tree.
func TestFiguresCrashCosigning(t *testing.T) {
	tracer, program := strace.Find(t), buildProgram(t)
	w := &memorable{}
	server := httptest.NewServer(w)
	defer server.Close()
	base := newCrashFolder(t, program, func(home string) { w.prepare(t, home, server.URL) })
	before := w.now.Load().Clone()
	points, fired := crashAt(t, cosigningCalls, false, func(t *testing.T, c fileCall, inject string) strace.Result {
		w.now.Store(before.Clone())
		f := base.copy(t)
		r := f.crash(tracer, c.in(f.home, inject))
		report := auditJSON(t, 0, filepath.Join(f.home, pipeline.PublicDir), filepath.Join(f.home, pipeline.TrustDir, "1"))
		if size := w.now.Load().Size(); size != report.Size {
			t.Errorf("the witness has cosigned %d entries, the mirror shows %d", size, report.Size)
		}
		return r
	})
	t.Logf("figures: crash points at system calls of cosigning %d, fired %d", points, fired)
	if points != 2*len(cosigningCalls) || fired != points {
		t.Errorf("%d points, %d of them fired", points, fired)
	}
}

// memorable is a witness that can be set back to what it knew.
type memorable struct {
	now atomic.Pointer[witnesstest.Fake]
}

func (m *memorable) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.now.Load().ServeHTTP(w, r) }

// prepare makes the first trust version anew, so that it asks this witness.
func (m *memorable) prepare(t *testing.T, home, url string) {
	t.Helper()
	chain, err := mirror.ReadTrust(filepath.Join(home, pipeline.TrustDir))
	if err != nil {
		t.Fatal(err)
	}
	trust := chain.Newest()
	root, _, err := signing.Load(filepath.Join(home, pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(trust.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		t.Fatal(err)
	}
	f := witnesstest.StartFake(t, "w", trust.LogVKey(), time.Now)
	f.URL = url
	m.now.Store(f)
	note := witnesstest.WithPolicy(t, trust, f.Line()+"quorum w\n", signer)
	if err := os.WriteFile(filepath.Join(home, pipeline.TrustDir, "1"), note, 0o644); err != nil {
		t.Fatal(err)
	}
}
