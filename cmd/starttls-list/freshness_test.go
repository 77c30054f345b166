package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// freshLooker looks with the operator's clock.
type freshLooker struct {
	audit.Freshness
	t    *testing.T
	last audit.FreshnessReport
}

func newFreshLooker(t *testing.T, op *operator) *freshLooker {
	return &freshLooker{t: t, Freshness: audit.Freshness{
		Trust: op.p.Trust.Versions()[0], Limits: audit.DefaultLimits(), Deadline: time.Minute, Now: func() time.Time { return op.now }}}
}

// finds fails the test unless the mirrors, folders or URLs, give these codes, in any order, and that exit code.
func (l *freshLooker) finds(exit int, mirrors []string, codes ...string) {
	l.t.Helper()
	l.Mirrors = nil
	for _, url := range mirrors {
		r, err := openReader(l.t.Context(), url)
		if err != nil {
			l.t.Fatal(err)
		}
		l.Mirrors = append(l.Mirrors, mirror.Source{Name: url, Reader: r})
	}
	var err error
	if l.last, err = l.Look(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	var got []string
	for _, f := range l.last.Findings() {
		got = append(got, f.Code)
		if f.File == "" || f.Fix == "" {
			l.t.Errorf("%+v lacks its mirror or a fix", f)
		}
	}
	slices.Sort(got)
	slices.Sort(codes)
	if !slices.Equal(got, codes) {
		l.t.Errorf("found %v, want %v\n%v", got, codes, l.last.Findings())
	}
	if code := freshnessExit(l.last); code != exit {
		l.t.Errorf("exit code %d, want %d, for %v", code, exit, got)
	}
}

// A list that nobody renews, day by day, up to and past the end of its trust.
func TestFreshnessOfOneMirror(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	public, made := []string{op.public()}, op.now.Truncate(time.Second)
	l := newFreshLooker(t, op)
	after := func(d time.Duration, exit int, codes ...string) {
		t.Helper()
		op.now = made.Add(d)
		l.finds(exit, public, codes...)
	}
	day := 24 * time.Hour
	after(0, exitPass)
	if m := l.last.Mirrors[0]; m.Release != 1 || m.Size != 6 || m.Domains != 5 || !m.Verified || !m.Read || m.Trust != 1 || !m.Timestamp.Equal(made) || !m.QuorumTime.Equal(m.Timestamp) {
		t.Errorf("%+v", m)
	}
	after(30*time.Hour, exitPass)
	after(30*time.Hour+2*time.Second, exitWarned, audit.FreshAging)
	after(48*time.Hour, exitWarned, audit.FreshAging)
	after(48*time.Hour+2*time.Second, exitFail, audit.FreshStale)
	after(7*day-2*time.Second, exitFail, audit.FreshStale)
	after(7*day+2*time.Second, exitFail, audit.FreshStale, audit.FreshHalfLife)
	after(14*day+2*time.Second, exitFail, audit.FreshStale, audit.FreshExpired)
	after(-time.Hour, exitFail, audit.FreshClock)

	// Renewed in time, the trust version is what ends.
	end := op.p.Trust.Newest().Expires
	for _, c := range []struct {
		before time.Duration
		exit   int
		codes  []string
	}{
		{60*day + time.Hour, exitPass, nil}, {60*day - time.Hour, exitWarned, []string{audit.FreshTrustSoon}}, {14*day - time.Hour, exitFail, []string{audit.FreshTrustLast}},
	} {
		op.now = end.Add(-c.before - time.Hour)
		op.release(0)
		l.finds(c.exit, public, c.codes...)
	}
	op.now = end.Add(time.Hour)
	l.finds(exitFail, public, audit.FreshTrustEnd, audit.FreshStale, audit.FreshExpired)

	// Limits are the caller's.
	l = newFreshLooker(t, op)
	op.now = end.Add(-14*day + 3*time.Hour)
	l.Limits.TrustLast, l.Limits.TrustSoon, l.Limits.ReleaseOld = day, 2*day, time.Hour
	l.finds(exitWarned, public, audit.FreshAging)
	l.Limits.Life = 0.001
	l.finds(exitFail, public, audit.FreshAging, audit.FreshHalfLife)
}

// An operator whose trust ended signs version 1 once more, with a later end, instead of making version 2. His own publisher
// is content; clients have the version 1 that they joined with, keep the list of before, and take nothing newer.
func TestFreshnessAfterTheTrust(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	l, public := newFreshLooker(t, op), []string{op.public()}
	ends := op.p.Trust.Newest().Expires
	again := op.signedTrust(1, ends.AddDate(1, 0, 0), op.p.Trust.Newest().Witnesses.String())
	chain, err := transparency.NewTrustChain(again)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(op.public(), "trust", "1")); err != nil { // or the mirror keeps the first
		t.Fatal(err)
	}
	op.p.Trust, op.now = chain, ends.Add(-2*time.Hour)
	op.release(0)
	l.finds(exitFail, public, audit.FreshTrustLast)
	op.now = ends
	op.release(0)
	l.finds(exitFail, public, audit.FreshTrustEnd)
	if m := l.last.Mirrors[0]; m.Verified || !strings.Contains(m.Findings[0].Summary, "after the end of trust version 1") {
		t.Errorf("verified %v: %q", m.Verified, m.Findings[0].Summary)
	}
}

