package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// calls: none that the program and Postfix's postmap and postconf make is one that the units refuse, and no socket is of a
// family that they refuse.
func calls(t *testing.T, m *installed) {
	allowed, seen := allowedCalls(t), traced{calls: map[string]bool{}, families: map[string]bool{}}
	socket := filepath.Join(t.TempDir(), "s")
	m.appendConfig("listen = [\"unix:" + socket + "\"]\n")
	own := func(args ...string) *exec.Cmd {
		return exec.Command(m.program, append([]string{"--config", m.config}, args...)...)
	}
	for _, args := range [][]string{{"update", "--method", "snapshot"}, {"disable", "--reason", "x"}, {"enable"}, {"status"}} {
		seen.run(t, m.program, own(args...), nil)
	}
	seen.run(t, m.program, own("serve"), func(cmd *exec.Cmd) {
		answers := func() bool {
			got, err := askOnce("unix", socket, "floor a.example")
			return err == nil && got == "OK "+listedAnswer
		}
		if !eventually(answers, nil) {
			t.Error("under strace it does not answer")
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		var pid int
		if _, errScan := fmt.Sscan(string(children), &pid); err != nil || errScan != nil {
			t.Fatal(err, errScan)
		}
		syscall.Kill(pid, syscall.SIGTERM)
	})
	if len(seen.calls) < 30 || !seen.calls["accept4"] || !seen.calls["fsync"] || !seen.families["AF_UNIX"] {
		t.Errorf("only %d calls were seen", len(seen.calls))
	}
	seen.judge(t, allowed)

	postfix := tool.NewPostfix(t, "lmdb")
	table := filepath.Join(postfix.Config, "table")
	if err := os.WriteFile(table, []byte("a.example  secure match=mx.a.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := traced{calls: map[string]bool{}, families: map[string]bool{}}
	for _, args := range [][]string{{"postmap", "hash:" + table}, {"postmap", "lmdb:" + table}, {"postconf", "-m"}, {"postconf", "-h", "mail_version"}} {
		theirs.run(t, filepath.Join(postfix.Tree, "usr/sbin", args[0]), postfix.Command(t.Context(), t, args[0], args[1:]...), nil)
	}
	if len(theirs.calls) < 20 || !exists(table+".lmdb") || !exists(table+".db") {
		t.Errorf("only %d calls of Postfix were seen", len(theirs.calls))
	}
	theirs.judge(t, allowed)
}

// traced is what programs have asked the kernel for.
type traced struct{ calls, families map[string]bool }

func (s traced) judge(t *testing.T, allowed map[string]bool) {
	t.Helper()
	for name := range s.calls {
		if !allowed[name] {
			t.Errorf("the units refuse %s", name)
		}
	}
	families := strings.Fields(settings(unitFiles(t)["starttls-policy.service"])["RestrictAddressFamilies"][0])
	for family := range s.families {
		if !slices.Contains(families, family) {
			t.Errorf("the units refuse sockets of %s", family)
		}
	}
}

// run runs a command under strace and takes the calls of program, not those of what starts it; meanwhile is called while it
// runs.
func (s traced) run(t *testing.T, program string, cmd *exec.Cmd, meanwhile func(*exec.Cmd)) {
	t.Helper()
	dir := t.TempDir()
	words := cmd.Args
	before := 0
	if words[0] == "sudo" { // nobody can trace that
		before = 2
	}
	words = slices.Insert(slices.Clone(words), before, tool.Path(t, "strace"), "-ff", "-qq", "-o", filepath.Join(dir, "trace"))
	traced := exec.Command(words[0], words[1:]...)
	if err := traced.Start(); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile(traced)
	}
	if err := traced.Wait(); err != nil {
		t.Errorf("%q: %v", cmd.Args, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "trace.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files { // one a thread
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.LastIndex(string(text), "execve("); i >= 0 {
			if !strings.HasPrefix(string(text[i:]), fmt.Sprintf("execve(%q, ", program)) {
				continue
			}
			text = text[i:]
		}
		s.take(string(text))
	}
}

func (s traced) take(text string) {
	for line := range strings.Lines(text) {
		name, args, ok := strings.Cut(line, "(")
		if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			continue // a signal, an end, or one that was cut short
		}
		s.calls[name] = true
		if name == "socket" {
			family, _, _ := strings.Cut(args, ",")
			s.families[family] = true
		}
	}
}

// allowedCalls are those of SystemCallFilter=, by what systemd knows about its groups.
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	analyze := tool.Path(t, "systemd-analyze")
	var expand func(string) []string
	expand = func(group string) (out []string) {
		text, err := exec.Command(analyze, "syscall-filter", "--no-pager", group).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Split(string(text), "\n")[1:] {
			switch word = strings.TrimSpace(word); {
			case strings.HasPrefix(word, "@"):
				out = append(out, expand(word)...)
			case word != "" && word[0] != '#':
				out = append(out, word)
			}
		}
		return out
	}
	allowed := map[string]bool{}
	for _, filter := range settings(unitFiles(t)["starttls-policy.service"])["SystemCallFilter"] {
		refused, ok := strings.CutPrefix(filter, "~")
		for _, group := range strings.Fields(refused) {
			for _, name := range expand(group) {
				if allowed[name] = !ok; ok {
					delete(allowed, name)
				}
			}
		}
	}
	if !allowed["read"] || allowed["mount"] || allowed["reboot"] {
		t.Fatalf("the filter is not understood: %d calls", len(allowed))
	}
	return allowed
}
