package pipeline_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// operator is a list operator's folder with a clock of its own and a client that follows its first mirror.
type operator struct {
	t   testing.TB
	dir string
	now time.Time
	*pipeline.Publisher
}

func newOperator(t testing.TB, mirrors ...string) *operator {
	t.Helper()
	o := &operator{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	if _, err := pipeline.Setup(o.dir, pipeline.SetupOptions{Plain: true, Now: o.now}); err != nil {
		t.Fatal(err)
	}
	o.Publisher = o.publisher(mirrors...)
	return o
}

func (o *operator) path(name string) string { return filepath.Join(o.dir, name) }

// publisher is what a new process would be.
func (o *operator) publisher(mirrors ...string) *pipeline.Publisher {
	o.t.Helper()
	chain, err := mirror.ReadTrust(o.path(pipeline.TrustDir))
	if err != nil {
		o.t.Fatal(err)
	}
	p := &pipeline.Publisher{
		Source: o.path(pipeline.SourceDir), Commit: pipeline.NoCommit, State: o.path(pipeline.StateDir), Trust: chain,
		OpenLog: func(dir string) (pipeline.Log, error) { return tilelog.Open(dir) },
		Now:     func() time.Time { return o.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	release, _, err := signing.Load(o.path(pipeline.ReleaseKeyFile), signing.Password{})
	if err != nil {
		o.t.Fatal(err)
	}
	log, _, err := signing.Load(o.path(pipeline.LogKeyFile), signing.Password{})
	if err != nil {
		o.t.Fatal(err)
	}
	p.Keys.Release = []signing.Signer{release}
	if p.Keys.Log, err = log.NoteSigner(chain.Newest().Origin); err != nil {
		o.t.Fatal(err)
	}
	for _, name := range mirrors {
		store, err := dir.Open(o.path(name))
		if err != nil {
			o.t.Fatal(err)
		}
		p.Mirrors = append(p.Mirrors, pipeline.Target{Name: name, Store: store})
	}
	return p
}

func (o *operator) release() *pipeline.Published {
	o.t.Helper()
	o.now = o.now.Add(time.Hour)
	out, err := o.Release(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

func (o *operator) write(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(o.path(name), []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// client is a mail server's list in a folder of its own.
func (o *operator) client(mirrorName string, method mirror.Method) *mirror.Client {
	o.t.Helper()
	folder := o.t.TempDir()
	store, err := dir.Open(o.path(mirrorName))
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := mirror.Join(o.t.Context(), folder, store, o.Trust.Versions()[0].Digest()); err != nil {
		o.t.Fatal(err)
	}
	return &mirror.Client{Dir: folder, Sources: []mirror.Source{{Name: mirrorName, Reader: store}}, Method: method,
		Now: func() time.Time { return o.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func (o *operator) observe(l *lab.Lab) {
	o.t.Helper()
	roots, err := probe.ParseRoots(l.RootsPEM())
	if err != nil {
		o.t.Fatal(err)
	}
	p, err := probe.New(probe.Options{Resolver: l.Resolver(), Roots: roots, AllowLoopback: true, SMTPPort: l.SMTPPort(), Timeout: 5 * time.Second})
	if err != nil {
		o.t.Fatal(err)
	}
	o.Observer = p
}

func TestReleaseAndBothPaths(t *testing.T) {
	o := newOperator(t, "public", "second")
	first := o.release()
	if first.Leaf().Count != 5 || len(first.Changes()) != 5 || first.Leaf().Override != "probe.off" {
		t.Fatalf("first release: %+v", first.Leaf())
	}
	delta, snapshot := o.client("public", mirror.Delta), o.client("second", mirror.Snapshot)
	delta.Method = mirror.Auto
	update := func() (a, b mirror.Outcome) {
		t.Helper()
		a, err := delta.Update(t.Context())
		if err != nil {
			t.Fatal(err, a.Problems)
		}
		if b, err = snapshot.Update(t.Context()); err != nil {
			t.Fatal(err, b.Problems)
		}
		if string(list(t, delta.Dir)) != string(list(t, snapshot.Dir)) {
			t.Fatal("the two paths end in different bytes")
		}
		return a, b
	}
	if a, _ := update(); a.Freshness != mirror.Fresh || a.Method != "snapshot" || a.Witnessed {
		t.Fatalf("first update: %+v", a)
	}
	delta.Method = mirror.Delta
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	o.release()
	if a, _ := update(); a.Method != "delta" || a.List.Len() != 6 || a.Release.Release != 2 {
		t.Fatalf("second update: %s %d %d", a.Method, a.List.Len(), a.Release.Release)
	}
	if a, b := update(); a.Method != "none" || b.Method != "none" {
		t.Fatalf("nothing new, but %s and %s", a.Method, b.Method)
	}
	if third := o.release(); third.Leaf().Source != "renew" || third.Leaf().Release != 3 || len(third.Changes()) != 0 {
		t.Fatalf("renewal: %+v", third.Leaf())
	}
	update()
	if got := list(t, o.path("public")); string(got) != string(list(t, delta.Dir)) {
		t.Error("the mirror's policy.json is not what clients hold")
	}
	if _, err := o.Final(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, _ := update(); a.List.Len() != 0 || a.Release.Override != mirror.OverrideFinal {
		t.Errorf("after the end of the list: %d domains, %q", a.List.Len(), a.Release.Override)
	}
}

func list(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, mirror.ListPath))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestBrokenDomainIsHeld: what fails its probe keeps its last published policy, or stays absent; the rest goes out.
func TestBrokenDomainIsHeld(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.AddExample(); err != nil {
		t.Fatal(err)
	}
	o := newOperator(t, "public")
	o.now = time.Now()
	o.observe(l)
	if out := o.release(); out.Leaf().Count != 5 || len(out.Held) != 0 || out.Leaf().Evidence == nil || out.Leaf().Override != "" {
		t.Fatalf("first release: held %v, %+v", out.Held, out.Leaf())
	}
	if err := l.SetBehaviour("mx.trial.example", lab.NoStartTLS); err != nil {
		t.Fatal(err)
	}
	o.observe(l)
	o.write("list/domains/owners.json", `{"policies":{
		"good.example": {"mode": "testing", "mxs": ["mx.good.example"]},
		"suffix.example": {"mode": "enforce", "mxs": [".mx.suffix.example"]},
		"trial.example": {"mode": "enforce", "mxs": ["mx.trial.example"]}}}`)
	out := o.release()
	if len(out.Held) != 1 || out.Held[0].Change.Domain.String() != "trial.example" || out.Held[0].Verdict != probe.Fail {
		t.Fatalf("held: %+v", out.Held)
	}
	trial, _ := policy.ParseDomain("trial.example")
	if p, _ := out.List().Lookup(trial); p.Mode != policy.Testing {
		t.Errorf("trial.example is published as %s", p.Mode)
	}
	if len(out.Changes()) != 1 {
		t.Errorf("changes: %+v", out.Changes())
	}
}

// TestSourceErrorsRenew: a source with errors changes nothing, but the list does not expire.
func TestSourceErrorsRenew(t *testing.T) {
	o := newOperator(t, "public")
	first := o.release()
	o.write("list/domains/bad.json", `{"policies":{"bad.example":{"mode":"enforce","mxs":["192.0.2.1"]}}}`)
	out := o.release()
	if out.Leaf().Source != "renew" || out.Leaf().Count != first.Leaf().Count || len(out.Findings) == 0 {
		t.Errorf("got %+v with findings %v", out.Leaf(), out.Findings)
	}
}

func newOperatorStore(t *testing.T) mirror.Store {
	t.Helper()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}
