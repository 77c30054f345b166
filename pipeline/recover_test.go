package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// recovers calls Recover as a command with --yes does, with changes to the options.
func (o *operator) recovers(change ...func(*pipeline.RecoverOptions)) (*pipeline.Recovery, error) {
	o.t.Helper()
	options := pipeline.RecoverOptions{
		Open:    func(dir string) (pipeline.Log, error) { return tilelog.Open(dir) },
		Confirm: func(*pipeline.Recovery) error { return nil }, Evidence: o.t.TempDir(),
	}
	for _, f := range change {
		f(&options)
	}
	return o.Recover(o.t.Context(), options)
}

// recovered must work.
func (o *operator) recovered(change ...func(*pipeline.RecoverOptions)) *pipeline.Recovery {
	o.t.Helper()
	out, err := o.recovers(change...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// lose loses the state folder.
func (o *operator) lose() {
	o.t.Helper()
	if err := os.RemoveAll(o.State); err != nil {
		o.t.Fatal(err)
	}
}

// news is a change in the source, a new one for each n.
func (o *operator) news(n int) {
	o.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new.example":{"mode":"testing","mxs":["mx%d.new.example"]}}}`, n))
}

// clean audits mirrors as a stranger does, and lets Tessera check their tiles.
func (o *operator) clean(names ...string) {
	o.t.Helper()
	for _, name := range names {
		r, err := dir.OpenReader(o.path(name))
		if err != nil {
			o.t.Fatal(err)
		}
		defer r.Close()
		a := audit.Audit{Mirror: r, Trust: o.Trust.Versions()[0]}
		report, err := a.Run(o.t.Context())
		if err != nil || policy.HasErrors(report.Findings) {
			o.t.Errorf("the audit of %s: %v, %v", name, err, report.Findings)
		}
		if err := tesseraFsck(o.t.Context(), r, o.Trust.Newest()); err != nil {
			o.t.Errorf("Tessera's fsck of %s: %v", name, err)
		}
	}
}

// TestRecoverAndGoOn: the state is lost, from a folder and from a bucket; the next release has the next number, the log
// goes on, mirrors and clients notice nothing, and one that was down meanwhile gets everything that it missed.
func TestRecoverAndGoOn(t *testing.T) {
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprint("bucket=", remote), func(t *testing.T) {
			o := newOperator(t, "public", "second")
			o.Observer = passing{}
			lose, again := o.lose, func() *operator { return o }
			if remote {
				b := newBucket(t)
				o.remote(b.store("state"))
				lose = func() {
					if err := os.RemoveAll(filepath.Join(b.gateway.Folder, "state")); err != nil {
						t.Fatal(err)
					}
				}
				again = func() *operator {
					twin := o.another(b.store("state"))
					twin.Observer = o.Observer
					return twin
				}
			}
			o.release()
			client := o.client("public", mirror.Auto)
			updated(t, client)
			second := o.Mirrors[1].Store
			o.Mirrors[1].Store = deadStore{second}
			for n := range 3 {
				o.news(n)
				o.release()
			}
			o.Mirrors[1].Store = second
			lose()
			o = again()
			if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrAhead) {
				t.Fatalf("an empty state is released from: %v", err)
			}
			out := o.recovered()
			if out.Release != 4 || out.Releases != 4 || out.Chosen != "public" || out.Mirrors[1].Verdict != pipeline.MirrorBehind || len(out.Unpublished) != 0 {
				t.Fatalf("%+v", out)
			}
			o = again()
			o.now = o.now.Add(time.Hour)
			o.news(9)
			next := o.release()
			if next.Leaf().Release != 5 || next.Resumed || len(next.Changes()) != 1 || next.Mirrors[1].Err != nil || !next.Mirrors[1].Verified {
				t.Fatalf("%+v %+v", next.Leaf(), next.Mirrors)
			}
			client.Now = func() time.Time { return o.now }
			client.Method = mirror.Delta
			if got := updated(t, client); got.Release.Release != 5 || len(got.Alarms) > 0 {
				t.Errorf("the client: %+v", got)
			}
			for _, m := range o.Mirrors {
				replayAll(t, m.Store, o, 1, 5)
			}
			o.clean("public", "second")
		})
	}
}

// passing observes that every domain works, so that releases have evidence.
type passing struct{}

func (passing) Probe(_ context.Context, targets []probe.Target) ([]probe.Result, error) {
	var out []probe.Result
	for _, t := range targets {
		line := fmt.Appendf(nil, `{"codes":[],"domain":"%s","verdict":"pass"}`, t.Domain)
		out = append(out, probe.Result{Domain: t.Domain, Judgement: probe.Judgement{Verdict: probe.Pass}, Line: line})
	}
	return out, nil
}

