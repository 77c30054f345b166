package pipeline_test

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestKeysOfAnotherList: keys that the trust does not name stop the release before anything is written, and the right
// ones work afterwards.
func TestKeysOfAnotherList(t *testing.T) {
	other := newOperator(t, "public")
	for name, swap := range map[string]func(*pipeline.Keys){
		"log":     func(k *pipeline.Keys) { k.Log = other.Keys.Log },
		"release": func(k *pipeline.Keys) { k.Release = other.Keys.Release },
		"no":      func(k *pipeline.Keys) { k.Release = nil },
	} {
		o := newOperator(t, "public")
		right := o.Keys
		swap(&o.Keys)
		if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrKeys) {
			t.Errorf("%s key: %v", name, err)
		}
		if n := len(objects(t, o.path("public"))); n > 0 {
			t.Errorf("%s key: the mirror has %d objects", name, n)
		}
		o.Keys = right
		if out := o.release(); out.Leaf().Release != 1 || out.Resumed {
			t.Errorf("%s key: the release after it is %d, resumed %v", name, out.Leaf().Release, out.Resumed)
		}
	}
}

// TestEndedList: a timer that was not switched off does not bring an ended list back; ending it once more renews the
// statement.
func TestEndedList(t *testing.T) {
	o := newOperator(t, "public")
	if _, err := o.Final(t.Context()); err == nil {
		t.Error("a list ended that never began")
	}
	o.release()
	o.now = o.now.Add(time.Hour)
	if _, err := o.Final(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := objects(t, o.path("public"))
	o.now = o.now.Add(time.Hour)
	if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrEnded) {
		t.Errorf("release after the end: %v", err)
	}
	if _, _, err := o.Plan(t.Context()); !errors.Is(err, pipeline.ErrEnded) {
		t.Errorf("plan after the end: %v", err)
	}
	if !maps.Equal(before, objects(t, o.path("public"))) {
		t.Error("the mirror was written to")
	}
	o.now = o.now.Add(20 * 24 * time.Hour)
	out, err := o.Final(t.Context())
	if err != nil || out.Leaf().Release != 3 || out.Leaf().Override != mirror.OverrideFinal || out.Leaf().Count != 0 {
		t.Fatalf("the end, renewed: %v %+v", err, out)
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, 3)
}

// TestClockSetBack: time may not run backwards in the log; nothing is written until the clock is right again.
func TestClockSetBack(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	right, before := o.now, objects(t, o.path("public"))
	o.now = right.Add(-time.Hour)
	if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrClock) {
		t.Errorf("release with the clock an hour back: %v", err)
	}
	if _, _, err := o.Plan(t.Context()); !errors.Is(err, pipeline.ErrClock) {
		t.Errorf("plan with the clock an hour back: %v", err)
	}
	if !maps.Equal(before, objects(t, o.path("public"))) {
		t.Error("the mirror was written to")
	}
	o.now = right
	if out := o.release(); out.Leaf().Release != 2 {
		t.Errorf("release %d after the clock was set right", out.Leaf().Release)
	}
	o.now = o.now.Add(3 * 365 * 24 * time.Hour)
	if _, err := o.Release(t.Context()); err == nil || !strings.Contains(err.Error(), "trust version 1 expired") {
		t.Errorf("release under an expired trust: %v", err)
	}
}

// TestPlanLeavesOthersAlone: a dry run takes no lock, so it may touch nothing, least of all what a running release has
// half made.
func TestPlanLeavesOthersAlone(t *testing.T) {
	o := newOperator(t, "public")
	if plan, _, err := o.Plan(t.Context()); err != nil || len(plan.Changes()) != 5 {
		t.Fatalf("before the first release: %v", err)
	}
	o.release()
	if err := os.Mkdir(o.path("state/outbox/.tmp-half"), 0o755); err != nil {
		t.Fatal(err)
	}
	o.write("state/outbox/.tmp-half/entries", "half")
	before := objects(t, o.dir)
	if plan, _, err := o.Plan(t.Context()); err != nil || len(plan.Changes()) != 0 {
		t.Fatalf("with a release under way: %v", err)
	}
	if !maps.Equal(before, objects(t, o.dir)) {
		t.Error("the plan changed files")
	}
	o.write("list/list.json", strings.Replace(before["list/list.json"], "policylist.example/demo", "other.example/demo", 1))
	if _, _, err := o.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "other.example/demo") {
		t.Errorf("a source of another origin: %v", err)
	}
	o.write("list/list.json", before["list/list.json"])
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	honest := o.Mirrors[0].Store
	o.Mirrors[0].Store = faultyStore{honest, &fault{n: 3}}
	o.now = o.now.Add(time.Hour)
	if _, err := o.Release(t.Context()); err == nil {
		t.Fatal("the release is not interrupted")
	}
	if _, _, err := o.Plan(t.Context()); !errors.Is(err, pipeline.ErrPending) {
		t.Errorf("with an interrupted release: %v", err)
	}
}