// Several mirrors: one that lags, one that is stuck, a second history, one that is down, ones that serve rubbish.
func TestFreshnessOfSeveralMirrors(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	first, twin := op.copyPublic(), op.fork()
	l := newFreshLooker(t, op)
	both := []string{first, op.public()}
	l.finds(exitPass, both)
	op.release(3)
	l.finds(exitPass, both) // it may take its time to copy
	if m := l.last.Mirrors[0]; m.Behind.Releases != 1 || m.Behind.Entries != 4 || m.Behind.Seconds != 3600 {
		t.Errorf("behind: %+v", m.Behind)
	}
	if m := l.last.Mirrors[1]; m.Behind != (audit.Lag{}) {
		t.Errorf("the newest is behind: %+v", m.Behind)
	}
	op.now = op.now.Add(6*time.Hour + time.Second)
	l.finds(exitWarned, both, audit.FreshLags)
	l.finds(exitWarned, []string{op.public(), first}, audit.FreshLags)
	op.now = op.now.Add(49 * time.Hour)
	op.release(0)
	l.finds(exitFail, both, audit.FreshStuck, audit.FreshStale)

	twin.now = twin.now.Add(time.Minute)
	twin.release(4)
	second := t.TempDir()
	if err := os.CopyFS(second, os.DirFS(twin.public())); err != nil {
		t.Fatal(err)
	}
	l.finds(exitFork, []string{twin.public(), op.public()}, audit.FreshFork, audit.FreshStale)
	if len(l.last.Forks) != 1 || l.last.Forks[0].Evidence.Check(op.p.Trust) != nil {
		t.Errorf("forks: %v", l.last.Forks)
	}

	garbled := op.copyPublic()
	for path := range files(t, garbled) {
		if strings.HasPrefix(path, "list/") && strings.HasSuffix(path, ".zst") {
			flip(t, filepath.Join(garbled, filepath.FromSlash(path)))
		}
	}
	l.finds(exitFail, []string{op.public(), garbled, t.TempDir()}, audit.FreshContent, audit.FreshContent)
	if m := l.last.Mirrors[1]; m.Verified || !m.Read || m.Release != 0 {
		t.Errorf("refused content: %+v", m)
	}
}

// hostile is a mirror that sends what a handler writes for the pointer, and the rest as a folder has it.
func hostile(t *testing.T, folder string, pointer http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(folder)))
	mux.HandleFunc("/"+mirror.PointerPath, pointer)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// Whatever a mirror does, the look ends, and says of the others what there is to say.
