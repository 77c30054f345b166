package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// workflowRunner runs the shell of workflows as GitHub's runner does. It knows of actions/checkout, which clones the
// throwaway repository, or, for this project's source, leads to the tree that is tested; of actions/setup-go, for the Go
// that runs the tests is there; and of composite actions, which it reads. Expressions have the values that a test gives
// them, and one without a value fails the test.
type workflowRunner struct {
	t      testing.TB
	values map[string]string // of expressions, as written between ${{ and }}
	inputs map[string]string // of a called workflow
	env    []string          // of the runner's host
	forced map[string]string // what a test has instead of a declared variable of a step
	only   string            // the one step to run, "" for all
	host   []string          // PATH of the runner's host before the usual one
	remote string            // the list's Git repository
	tool   *builtTool
	out    *bytes.Buffer   // what the steps printed
	killed func(group int) // told the process group of each step, nil for nobody
	space  string          // the job's workspace
	temp   string          // RUNNER_TEMP
	added  []string        // by GITHUB_ENV
	path   []string        // by GITHUB_PATH, the latest first
}

// expression is one of a workflow's.
var expression = regexp.MustCompile(`\$\{\{ ?(.*?) ?\}\}`)

// expand gives expressions their values. A list of alternatives with || is the first that is not empty.
func (r *workflowRunner) expand(text string) string {
	return expression.ReplaceAllStringFunc(text, func(e string) string {
		whole := expression.FindStringSubmatch(e)[1]
		for _, one := range strings.Split(whole, " || ") {
			value, known := r.value(one)
			if !known {
				r.t.Fatalf("nobody says what ${{ %s }} is, in %q", one, text)
			}
			if value != "" {
				return value
			}
		}
		return ""
	})
}

func (r *workflowRunner) value(name string) (string, bool) {
	if literal, ok := strings.CutPrefix(name, "'"); ok && strings.Count(literal, "'") == 1 {
		return strings.TrimSuffix(literal, "'"), true
	}
	if input, ok := strings.CutPrefix(name, "inputs."); ok && !strings.Contains(input, " ") {
		return r.inputs[input], true
	}
	value, ok := r.values[name]
	return value, ok
}