func (passing) Header(context.Context, string) (probe.Header, error) {
	return probe.Header{Vantage: "test"}, nil
}

// TestRecoverShowsFirst: a dry run and an answer of no write nothing anywhere; what is shown names both mirrors.
func TestRecoverShowsFirst(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	o.lose()
	no := errors.New("no")
	before := walk(t, o.dir)
	if out := o.recovered(func(r *pipeline.RecoverOptions) { r.DryRun = true }); out.Release != 1 || out.State.Exists {
		t.Errorf("%+v", out)
	}
	if after := walk(t, o.dir); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("a dry run wrote: %v", after)
	}
	if _, err := o.recovers(func(r *pipeline.RecoverOptions) { r.Confirm = func(*pipeline.Recovery) error { return no } }); !errors.Is(err, no) {
		t.Errorf("after no: %v", err)
	}
	if names, err := os.ReadDir(filepath.Join(o.State, "outbox")); err != nil || len(names) > 0 {
		t.Errorf("after no: %v %v", names, err)
	}
	if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrAhead) {
		t.Errorf("after no: %v", err)
	}
}

// TestRecoverUnpublished: what was spread to a mirror and neither signed nor published is completed with the same leaf,
// since a witness may have cosigned it; here without one.
func TestRecoverUnpublished(t *testing.T) {
	o := newOperator(t, "public", "second")
	o.release()
	o.news(1)
	o.Mirrors[1].Store, o.Mirrors[0].Store = o.Mirrors[0].Store, o.Mirrors[1].Store // the second place gets the tiles
	stop, cancel := context.WithCancel(t.Context())
	o.Log = stopAt("spread", cancel)
	o.now = o.now.Add(time.Hour)
	if _, err := o.Release(stop); err == nil {
		t.Fatal("released")
	}
	raw, err := os.ReadFile(filepath.Join(o.State, "outbox/2/entries"))
	if err != nil {
		t.Fatal(err)
	}
	o.lose()
	o.Publisher = o.publisher("public", "second")
	out := o.recovered()
	if fmt.Sprint(out.Unpublished) != "[2]" || out.Release != 1 || out.Mirrors[1].Tail != 2 {
		t.Fatalf("%+v", out)
	}
	got, err := os.ReadFile(filepath.Join(o.State, "outbox/2/entries"))
	if err != nil || string(got) != string(raw) {
		t.Error("the entries are not the same")
	}
	if out := o.release(); out.Leaf().Release != 2 || !out.Unchanged {
		t.Errorf("%+v", out.Leaf())
	}
	if out := o.release(); out.Leaf().Release != 3 {
		t.Errorf("%+v", out.Leaf())
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, 3)
	o.clean("public", "second")
}

// TestRecoverBetweenPointers: the publisher died between checkpoint and pointer, and its state with it.
func TestRecoverBetweenPointers(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	before := o.pointer()
	o.news(1)
	o.release()
	o.write("public/"+mirror.PointerPath, string(before))
	o.lose()
	if out := o.recovered(); out.Release != 2 || len(out.Unpublished) != 0 {
		t.Fatalf("%+v", out)
	}
	if out := o.release(); out.Leaf().Release != 2 || !out.Resumed {
		t.Errorf("%+v", out.Leaf())
	}
	o.clean("public")
}

// TestRecoverImportedHistory: an old list's history moved in before the state was lost; what is left of it is imported
// after that.
func TestRecoverImportedHistory(t *testing.T) {
	o := newOperator(t, "public")
	var files []pipeline.OldFile
	for i := range 4 {
		text := fmt.Sprintf(`{"timestamp":"2019-0%d-01T00:00:00-08:00","expires":"2019-0%d-15T00:00:00-08:00","version":"0.1","author":"old","policy-aliases":{},
			"policies":{"old%d.example":{"mode":"enforce","mxs":["mx.old.example"]}}}`, i+1, i+1, i)
		files = append(files, pipeline.OldFile{File: policy.File{Path: fmt.Sprintf("%d.json", i), Data: []byte(text)}})
	}
	var keyring *signing.Keyring
	load := func(n int) (done int) {
		t.Helper()
		o.SkipVerify = true
		if err := o.Import(t.Context(), files[:n], keyring, func(pipeline.Imported) { done++ }); err != nil {
			t.Fatal(err)
		}
		return done
	}
	load(3)
	o.lose()
	if out := o.recovered(); out.Release != 3 || len(out.Warnings) != 1 {
		t.Fatalf("%+v", out)
	}
	if n := load(4); n != 1 {
		t.Errorf("%d files imported again", n)
	}
	if _, err := o.recovers(); !errors.Is(err, pipeline.ErrNotOlder) {
		t.Errorf("with a whole state: %v", err)
	}
	o.SkipVerify = false
	if out := o.release(); out.Leaf().Release != 5 {
		t.Errorf("%+v", out.Leaf())
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, 5)
	o.clean("public")
}

