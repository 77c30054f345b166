package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what the tests read of a workflow's file.
type workflow struct {
	On          map[string]yaml.Node `yaml:"on"`
	Permissions map[string]string    `yaml:"permissions"`
	Concurrency struct {
		Group  string `yaml:"group"`
		Cancel bool   `yaml:"cancel-in-progress"`
	} `yaml:"concurrency"`
	Env  map[string]string      `yaml:"env"`
	Jobs map[string]workflowJob `yaml:"jobs"`
}

type workflowJob struct {
	If          string            `yaml:"if"`
	Environment string            `yaml:"environment"`
	Permissions map[string]string `yaml:"permissions"`
	RunsOn      yaml.Node         `yaml:"runs-on"`
	Timeout     int               `yaml:"timeout-minutes"`
	Env         map[string]string `yaml:"env"`
	Steps       []workflowStep    `yaml:"steps"`
	Uses        string            `yaml:"uses"`
	With        map[string]string `yaml:"with"`
	Secrets     map[string]string `yaml:"secrets"`
}

type workflowStep struct {
	Name  string            `yaml:"name"`
	Uses  string            `yaml:"uses"`
	With  map[string]string `yaml:"with"`
	Env   map[string]string `yaml:"env"`
	Run   string            `yaml:"run"`
	Shell string            `yaml:"shell"`
	Dir   string            `yaml:"working-directory"`
}

// workflowAction is a composite action.
type workflowAction struct {
	Inputs map[string]struct {
		Default  string `yaml:"default"`
		Required bool   `yaml:"required"`
	} `yaml:"inputs"`
	Runs struct {
		Using string         `yaml:"using"`
		Steps []workflowStep `yaml:"steps"`
	} `yaml:"runs"`
}

// repositoryRoot is where .github is.
const repositoryRoot = "../.."

func readYAML(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// workflowFiles are those of this repository and the templates of a list's own.
func workflowFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{repositoryRoot + "/.github/workflows/*.yml", "repository/.github/workflows/*.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < 5 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	return files
}

func readWorkflow(t testing.TB, path string) workflow {
	t.Helper()
	var w workflow
	readYAML(t, path, &w)
	if len(w.On) == 0 || len(w.Jobs) == 0 {
		t.Fatalf("%s: no workflow", path)
	}
	return w
}

// steps are all steps of a file, in whatever job.
func (w workflow) steps() (all []workflowStep) {
	for _, j := range w.Jobs {
		all = append(all, j.Steps...)
	}
	return all
}

// pinned is an action or workflow at a whole commit hash, or one of this repository at what init was told, or a local one
// of the checkout "tool", which is the base's or pinned itself.
var pinned = regexp.MustCompile(`^(actions/[a-z-]+@[0-9a-f]{40}|\./tool/\.github/actions/[a-z]+|starttls-everywhere/policylist/\.github/workflows/[a-z]+\.yml@\[\[ \.Ref \]\])$`)

// flaws are what must never be in a workflow or action, as text and as what it means.
func workflowFlaws(text string, w workflow, a workflowAction) (flaws []string) {
	flaw := func(bad bool, what string) {
		if bad {
			flaws = append(flaws, what)
		}
	}
	_, target := w.On["pull_request_target"]
	flaw(target, "pull_request_target")
	_, run := w.On["workflow_run"]
	flaw(run, "workflow_run")
	_, pull := w.On["pull_request"]
	flaw(pull && strings.Contains(text, "secrets."), "a secret where a pull request is")
	flaw(pull && strings.Contains(text, "self-hosted"), "a pull request on a host of ours")
	flaw(w.Jobs != nil && w.Permissions == nil, "permissions of the repository's settings")
	for name, value := range w.Permissions {
		flaw(value != "read" && value != "none", "a permission for all jobs: "+name)
	}
	for _, j := range w.Jobs {
		for name, value := range j.Permissions {
			flaw(pull && value != "read", "a pull request that may write: "+name)
		}
		flaw(j.Uses == "" && j.Timeout == 0, "a job without a timeout")
		flaw(j.Uses != "" && !pinned.MatchString(j.Uses), "unpinned: "+j.Uses)
	}
	for _, s := range append(w.steps(), a.Runs.Steps...) {
		flaw(strings.Contains(s.Run, "${{"), "an expression in a script: "+s.Run)
		flaw(s.Uses != "" && !pinned.MatchString(s.Uses), "unpinned: "+s.Uses)
		flaw(strings.Contains(s.Run, "change/") && !strings.Contains(s.Run, "starttls-list"), "something of the change in a script: "+s.Run)
	}
	return flaws
}

func TestWorkflowsAreSafe(t *testing.T) {
	actions, err := filepath.Glob(repositoryRoot + "/.github/actions/*/action.yml")
	if err != nil || len(actions) < 3 {
		t.Fatal(actions, err)
	}
	for _, file := range append(workflowFiles(t), actions...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		var a workflowAction
		if strings.HasSuffix(file, "action.yml") {
			readYAML(t, file, &a)
		} else {
			w = readWorkflow(t, file)
		}
		for _, flaw := range workflowFlaws(string(text), w, a) {
			t.Errorf("%s: %s", file, flaw)
		}
	}
}

// Each flaw is found.
func TestWorkflowFlawsAreFound(t *testing.T) {
	for text, want := range map[string]string{
		"on: {pull_request_target: }\npermissions: {}\njobs: {a: {timeout-minutes: 1}}":                                                 "pull_request_target",
		"on: {workflow_run: }\npermissions: {}\njobs: {a: {timeout-minutes: 1}}":                                                        "workflow_run",
		"on: {pull_request: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, env: {A: '${{ secrets.A }}'}}}":                          "a secret where",
		"on: {pull_request: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, runs-on: self-hosted}}":                                  "a pull request on a host",
		"on: {pull_request: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, permissions: {contents: write}}}":                        "may write: contents",
		"on: {push: }\njobs: {a: {timeout-minutes: 1}}":                                                                                 "permissions of the",
		"on: {push: }\npermissions: {contents: write}\njobs: {a: {timeout-minutes: 1}}":                                                 "for all jobs: contents",
		"on: {push: }\npermissions: {}\njobs: {a: {}}":                                                                                  "without a timeout",
		"on: {push: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, steps: [{uses: actions/checkout@v4}]}}":                          "unpinned: actions/checkout@v4",
		"on: {push: }\npermissions: {}\njobs: {a: {uses: o/r/.github/workflows/x.yml@main}}":                                            "unpinned: o/r",
		"on: {push: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, steps: [{run: 'echo ${{ github.event.pull_request.title }}'}]}}": "an expression in a script",
		"on: {push: }\npermissions: {}\njobs: {a: {timeout-minutes: 1, steps: [{run: change/build.sh}]}}":                               "something of the change",
	} {
		var w workflow
		if err := yaml.Unmarshal([]byte(text), &w); err != nil {
			t.Fatal(err)
		}
		if got := workflowFlaws(text, w, workflowAction{}); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s\n%q, want %q", text, got, want)
		}
	}
}