func TestFreshnessOfHostileMirrors(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	l := newFreshLooker(t, op)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	endless := hostile(t, op.public(), func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	broken := hostile(t, op.public(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	sesame := hostile(t, op.public(), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\x1b]0;open\x07\nrubbish") })
	l.finds(exitInconclusive, []string{op.public(), down.URL, broken}, audit.FreshUnreachable, audit.FreshUnreachable)
	if m := l.last.Mirrors; !m[0].Verified || m[1].Read || m[2].Read {
		t.Errorf("%+v", m)
	}
	l.finds(exitFail, []string{op.public(), endless, sesame, down.URL}, audit.FreshContent, audit.FreshContent, audit.FreshUnreachable)

	silent := hostile(t, op.public(), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	l.Deadline = 100 * time.Millisecond
	l.finds(exitInconclusive, []string{silent}, audit.FreshUnreachable)
}

// Witnesses that fall silent, a mirror that was left behind by a change of keys, and the end of a list.
func TestFreshnessUnderWitnesses(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	before := op.copyPublic()
	fake := witnesstest.StartFake(t, "ours", op.p.Trust.Newest().LogVKey(), func() time.Time { return op.now })
	spare := witnesstest.StartFake(t, "spare", op.p.Trust.Newest().LogVKey(), func() time.Time { return op.now })
	put(t, op.path("trust/2"), op.nextTrustWith(op.p.Trust.Newest().Expires, fake.Line()+spare.Line()+"group both any ours spare\nquorum both\n").Note())
	op = openOperator(t, op.dir, op.now)
	now := func() time.Time { return op.now }
	fake.Now, spare.Now = now, now
	spare.Bend = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	op.release(0)
	l := newFreshLooker(t, op)
	public := []string{op.public()}
	l.finds(exitWarned, public, audit.FreshCosignature)
	if c := l.last.Mirrors[0].Cosigned; len(c) != 2 || c[0].Witness != "ours" || c[0].Time.IsZero() || !c[1].Time.IsZero() {
		t.Errorf("cosigned: %+v", c)
	}
	op.now = op.now.Add(49 * time.Hour)
	l.finds(exitFail, public, audit.FreshCosignature, audit.FreshCosignature, audit.FreshQuorum, audit.FreshStale)

	trust, err := os.ReadFile(op.path("trust/2"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(before, "trust", "2"), trust)
	op.now = op.now.Add(-49 * time.Hour)
	l.finds(exitWarned, []string{before}, audit.FreshLags)

	if _, err := op.p.Final(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.finds(exitPass, public, audit.FreshEnded)
	op.now = op.now.Add(1000 * 24 * time.Hour)
	l.finds(exitPass, public, audit.FreshEnded)
}

// The command: what its help shows, exit codes, JSON, and metrics that are there whatever was found.
func TestFreshnessCommand(t *testing.T) {
	op := newOperator(t)
	op.p.Observer, op.now = nil, op.now.Add(-time.Hour) // of the present: the command has no other clock
	op.release(0)
	t.Chdir(op.dir)
	transcript(t, newFreshnessCommand().Example)
	fresh := func(code int, more ...string) string {
		t.Helper()
		return list(t, code, append([]string{"freshness", "public", "--trust", "trust/1"}, more...)...)
	}
	contains(t, fresh(exitWarned, "--trust-soon", "1000000h"), "public: warning: freshness.trust-expires: ", "fix: make the next trust version")
	fresh(exitFail, "--trust-soon", "1000000h", "--life", "0.000000001")
	fresh(exitInconclusive, "http://127.0.0.1:1", "--textfile", "out.prom", "--trust-soon", "1000000h")
	metrics := promText(t, "out.prom")
	for _, want := range []string{`starttls_list_mirror_release{mirror="public"} 1`, `starttls_list_mirror_read{mirror="http://127.0.0.1:1"} 0`,
		`starttls_list_mirror_findings{mirror="public",severity="warning"} 1`, "starttls_list_freshness_exit_code 2"} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s:\n%s", want, metrics)
		}
	}
	var j struct {
		Mirrors []struct {
			Mirror   string
			Verified bool
			Findings []struct{ Code string }
		}
		ExitCode int `json:"exit-code"`
		Evidence []string
	}
	text := fresh(exitFail, t.TempDir(), "--json")
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&j); err != nil || j.ExitCode != exitFail || len(j.Mirrors) != 2 || !j.Mirrors[0].Verified ||
		j.Mirrors[0].Findings == nil || j.Evidence == nil || j.Mirrors[1].Findings[0].Code != audit.FreshContent {
		t.Errorf("%v in %s", err, text)
	}

	twin := op.fork()
	op.p.Observer, twin.p.Observer = allPass{}, allPass{}
	twin.now, op.now = twin.now.Add(2*time.Second-time.Hour), op.now.Add(time.Second-time.Hour)
	op.release(2)
	twin.release(3)
	out := fresh(exitFork, twin.public(), "--evidence", op.dir, "--textfile", "out.prom")
	contains(t, out, audit.FreshFork, "two histories", "fork-")
	confirms(t, firstMatch(t, op.dir, "fork-*.json"), op)
	if !strings.Contains(promText(t, "out.prom"), "freshness_exit_code 50\n") {
		t.Error("no metrics of the fork")
	}

	fresh(exitUsage, "--life", "1.5")
	fresh(exitUsage, "--life", "NaN")
	fresh(exitUsage, "--release-old", "0s")
	fresh(exitUsage, "--textfile", "out.txt")
	fresh(exitUsage, "ftp://x.example/")
	list(t, exitUsage, "freshness", "public")
	list(t, exitUsage, "freshness", "--trust", "trust/1")
	list(t, exitUsage, "freshness", "public", "--trust", "public/checkpoint")
	fresh(exitInternal, "--textfile", "no/such/folder.prom")
	if _, err := os.Stat("no"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder was made")
	}
}
