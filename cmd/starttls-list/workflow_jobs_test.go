package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

func goEnv(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// A list's own repository, as init makes it, lives through its first days: the shell of every job runs as it stands in the
// workflows, each from an empty folder, against a lab, a Git repository and S3.
func TestWorkflowJobs(t *testing.T) {
	tool.Path(t, "versitygw") // or skip
	for _, program := range []string{"git", "jq", "curl"} {
		tool.Path(t, program)
	}
	w := newWorkflowWorld(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *workflowWorld)
	}{
		{"actionlint has nothing to say", lints}, {"a good change is checked", checksGoodChange}, {"a bad change is refused", checksBadChange}, {"a hostile change runs nothing", checksHostileChange},
		{"vantages probe a change", probesChange}, {"a scan is killed", killedScan}, {"vantages scan", scans}, {"a killed release is completed", publishes},
		{"bots propose", proposes},
		{"timers do the same", timed}, {"cron does the same", crons},
		{"keys move to a KMS", movesKeys},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			return
		}
	}
}

// lints: the workflows that init writes are as good as ours, which check.sh has judged.
func lints(t *testing.T, w *workflowWorld) {
	judge := exec.CommandContext(t.Context(), tool.Path(t, "actionlint"))
	judge.Dir = w.list
	if out, err := judge.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}