// TestMirrorWithSomethingElse: a mirror that holds another list, or garbage, is not written to and keeps no other from
// the release; emptied, it gets everything.
func TestMirrorWithSomethingElse(t *testing.T) {
	other := newOperator(t, "public")
	other.release()
	for name, spoil := range map[string]func(o *operator) error{
		"another list": func(o *operator) error { return os.CopyFS(o.path("second"), os.DirFS(other.path("public"))) },
		"garbage":      func(o *operator) error { return os.WriteFile(o.path("second/checkpoint"), []byte("\x1b[31m"), 0o644) },
		"nothing":      func(o *operator) error { return os.WriteFile(o.path("second/checkpoint"), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t, "public", "second")
			if err := spoil(o); err != nil {
				t.Fatal(err)
			}
			before := objects(t, o.path("second"))
			out := o.release()
			if out.Mirrors[0].Err != nil || !errors.Is(out.Mirrors[1].Err, pipeline.ErrForeign) {
				t.Fatalf("mirrors: %+v", out.Mirrors)
			}
			if !maps.Equal(before, objects(t, o.path("second"))) {
				t.Error("it was written to")
			}
			both := o.Mirrors
			o.Mirrors = both[1:]
			if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrMirrors) || !errors.Is(err, pipeline.ErrForeign) {
				t.Errorf("with no other mirror: %v", err)
			}
			o.Mirrors = both
			for path := range before {
				if err := os.Remove(o.path("second/" + path)); err != nil {
					t.Fatal(err)
				}
			}
			if out = o.release(); out.Mirrors[1].Err != nil {
				t.Fatalf("emptied: %v", out.Mirrors[1].Err)
			}
			replayAll(t, o.Mirrors[1].Store, o, 1, out.Leaf().Release)
		})
	}
}

// TestBadImport: what is no old list, or no continuation, is refused before anything is released, with the place.
func TestBadImport(t *testing.T) {
	file := func(name, text string) pipeline.OldFile {
		return pipeline.OldFile{File: policy.File{Path: name, Data: []byte(text)}}
	}
	dated := func(name, day string) pipeline.OldFile {
		return file(name, `{"timestamp":"`+day+`T00:00:00Z","expires":"`+day+`T23:00:00Z","version":"0.1","policies":{},"policy-aliases":{}}`)
	}
	good := dated("good.json", "2020-01-01")
	for _, c := range []struct {
		file pipeline.OldFile
		says string
	}{
		{file("cut.json", `{"timestamp":`), "cut.json:1:14: the file ends"},
		{file("empty.json", ""), "empty.json:1:1: the file ends"},
		{file("garbage.json", "\x00\x1b\xff"), "garbage.json:1:"},
		{file("undated.json", `{"version":"0.1","policies":{}}`), "no timestamp or no expiry: undated.json:1:1: "},
		{dated("future.json", "3020-01-01"), "lies in the future"},
	} {
		o := newOperator(t, "public")
		err := o.Import(t.Context(), []pipeline.OldFile{good, c.file}, nil, func(pipeline.Imported) { t.Error("something was released") })
		if !errors.Is(err, pipeline.ErrImport) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.file.Path, err)
		}
		if n := len(objects(t, o.path("public"))); n > 0 {
			t.Errorf("%s: the mirror has %d objects", c.file.Path, n)
		}
	}
	o := newOperator(t, "public")
	later := dated("later.json", "2020-01-02")
	releases := 0
	run := func(files ...pipeline.OldFile) error {
		return o.Import(t.Context(), files, nil, func(pipeline.Imported) { releases++ })
	}
	if err := run(good, later); err != nil || releases != 2 {
		t.Fatalf("%d releases: %v", releases, err)
	}
	if err := run(good, later); err != nil || releases != 2 {
		t.Errorf("once more: %d releases: %v", releases, err)
	}
	if err := run(good); !errors.Is(err, pipeline.ErrImport) || releases != 2 {
		t.Errorf("the first file alone, which is no continuation: %d releases: %v", releases, err)
	}
	if err := run(dated("third.json", "2020-01-03")); err != nil || releases != 3 {
		t.Errorf("the next file alone: %d releases: %v", releases, err)
	}
}
