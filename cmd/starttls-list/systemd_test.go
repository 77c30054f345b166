package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// systemd has nothing to say against the units; the program that they start is put in place of the one in /usr/bin.
func TestUnitsVerify(t *testing.T) {
	analyze := tool.Path(t, "systemd-analyze")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	installed := strings.NewReplacer("/usr/bin/starttls-list", program, "/usr/local/bin/policylist-bots", program)
	verify := func(change func(string) string) (string, error) {
		args := []string{"verify", "--man=no"}
		for _, name := range unitFiles(t) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, filepath.Base(name))
			if err := os.WriteFile(path, []byte(change(installed.Replace(string(text)))), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(func(s string) string { return s }); err != nil || out != "" {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
	if out, _ := verify(func(s string) string { return strings.ReplaceAll(s, "Type=oneshot", "Type=oneshott") }); out == "" {
		t.Error("systemd-analyze does not notice a wrong type")
	}
}

func unitFiles(t testing.TB) []string {
	t.Helper()
	var all []string
	for pattern, n := range map[string]int{"systemd/*.service": 5, "systemd/*.timer": 3, "systemd/*.socket": 1} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != n {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		all = append(all, found...)
	}
	return all
}

// commandLine is a call of starttls-list in a unit, a crontab, a document or a workflow, to the end of its arguments.
var commandLine = regexp.MustCompile("(?:^|[ =/;`(\n])starttls-list ((?:\\\\\n|[^;|&>`\n])*)")

// Units, crontab, workflows and documents call commands and flags that there are, with the same flags for the same work.
func TestSchedulesCallWhatThereIs(t *testing.T) {
	files := append(unitFiles(t), "systemd/policylist.cron", "systemd/policylist-bots.sh", "systemd/README.md", "../../pipeline/tlsrpt/README.md", "repository/README.md", "repository/SETUP.md")
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	for _, file := range workflowFiles(t) {
		for _, s := range readWorkflow(t, file).steps() {
			texts[file] += s.Run + "\n"
		}
	}
	for _, name := range []string{"check", "tool", "aws"} {
		var a workflowAction
		readYAML(t, repositoryRoot+"/.github/actions/"+name+"/action.yml", &a)
		for _, s := range a.Runs.Steps {
			texts[name] += s.Run + "\n"
		}
	}
	found := map[string]int{}
	for file, text := range texts {
		for _, call := range commandLine.FindAllStringSubmatch(text, -1) {
			if name := unknownFlag(call[1]); name != "" {
				t.Errorf("%s: starttls-list %s: there is no %s", file, call[1], name)
			}
			found[strings.Fields(call[1])[0]]++
		}
	}
	for _, name := range []string{"probe", "release", "check", "trust", "pending", "preview", "freshness", "tlsrpt"} {
		if found[name] == 0 {
			t.Errorf("nothing calls %s: %v", name, found)
		}
	}
	if unknownFlag("probe --al list") != "--al" || unknownFlag("prob --all list") != "command prob" || unknownFlag("probe store x --source y") != "" {
		t.Error("a wrong call passes")
	}
}

// unknownFlag is what a call names that there is not.
func unknownFlag(call string) string {
	words := strings.Fields(call)
	if len(words) == 0 || strings.HasPrefix(words[0], `"$`) { // a command that a loop names
		return ""
	}
	c, _, err := newRoot().Find(words)
	if err != nil || c.Name() == "starttls-list" && !strings.HasPrefix(words[0], "-") && len(words[0]) > 1 {
		return "command " + words[0]
	}
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "version" && name != "help" && c.Flags().Lookup(name) == nil {
			return "--" + name
		}
	}
	return ""
}
