package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestRecoverScripts are stories of a lost state folder. The operator's folder is op, as init makes it; "keep FROM TO"
// copies a folder.
func TestRecoverScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/recover", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *updateScripts,
		Setup: func(env *testscript.Env) error {
			folder, err := operatorFolder()
			if err != nil {
				return err
			}
			return os.CopyFS(filepath.Join(env.WorkDir, "op"), folder)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exitsWith, "keep": keepFolder},
	})
}

func keepFolder(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keep FROM TO")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// recoverCalls are the system calls of recover that touch one file whose name is known before.
var recoverCalls = []fileCall{
	{"/^open", "checkpoint"}, // on the mirror
	{"/^open", "policy.json.tlog-proof"},
	{"/^open", "state/lock"},
	{"/^rename", "state/recovering"},
	{"fsync", "state"},
	{"/^rename", "state/log"}, // the old one aside
	{"/^rename", "state/outbox"},
	{"/^rename", "state/journal.json"},
	{"/^unlink", "state/recovering"},
}

// TestFiguresCrashRecover kills recover, or lets it get an error, where it touches files of an older state and of the new
// one. Until it is run again, a release is refused or goes on as it should; clients notice nothing; and there is one
// history in the end.
func TestFiguresCrashRecover(t *testing.T) {
	tracer, program := strace.Find(t), buildProgram(t)
	base := newCrashFolder(t, program)
	state, older := filepath.Join(base.home, pipeline.StateDir), filepath.Join(base.home, "older")
	if err := os.CopyFS(older, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	base.add("second")
	base.release()
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(older, state); err != nil {
		t.Fatal(err)
	}
	points, fired := crashAt(t, recoverCalls, true, func(t *testing.T, c fileCall, inject string) strace.Result {
		f := base.copy(t)
		return f.crashRecover(tracer, c.in(f.home, inject))
	})
	t.Logf("figures: recover crash points at system calls %d, fired %d", points, fired)
	if points != 2*len(recoverCalls) || fired != points {
		t.Errorf("%d points, %d of them fired", points, fired)
	}
}

// tryRun runs starttls-list, whatever comes of it.
func tryRun(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &out)
	return code, out.String()
}

// crashRecover is the story of one point.
func (f *crashFolder) crashRecover(tracer string, p strace.Point) strace.Result {
	f.t.Helper()
	config := filepath.Join(f.home, configName)
	r := strace.Run(f.t, tracer, p, f.program, "recover", "--yes", "--config", config)
	f.update(2)
	f.add("third")
	if code, out := tryRun(f.t, "release", "--config", config); code != exitPass {
		if code != exitInternal {
			f.t.Errorf("release in between: exit code %d\n%s", code, out)
		}
		f.update(2)
		list(f.t, exitPass, "recover", "--yes", "--config", config)
		f.release()
	}
	if got := f.update(3); got.List.Len() != 7 {
		f.t.Errorf("in the end the list has %d domains", got.List.Len())
	}
	report := auditJSON(f.t, 0, filepath.Join(f.home, pipeline.PublicDir), filepath.Join(f.home, pipeline.TrustDir, "1"))
	if report.Release != 3 || report.Releases != 3 || report.Size != 10 || len(report.Findings) > 0 {
		f.t.Errorf("the audit: %+v", report.Report)
	}
	return r
}