// run runs a workflow of a list's repository or of this one, in a workspace of its own, and returns the error of the first
// step that failed.
func (r *workflowRunner) run(file string) error {
	r.t.Helper()
	w := readWorkflow(r.t, file)
	if len(w.Jobs) != 1 {
		r.t.Fatalf("%s: %d jobs", file, len(w.Jobs))
	}
	for _, job := range w.Jobs {
		if job.Uses != "" {
			return r.call(job)
		}
		r.space, r.temp, r.added, r.path = r.t.TempDir(), r.t.TempDir(), nil, r.host
		for _, s := range job.Steps {
			if r.only != "" && s.Name != r.only {
				continue
			}
			if err := r.step(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// call runs a reusable workflow of this repository.
func (r *workflowRunner) call(job workflowJob) error {
	r.t.Helper()
	name, _, ok := strings.Cut(strings.TrimPrefix(job.Uses, "starttls-everywhere/policylist/"), "@")
	if !ok || name == job.Uses {
		r.t.Fatalf("cannot call %s", job.Uses)
	}
	before := r.inputs
	defer func() { r.inputs = before }()
	called := maps.Clone(job.With)
	for name, value := range called {
		called[name] = r.expand(value)
	}
	var w struct {
		On struct {
			Call struct {
				Inputs map[string]struct {
					Default  string `yaml:"default"`
					Required bool   `yaml:"required"`
					Type     string `yaml:"type"`
				} `yaml:"inputs"`
			} `yaml:"workflow_call"`
		} `yaml:"on"`
	}
	readYAML(r.t, filepath.Join(repositoryRoot, name), &w)
	for input, about := range w.On.Call.Inputs {
		if _, given := called[input]; !given && about.Required {
			r.t.Fatalf("%s is called without %s", name, input)
		} else if !given {
			called[input] = about.Default
		}
		if about.Type == "boolean" && called[input] == "false" {
			called[input] = "" // which is what || asks
		}
	}
	for input := range called {
		if _, ok := w.On.Call.Inputs[input]; !ok {
			r.t.Fatalf("%s has no input %s", name, input)
		}
	}
	r.inputs = called
	return r.run(filepath.Join(repositoryRoot, name))
}

func (r *workflowRunner) step(s workflowStep) error {
	r.t.Helper()
	action, _, _ := strings.Cut(s.Uses, "@")
	switch {
	case s.Run != "":
		return r.shell(s)
	case action == "actions/checkout":
		r.checkout(s)
		return nil
	case action == "actions/setup-go":
		return nil
	case strings.HasPrefix(action, "./"):
		return r.composite(s)
	}
	r.t.Fatalf("cannot run %q", s.Uses)
	return nil
}

// checkout clones what is asked for; this project's own source is the tree that the test is of.
func (r *workflowRunner) checkout(s workflowStep) {
	r.t.Helper()
	target := filepath.Join(r.space, s.With["path"])
	if strings.Contains(s.With["repository"], "starttls-everywhere/policylist") {
		root, err := filepath.Abs(repositoryRoot)
		if err == nil {
			err = os.Symlink(root, target)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return
	}
	runGit(r.t, "", "clone", "-q", r.remote, target)
	runGit(r.t, target, "fetch", "-q", "origin", "+refs/pull/*:refs/remotes/pull/*")
	if ref := r.expand(s.With["ref"]); ref != "" {
		runGit(r.t, target, "checkout", "-q", "--detach", "refs/remotes/"+strings.TrimPrefix(ref, "refs/"))
	} else if change := r.values["the change"]; change != "" {
		runGit(r.t, target, "checkout", "-q", "--detach", change)
	}
}

func (r *workflowRunner) composite(s workflowStep) error {
	r.t.Helper()
	dir := filepath.Join(r.space, s.Uses)
	var a workflowAction
	readYAML(r.t, filepath.Join(dir, "action.yml"), &a)
	if a.Runs.Using != "composite" {
		r.t.Fatalf("%s: no composite action", s.Uses)
	}
	inner := *r
	inner.values, inner.inputs = maps.Clone(r.values), map[string]string{}
	inner.values["github.action_path"] = dir
	for name, about := range a.Inputs {
		value, given := s.With[name]
		if !given && about.Required {
			r.t.Fatalf("%s is used without %s", s.Uses, name)
		} else if !given {
			value = about.Default
		}
		inner.inputs[name] = r.expand(value)
	}
	for name := range s.With {
		if _, ok := a.Inputs[name]; !ok {
			r.t.Fatalf("%s has no input %s", s.Uses, name)
		}
	}
	for _, s := range a.Runs.Steps {
		if s.Run != "" && s.Shell == "" {
			r.t.Fatalf("a step of a composite action has to name its shell: %+v", s)
		}
		if err := inner.step(s); err != nil {
			return err
		}
		r.added, r.path = inner.added, inner.path
	}
	return nil
}

// builtTool is where the first job had starttls-list built; linking it again for each would take a minute.
type builtTool struct{ dir, built string }

// keep copies a tool to where it outlives its job.
func (b *builtTool) keep(t testing.TB, from string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(from, "starttls-list"))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "starttls-list"), data, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.built = b.dir
}

// shell runs one script as the runner does with "shell: bash".
func (r *workflowRunner) shell(s workflowStep) error {
	r.t.Helper()
	if s.Name == "build" && r.tool.built != "" {
		r.path = append([]string{r.tool.built}, r.path...)
		return nil
	}
	files := map[string]string{}
	for _, name := range []string{"GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"} {
		files[name] = filepath.Join(r.temp, "_"+name)
		if name != "GITHUB_STEP_SUMMARY" {
			os.Remove(files[name])
		}
	}
	script := filepath.Join(r.temp, "_script.sh")
	if err := os.WriteFile(script, []byte(s.Run), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", script)
	cmd.Dir = filepath.Join(r.space, r.expand(s.Dir))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(slices.Clone(r.env), r.added...)
	cmd.Env = append(cmd.Env, "RUNNER_TEMP="+r.temp, "PATH="+strings.Join(append(slices.Clone(r.path), os.Getenv("PATH")), ":"))
	for name, file := range files {
		cmd.Env = append(cmd.Env, name+"="+file)
	}
	for name, value := range s.Env {
		if instead, ok := r.forced[name]; ok {
			cmd.Env = append(cmd.Env, name+"="+instead)
			continue
		}
		cmd.Env = append(cmd.Env, name+"="+r.expand(value))
	}
	cmd.Stdout, cmd.Stderr = r.out, r.out
	err := cmd.Start()
	if err == nil && r.killed != nil {
		r.killed(cmd.Process.Pid)
	}
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	r.added = append(r.added, fileLines(r.t, files["GITHUB_ENV"])...)
	r.path = append(fileLines(r.t, files["GITHUB_PATH"]), r.path...)
	if s.Name == "build" && err == nil {
		r.tool.keep(r.t, r.path[0])
	}
	return err
}

func fileLines(t testing.TB, path string) []string {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(data), func(c rune) bool { return c == '\n' })
}

// summary is what the steps of the last job wrote for people.
func (r *workflowRunner) summary() string {
	data, err := os.ReadFile(filepath.Join(r.temp, "_GITHUB_STEP_SUMMARY"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// runGit runs git without anybody's configuration, and returns what it printed.
func runGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func gitEnvironment() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@list.example",
		"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@list.example")
}
