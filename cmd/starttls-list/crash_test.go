package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// releaseCalls are the system calls of a second release that touch one file whose name is known before. A file's own
// rename is before it appears; the fsync of its folder is after.
var releaseCalls = []fileCall{
	{"/^open", "state/lock"},
	{"/^open", "state/log/root"},
	{"/^open", "state/outbox/1/meta.json"},
	{"/^open", "state/outbox/1/entries"},
	{"/^rename", "state/outbox/2"},
	{"fsync", "state/outbox"},
	{"/^rename", "state/journal.json"},
	{"fsync", "state"},
	{"/^rename", "state/log/tile/0/000.p/8"},
	{"/^rename", "state/log/tile/entries/000.p/8"},
	{"fsync", "state/log/tile/entries/000.p"},
	{"/^rename", "state/log/root"},
	{"fsync", "state/log"},
	{"/^link", "public/tile/0/000.p"},
	{"fsync", "public/tile/0/000.p"},
	{"/^link", "public/tile/entries/000.p"},
	{"/^rename", "state/outbox/2/checkpoint"},
	{"fsync", "state/outbox/2"},
	{"/^rename", "state/outbox/2/proof"},
	{"/^open", "state/outbox/2/policy.json"},
	{"/^open", "state/outbox/2/list.zst"},
	{"/^link", "public/list"},
	{"fsync", "public/list"},
	{"/^link", "public/release"},
	{"/^rename", "policy.json"}, // the mirror's folder is opened first
	{"fsync", "public"},
	{"/^rename", "policy.json.sigstore.json"},
	{"/^rename", "checkpoint"},
	{"/^rename", "policy.json.tlog-proof"},
	{"/^rename", "state/verify/7075626c6963/state.json"},
	{"/^rename", "state/outbox/2/meta.json"},
}

// TestFiguresCrashSyscalls kills the program itself at system calls on its journalled files, or lets these calls fail,
// and starts it again. A client asks in between, and an audit of the mirror finds one history without a gap.
func TestFiguresCrashSyscalls(t *testing.T) {
	tracer, program := strace.Find(t), buildProgram(t)
	base := newCrashFolder(t, program)
	points, fired := crashAt(t, releaseCalls, true, func(t *testing.T, c fileCall, inject string) strace.Result {
		f := base.copy(t)
		return f.crash(tracer, c.in(f.home, inject))
	})
	t.Logf("figures: crash points at system calls %d, fired %d", points, fired)
}

// fileCall is a system call on one file below an operator's folder.
type fileCall struct{ call, path string }

// in is the call in one folder. A name alone stands for files of programs that open below a folder.
func (c fileCall) in(home, inject string) strace.Point {
	p := strace.Point{Path: c.path, Call: c.call, Inject: inject}
	if filepath.Dir(c.path) != "." || c.call == "fsync" {
		p.Path = filepath.Join(home, c.path)
	}
	return p
}

// crashAt lets each call kill the program, and then fail, and counts how often that happened. parallel stories run side by
// side.
func crashAt(t *testing.T, calls []fileCall, parallel bool, story func(t *testing.T, c fileCall, inject string) strace.Result) (points, fired int) {
	t.Helper()
	var mu sync.Mutex
	t.Run("points", func(t *testing.T) {
		for _, c := range calls {
			for _, inject := range []string{"signal=KILL", "error=EIO"} {
				t.Run(c.call+" "+c.path+" "+inject, func(t *testing.T) {
					if parallel {
						t.Parallel()
					}
					r := story(t, c, inject)
					mu.Lock()
					defer mu.Unlock()
					if points++; r.Fired && r.Killed == (inject == "signal=KILL") {
						fired++
					} else {
						t.Errorf("fired %v, killed %v:\n%s", r.Fired, r.Killed, r.Output)
					}
				})
			}
		}
	})
	return points, fired
}

func buildProgram(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "starttls-list")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// crashFolder is an operator's folder that the built program works in, and a client of its mirror.
type crashFolder struct {
	t             *testing.T
	program, home string
	last          int64 // release that the client holds
}