// changed makes a pull request of one file and has it checked.
func changed(t *testing.T, w *workflowWorld, files map[string]string) (*workflowRunner, error) {
	t.Helper()
	runGit(t, w.list, "checkout", "-q", "-B", "change", "main")
	for name, text := range files {
		w.write("list/"+name, text)
		if strings.HasSuffix(name, ".sh") || !strings.Contains(name, ".") {
			if err := os.Chmod(filepath.Join(w.list, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.commit("A change")
	r := w.runner(t, false)
	r.values["the change"] = w.pull()
	r.values["github.event.pull_request.base.sha"] = runGit(t, w.list, "rev-parse", "main")
	r.forced = map[string]string{"OPTIONS": w.labFlags() + " --allow-loopback"}
	runGit(t, w.list, "checkout", "-q", "main")
	return r, r.run(w.caller("check"))
}

const otherJoins = `{"policies": {"other.example": {"mode": "testing", "mxs": ["mx.other.example"]}}}` + "\n"

func checksGoodChange(t *testing.T, w *workflowWorld) {
	r, err := changed(t, w, map[string]string{"list/other.json": otherJoins})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	for _, want := range []string{"    other.example  added\n", "MX: 10 mx.other.example", "proof.missing", `_starttls-policy.other.example. TXT "v=STP1; change=`} {
		if !strings.Contains(r.summary(), want) {
			t.Errorf("the summary has no %q:\n%s", want, r.summary())
		}
	}
	if !regexp.MustCompile(`(?s)::stop-commands::([0-9a-f]{32})\n.*other\.example.*\n::[0-9a-f]{32}::\n`).MatchString(r.out.String()) {
		t.Errorf("what domains say is taken for commands:\n%s", r.out)
	}
}

func checksBadChange(t *testing.T, w *workflowWorld) {
	r, err := changed(t, w, map[string]string{"list/other.json": `{"policies": {"other.example": {"mode": "none", "mxs": ["mx.other.example"]}}}`})
	if err == nil || !strings.Contains(r.out.String(), "::error file=list/other.json,line=1") {
		t.Errorf("%v\n%s", err, r.out)
	}
}

// Whatever a pull request brings along, only its fragments are read.
func checksHostileChange(t *testing.T, w *workflowWorld) {
	mark := filepath.Join(w.dir, "ran")
	script := "#!/bin/sh\ntouch " + mark + "\n"
	r, err := changed(t, w, map[string]string{
		"list/other.json": otherJoins, "starttls-list": script, "bin/starttls-list": script, "git": script, ".github/actions/build.sh": script,
		".github/actions/check/action.yml": "runs: {using: composite, steps: [{shell: bash, run: touch " + mark + "}]}",
		".gitattributes":                   "*.json filter=x diff=x\n", ".gitconfig": "[filter \"x\"]\n smudge = touch " + mark + "\n[core]\n fsmonitor = touch " + mark + "\n",
		".envrc": script, "list/x.sh": script, "go.work": "use .\n",
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("something of the pull request ran")
	}
}

func probesChange(t *testing.T, w *workflowWorld) {
	r := w.vantage(t, "north")
	runGit(t, w.list, "checkout", "-q", "change")
	runGit(t, w.list, "reset", "-q", "--hard", "main")
	w.write("list/list/other.json", otherJoins)
	w.commit("other.example joins")
	w.pull()
	runGit(t, w.list, "checkout", "-q", "main")
	r.inputs = map[string]string{"change": "1"}
	if err := r.run(w.caller("probe")); err != nil || !strings.Contains(r.summary(), "    other.example  warn  tlsrpt.missing\n") {
		t.Errorf("%v\n%s", err, r.out)
	}
	if got := w.stored("changes"); len(got) != 1 || filepath.Base(got[0]) != "change-1-north.jsonl.zst" {
		t.Errorf("stored: %v", got)
	}
	r = w.vantage(t, "north")
	r.inputs, r.only = map[string]string{"change": "1/head; touch x"}, "probe"
	if err := r.run(w.caller("probe")); err == nil || !strings.Contains(r.out.String(), "has digits only") {
		t.Errorf("%v\n%s", err, r.out)
	}
}

// killedScan is killed while the evidence is stored; whoever runs the job again gets it stored. Nothing half is left.
func killedScan(t *testing.T, w *workflowWorld) {
	w.kill("/evidence/", 1)
	r := w.vantage(t, "north")
	if err := r.run(w.caller("scan")); err == nil || w.fatal.Load() != 0 || len(w.stored("evidence")) != 0 {
		t.Fatalf("it was not killed: %v\n%s", err, r.out)
	}
}

func scans(t *testing.T, w *workflowWorld) {
	bootstrap := filepath.Join(t.TempDir(), "dns.json")
	if err := os.WriteFile(bootstrap, []byte(`{"version":"1.0","services":[[["nobody"],["https://rdap.nobody/"]]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"north", "south"} {
		r := w.vantage(t, name)
		if name == "south" {
			r.env = append(r.env, "VANTAGE_REGISTRY="+w.place("registry"), "VANTAGE_BOOTSTRAP="+bootstrap)
		}
		if err := r.run(w.caller("scan")); err != nil {
			t.Fatalf("%v\n%s", err, r.out)
		}
		if unread := strings.Contains(r.out.String(), "the published list could not be read"); unread == (len(w.stored("public")) > 0) {
			t.Errorf("the published list was not read: %v\n%s", unread, r.out)
		}
	}
	if got := w.stored("evidence"); len(got) != 2 {
		t.Errorf("stored: %v", got)
	}
	if got := w.stored("registry"); len(got) != 1 || filepath.Base(got[0]) != registrationsFile {
		t.Errorf("registrations are stored as %v", got)
	}
	// A bootstrap registry that cannot be had is told, and fails no scan.
	r := w.vantage(t, "south")
	r.env = append(r.env, "VANTAGE_REGISTRY="+w.place("registry"), "VANTAGE_BOOTSTRAP="+bootstrap+".gone")
	if err := r.run(w.caller("scan")); err != nil || !strings.Contains(r.out.String(), "::warning::the registries were not asked") {
		t.Errorf("%v\n%s", err, r.out)
	}
	// A vantage that is not set up says so, and a host that cannot be believed stores nothing.
	r = w.vantage(t, "north")
	r.env = append(r.env, "VANTAGE_KEY=")
	if err := r.run(w.caller("scan")); err == nil || !strings.Contains(r.out.String(), "VANTAGE_KEY: parameter null or not set") {
		t.Errorf("%v\n%s", err, r.out)
	}
}

var leaseEnd = regexp.MustCompile(`"until":"[^"]*"`)

// publishes kills the first release in the middle, with its state half written; the next, on an empty disk, completes it.
func publishes(t *testing.T, w *workflowWorld) {
	w.kill("/state/", 6)
	r := w.runner(t, false)
	if err := r.run(w.caller("publish")); err == nil || w.fatal.Load() != 0 {
		t.Fatalf("it was not killed: %v\n%s", err, r.out)
	}
	r = w.runner(t, false)
	if err := r.run(w.caller("publish")); err == nil || !strings.Contains(r.out.String(), "another publisher is at work") {
		t.Fatalf("the lease of the killed run does not hold: %v\n%s", err, r.out)
	}
	path := filepath.Join(w.gateway.Folder, "state", "lease.json")
	lease, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, leaseEnd.ReplaceAll(lease, []byte(`"until":"2020-01-02T03:04:05Z"`)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"add.testing +follows.example", "release 2 of list.operator.example/2026: 1 domain"} {
		r = w.runner(t, false)
		if err := r.run(w.caller("publish")); err != nil || !regexp.MustCompile(want).MatchString(r.out.String()) {
			t.Fatalf("%v, want %q\n%s", err, want, r.out)
		}
	}
	if !strings.Contains(r.summary(), "    nothing is held") {
		t.Errorf("summary: %s", r.summary())
	}
	if !strings.Contains(r.summary(), ": nothing to tell") {
		t.Errorf("nothing of freshness in the summary: %s", r.summary())
	}
	audit := exec.CommandContext(t.Context(), filepath.Join(w.tool.built, "starttls-list"), "audit", w.gateway.URL("public"), "--trust", filepath.Join(w.list, "trust", "1"))
	audit.Env = append(os.Environ(), w.gateway.Env()...)
	if out, err := audit.CombinedOutput(); err != nil || !strings.Contains(string(out), "release 2: 3 log entries replayed") {
		t.Errorf("audit: %v\n%s", err, out)
	}
}

// proposes: the domain moves, the vantages see it, and the bots propose it once.
func proposes(t *testing.T, w *workflowWorld) {
	r := w.runner(t, false)
	if err := r.run(w.caller("sync")); err != nil || !strings.Contains(r.out.String(), "nothing to propose") || w.pulls.Load() != 0 {
		t.Fatalf("%v\n%s", err, r.out)
	}
	for _, line := range []string{"host mx2.follows.example", "mx follows.example mx.follows.example mx2.follows.example", "sts follows.example testing 10886400 mx.follows.example mx2.follows.example"} {
		verb, rest, _ := strings.Cut(line, " ")
		if err := furnish(w.lab, verb, rest); err != nil {
			t.Fatal(err)
		}
	}
	scans(t, w)
	// The bots know what the gate has seen, which is what the release before them looked at.
	r = w.runner(t, false)
	if err := r.run(w.caller("publish")); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	w.kill("/pulls", 1) // when the branch is pushed, and no pull request open
	r = w.runner(t, false)
	if err := r.run(w.caller("sync")); err == nil || w.fatal.Load() != 0 || w.pulls.Load() != 0 {
		t.Fatalf("it was not killed: %v\n%s", err, r.out)
	}
	for i := range 2 {
		r = w.runner(t, false)
		if err := r.run(w.caller("sync")); err != nil || !strings.Contains(r.out.String(), "it is proposed already") || w.pulls.Load() != int64(i+1) {
			t.Fatalf("%v, %d pull requests\n%s", err, w.pulls.Load(), r.out)
		}
	}
	diff := runGit(t, w.remote, "diff", "main", "bots/sync")
	if !strings.Contains(diff, `+`) || !strings.Contains(diff, "mx2.follows.example") {
		t.Errorf("proposed:\n%s", diff)
	}
	if subject := runGit(t, w.remote, "log", "-1", "--format=%s", "bots/sync"); subject != "Follow MTA-STS for 1 domain" {
		t.Errorf("subject %q", subject)
	}
}

// botsScript is what README.md installs.
func botsScript(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("systemd/policylist-bots.sh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// timed runs what the units start, as systemd would: one command after the other, until one fails that may not.
func timed(t *testing.T, w *workflowWorld) {
	here := strings.NewReplacer("/usr/bin/starttls-list", "starttls-list", "/usr/local/bin/policylist-bots", botsScript(t))
	runGit(t, w.remote, "branch", "-D", "bots/sync")
	for _, c := range []struct{ unit, want string }{
		{"systemd/policylist-scan.service", "stored as north.jsonl.zst"}, {"systemd/policylist-release.service", "mirror public: published and verified"},
		{"systemd/policylist-bots.service", "proposed as bots/sync:\nFollow MTA-STS for 1 domain"}, {"systemd/policylist-bots.service", "it is proposed already"},
	} {
		text, err := os.ReadFile(c.unit)
		if err != nil {
			t.Fatal(err)
		}
		may := map[string]bool{"0": true}
		if strings.Contains(string(text), "SuccessExitStatus=") {
			for _, code := range strings.Fields(unitLine(t, string(text), "SuccessExitStatus")[0]) {
				may[code] = true
			}
		}
		var script strings.Builder
		for _, line := range unitLine(t, string(text), "ExecStart") {
			command, ignored := strings.CutPrefix(line, "-")
			script.WriteString("code=0\n" + here.Replace(command) + " || code=$?\n")
			for code := range 5 {
				if !ignored && !may[strconv.Itoa(code)] {
					fmt.Fprintf(&script, "[ $code != %d ] || exit %[1]d\n", code)
				}
			}
		}
		r := onHost(t, w)
		if err := r.step(workflowStep{Name: c.unit, Run: script.String()}); err != nil || !strings.Contains(r.out.String(), c.want) {
			t.Errorf("%s: %v\n%s\n%s", c.unit, err, script.String(), r.out)
		}
	}
}

// crons runs what cron would, with its folders in place of the system's.
func crons(t *testing.T, w *workflowWorld) {
	text, err := os.ReadFile("systemd/policylist.cron")
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, registry := filepath.Join(t.TempDir(), "dns.json"), filepath.Join(t.TempDir(), "registry")
	if err := os.WriteFile(bootstrap, []byte(`{"version":"1.0","services":[[["nobody"],["https://rdap.nobody/"]]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/var/lib/policylist-vantage", filepath.Join(w.dir, "vantage"), "/var/lib/policylist/registry", registry,
		"https://data.iana.org/rdap/dns.json", bootstrap, "/usr/local/bin/policylist-bots", botsScript(t), "/var/lib/policylist-bots", filepath.Join(w.dir, "bots"))
	ran := 0
	for line := range strings.Lines(string(text)) {
		_, command, found := strings.Cut(line, " * * * policylist ")
		if !found {
			continue
		}
		r := onHost(t, w)
		script := "set +e +o pipefail\n" + here.Replace(command)
		if err := r.step(workflowStep{Name: "cron", Run: script}); err != nil {
			t.Errorf("%v\n%s\n%s", err, script, r.out)
		}
		ran++
	}
	if ran != 4 {
		t.Errorf("%d lines", ran)
	}
	if text, err := os.ReadFile(filepath.Join(registry, registrationsFile)); err != nil || !strings.Contains(string(text), `"status":"nobody"`) {
		t.Errorf("registrations: %s, %v", text, err)
	}
}

// onHost is a host that is vantage and publisher, with the environment files filled in.
func onHost(t *testing.T, w *workflowWorld) *workflowRunner {
	t.Helper()
	r := w.vantage(t, "north")
	r.space, r.temp, r.path = t.TempDir(), t.TempDir(), r.host
	r.env = append(r.env, "LIST="+w.list, "VANTAGE=north", "STATE_DIRECTORY="+filepath.Join(w.dir, "vantage"), "COSIGN_PASSWORD=correct-horse")
	return r
}

// unitLine are the values of a setting.
func unitLine(t *testing.T, text, key string) (values []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	if len(values) == 0 {
		t.Fatalf("no %s", key)
	}
	return values
}
