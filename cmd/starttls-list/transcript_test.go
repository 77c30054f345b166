package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// transcript runs the commands of a help text's example one after another in the present folder and compares what they
// print. "…" stands for anything within a line, alone on a line for any lines; "NAME=value" before a command goes into
// the environment; "$ echo $?" shows the exit code of the command before it.
func transcript(t *testing.T, example string) {
	t.Helper()
	var printed bytes.Buffer
	code, ran := 0, false
	for _, line := range strings.Split(example, "\n") {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if !ok {
			continue
		}
		fmt.Fprintln(&printed, line)
		if command == "echo $?" {
			fmt.Fprintf(&printed, "  %d\n", code)
			continue
		}
		args := strings.Fields(command)
		for name, value, ok := strings.Cut(args[0], "="); ok; name, value, ok = strings.Cut(args[0], "=") {
			t.Setenv(name, value)
			args = args[1:]
		}
		if args[0] != "starttls-list" {
			t.Fatalf("the transcript runs %q", args[0])
		}
		var out bytes.Buffer
		code, ran = run(t.Context(), args[1:], strings.NewReader(""), &out, &out), true
		for _, l := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			fmt.Fprintf(&printed, "  %s\n", l)
		}
	}
	pattern := regexp.QuoteMeta(strings.TrimSuffix(example, "\n") + "\n")
	pattern = regexp.MustCompile(`(?m)^ *…\n`).ReplaceAllString(pattern, `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, "…", `.*`)
	if !ran || !regexp.MustCompile("^"+pattern+"$").MatchString(printed.String()) {
		t.Errorf("the help shows\n%s\nbut this was printed\n%s", example, printed.String())
	}
}

// The examples of check, fmt and code work on the example list, in a folder called list.
func TestOfflineTranscripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "list"), os.DirFS("../../policy/list")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, c := range []*cobra.Command{newCheckCommand(), newFmtCommand(), newCodeCommand()} {
		t.Run(c.Name(), func(t *testing.T) { transcript(t, c.Example) })
	}
}

// The examples of init, release and, when the state is lost, recover follow one another.
func TestOperatorTranscripts(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []*cobra.Command{newInitCommand(), newReleaseCommand()} {
		transcript(t, c.Example) // the password that init sets serves the others too
	}
	if err := os.RemoveAll("mylist/state"); err != nil {
		t.Fatal(err)
	}
	transcript(t, newRecoverCommand().Example)
}

func TestEveryCommandIsExplained(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			walk(sub)
			if !sub.Runnable() || sub.Hidden {
				continue
			}
			if !regexp.MustCompile(`^  \$ (\w+=\S+ )*` + sub.CommandPath() + `\b`).MatchString(sub.Example) {
				t.Errorf("%s: the help ends in no transcript", sub.CommandPath())
			}
			if !strings.Contains(sub.Long, "Exit codes: 0 ") {
				t.Errorf("%s: the help does not list the exit codes", sub.CommandPath())
			}
		}
	}
	walk(newRoot())
}