// TestRecoverNewLog: of a log that began anew only the present one is rebuilt; and when it has not begun yet, the ended
// one, whose last release the new one's first follows.
func TestRecoverNewLog(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	r.release()
	r.rotate(func(r *rotating) { r.origin, r.log = "list.operator.example/second", r.key(signing.Ed25519) })
	r.Mirrors = append(r.Mirrors, r.target("second"))
	r.lose()
	if _, err := r.recovers(); !errors.Is(err, pipeline.ErrUnjudged) { // a mirror that is not mounted looks the same
		t.Fatalf("with a mirror that holds nothing: %v", err)
	}
	if out := r.recovered(func(o *pipeline.RecoverOptions) { o.Without = []string{"second"} }); out.Release != 2 || !out.Earlier || out.Chosen != "public" {
		t.Fatalf("before the new log: %+v", out)
	}
	if out := r.release(); out.Leaf().Release != 3 || out.Leaf().From != 0 {
		t.Fatalf("the new log: %+v", out.Leaf())
	}
	r.release()
	r.lose()
	if out := r.recovered(); out.Release != 4 || out.Earlier || out.Chosen != "second" || out.Mirrors[0].Verdict != pipeline.MirrorEarlier {
		t.Fatalf("the new log: %+v", out)
	}
	if _, err := os.Stat(filepath.Join(r.State, "log-2", "root")); err != nil {
		t.Error(err)
	}
	if out := r.release(); out.Leaf().Release != 5 {
		t.Fatalf("%+v", out.Leaf())
	}
	r.audited("second")
}

// TestRecoverAndTheStateThatIs: an older state goes aside; one that is as new, ahead or damaged stays unless it is to go.
func TestRecoverAndTheStateThatIs(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	old := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(old, os.DirFS(o.State)); err != nil {
		t.Fatal(err)
	}
	o.news(1)
	o.release()
	refused := func(want error) {
		t.Helper()
		before := walk(t, o.State)
		if _, err := o.recovers(); !errors.Is(err, want) {
			t.Errorf("want %v, got %v", want, err)
		}
		if after := walk(t, o.State); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Errorf("it changed to %v", after)
		}
	}
	refused(pipeline.ErrNotOlder)
	for _, name := range []string{"outbox/2/policy.json", "log/root", "outbox/2/meta.json"} {
		data, err := os.ReadFile(filepath.Join(o.State, name))
		if err != nil {
			t.Fatal(err)
		}
		o.write("state/"+name, string(flipped(data, len(data)/2)))
		refused(pipeline.ErrNotOlder)
		o.write("state/"+name, string(data))
	}
	o.write("state/outbox/2/policy.json", "garbage")
	replace := func(r *pipeline.RecoverOptions) { r.Replace = true }
	if out := o.recovered(replace); out.State.Damage == nil || out.Replaced == "" {
		t.Errorf("%+v", out)
	} else if _, err := os.Stat(filepath.Join(out.Replaced, "outbox/2/policy.json")); err != nil {
		t.Errorf("the damaged state is not kept: %v", err)
	}
	o.release()

	o.lose()
	if err := os.CopyFS(o.State, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	if out := o.recovered(); !out.State.Older || out.State.Release != 1 || out.Replaced == "" {
		t.Errorf("an older state: %+v", out)
	}
	o.release()

	public := filepath.Join(t.TempDir(), "public")
	if err := os.CopyFS(public, os.DirFS(o.path("public"))); err != nil {
		t.Fatal(err)
	}
	o.release()
	if err := errors.Join(os.RemoveAll(o.path("public")), os.CopyFS(o.path("public"), os.DirFS(public))); err != nil {
		t.Fatal(err)
	}
	o.Publisher = o.publisher("public")
	refused(pipeline.ErrStateAhead)
	if _, err := o.recovers(replace); !errors.Is(err, pipeline.ErrStateAhead) {
		t.Errorf("on demand: %v", err)
	}
	o.release()
	o.clean("public")
}