// newCrashFolder makes the first release, after prepare has seen the folder.
func newCrashFolder(t *testing.T, program string, prepare ...func(home string)) *crashFolder {
	t.Helper()
	f := &crashFolder{t: t, program: program, home: t.TempDir()}
	if _, err := pipeline.Setup(f.home, pipeline.SetupOptions{Plain: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.home, configName), []byte(configText), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(f.home)
	}
	f.release()
	client := filepath.Join(f.home, "client")
	if err := os.Mkdir(client, 0o755); err != nil {
		t.Fatal(err)
	}
	chain, err := mirror.ReadTrust(filepath.Join(f.home, pipeline.TrustDir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Join(t.Context(), client, f.public(), chain.Versions()[0].Digest()); err != nil {
		t.Fatal(err)
	}
	f.update(1)
	return f
}

func (f *crashFolder) copy(t *testing.T) *crashFolder {
	t.Helper()
	c := &crashFolder{t: t, program: f.program, home: t.TempDir(), last: f.last}
	if err := os.CopyFS(c.home, os.DirFS(f.home)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *crashFolder) public() *dir.Reader {
	f.t.Helper()
	r, err := dir.OpenReader(filepath.Join(f.home, pipeline.PublicDir))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { r.Close() })
	return r
}

// add puts a domain into the source.
func (f *crashFolder) add(name string) {
	f.t.Helper()
	text := `{"policies":{"` + name + `.example":{"mode":"testing","mxs":["mx.` + name + `.example"]}}}`
	if err := os.WriteFile(filepath.Join(f.home, pipeline.SourceDir, "domains", name+".json"), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *crashFolder) arguments() []string {
	return []string{"release", "--config", filepath.Join(f.home, configName)}
}

func (f *crashFolder) release() {
	f.t.Helper()
	if out, err := exec.Command(f.program, f.arguments()...).CombinedOutput(); err != nil {
		f.t.Fatalf("%v\n%s", err, out)
	}
}

// update lets the client ask. It never goes back, and what it holds has as many domains as its release says.
func (f *crashFolder) update(newest int64) mirror.Outcome {
	f.t.Helper()
	c := mirror.Client{Dir: filepath.Join(f.home, "client"), Sources: []mirror.Source{{Name: "public", Reader: f.public()}},
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	out, err := c.Update(f.t.Context())
	if err != nil || len(out.Problems) > 0 {
		f.t.Fatalf("a client: %v %v", err, out.Problems)
	}
	if n := out.Release.Release; n < f.last || n > newest || int64(out.List.Len()) != out.Release.Count {
		f.t.Errorf("a client went from release %d to %d with %d domains", f.last, n, out.List.Len())
	}
	f.last = out.Release.Release
	return out
}

// crash is the story of one point: a release that goes wrong there, and the next, with a change more.
func (f *crashFolder) crash(tracer string, p strace.Point) strace.Result {
	f.t.Helper()
	f.add("second")
	r := strace.Run(f.t, tracer, p, f.program, f.arguments()...)
	f.update(2)
	f.add("third")
	f.release()
	got := f.update(3)
	if got.List.Len() != 7 {
		f.t.Errorf("in the end the list has %d domains", got.List.Len())
	}
	report := auditJSON(f.t, 0, filepath.Join(f.home, pipeline.PublicDir), filepath.Join(f.home, pipeline.TrustDir, "1"))
	// Seven changes and a leaf for each release: nothing is in the log twice.
	if n := got.Release.Release; report.Release != n || int64(report.Releases) != n || report.Size != 7+n || len(report.Findings) > 0 {
		f.t.Errorf("the audit: %+v", report.Report)
	}
	return r
}

// mirrorCalls are the system calls by which mirror writes what has an order to keep, below the destination's folder.
var mirrorCalls = []fileCall{
	{"/^link", "copy/tile/entries/000.p"},
	{"/^link", "copy/list"},
	{"fsync", "copy/list"},
	{"/^rename", "policy.json"},
	{"fsync", "copy"},
	{"/^rename", "policy.json.sigstore.json"},
	{"/^rename", "checkpoint"},
	{"/^rename", "policy.json.tlog-proof"},
}

// TestFiguresCrashMirror stops mirror in the same way. A new client of the copy gets the old release or the new one, and
// the next run makes the copy whole.
func TestFiguresCrashMirror(t *testing.T) {
	tracer, program := strace.Find(t), buildProgram(t)
	base := newCrashFolder(t, program)
	list(t, 0, "mirror", filepath.Join(base.home, pipeline.PublicDir), filepath.Join(base.home, "copy"))
	base.add("second")
	base.release()
	points, fired := crashAt(t, mirrorCalls, false, func(t *testing.T, c fileCall, inject string) strace.Result {
		f := base.copy(t)
		from, to := filepath.Join(f.home, pipeline.PublicDir), filepath.Join(f.home, "copy")
		r := strace.Run(t, tracer, c.in(f.home, inject), program, "mirror", from, to)
		if n := f.newClient(to); n < 1 || n > 2 {
			t.Errorf("a new client gets release %d", n)
		}
		list(t, 0, "mirror", from, to)
		same(t, from, to)
		return r
	})
	t.Logf("figures: mirror crash points at system calls %d, fired %d", points, fired)
}

// newClient is the release that a client without state gets from a folder.
func (f *crashFolder) newClient(folder string) int64 {
	f.t.Helper()
	r, err := dir.OpenReader(folder)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	chain, err := mirror.ReadTrust(filepath.Join(f.home, pipeline.TrustDir))
	if err != nil {
		f.t.Fatal(err)
	}
	return newClientGets(f.t, r, &operator{p: &pipeline.Publisher{Trust: chain}, now: time.Now()})
}