// What each workflow is allowed to do, and what keeps two of its runs apart.
func TestWorkflowsHaveWhatTheyNeed(t *testing.T) {
	root := repositoryRoot + "/.github/workflows/"
	check := readWorkflow(t, root+"check.yml")
	if len(check.Permissions) != 1 || check.Permissions["contents"] != "read" || check.Jobs["check"].Permissions != nil {
		t.Errorf("check may %v", check.Permissions)
	}
	publish := readWorkflow(t, root+"publish.yml")
	job := publish.Jobs["publish"]
	if publish.Concurrency.Group != "publish" || publish.Concurrency.Cancel || job.Environment != "publish" ||
		len(job.Permissions) != 2 || job.Permissions["id-token"] != "write" || job.Permissions["contents"] != "read" {
		t.Errorf("publish: %+v, %+v", publish.Concurrency, job)
	}
	for _, name := range []string{"scan", "sync", "publish"} {
		w, caller := readWorkflow(t, root+name+".yml"), readWorkflow(t, "repository/.github/workflows/"+name+".yml")
		mine, theirs := w.On["schedule"], caller.On["schedule"]
		one, err := yaml.Marshal(&mine)
		two, err2 := yaml.Marshal(&theirs)
		if err != nil || err2 != nil || len(mine.Content) == 0 || string(one) != string(two) {
			t.Errorf("%s runs at other times here and in a list's own repository:\n%s\n%s", name, one, two)
		}
		if _, ok := w.On["workflow_call"]; !ok || w.Concurrency.Cancel {
			t.Errorf("%s: not to be called, or its runs cancel each other", name)
		}
	}
}

// The forms of this repository and of a list's own are one text.
func TestRepositoryTemplatesAreOurs(t *testing.T) {
	for _, name := range []string{"ISSUE_TEMPLATE/domain.yml"} {
		ours, err := os.ReadFile(filepath.Join(repositoryRoot, ".github", name))
		theirs, err2 := os.ReadFile(filepath.Join("repository/.github", name))
		if err != nil || err2 != nil || !slices.Equal(ours, theirs) {
			t.Errorf("%s differs: %v, %v", name, err, err2)
		}
	}
}
