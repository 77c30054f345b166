package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var updateScripts = flag.Bool("update", false, "write what commands print into the scripts")

// TestMain makes starttls-list a command of the scripts in testdata/script: the test binary runs it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"starttls-list": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// Each file of testdata/script is a story: commands, what they print, and the files they work on. "exits N command…" runs
// a command that must end with exit code N.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *updateScripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			env.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(env.WorkDir))
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "test")
				env.Setenv("GIT_"+who+"_EMAIL", "test@list.example")
			}
			return nil
		},
		Condition: func(cond string) (bool, error) { return cond == "git" && haveGit(t), nil },
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exitsWith, "lab": startScriptLab, "registry": startScriptRegistry, "expand": expandFiles, "operator": scriptOperator},
	})
}

func haveGit(t *testing.T) bool {
	_, err := exec.LookPath("git")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("git is missing")
	}
	return err == nil
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGUMENTS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
