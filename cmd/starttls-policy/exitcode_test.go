package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// exitConstants are the exit codes as main.go has them, by name.
func exitConstants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !regexp.MustCompile(`^exit[A-Z]`).MatchString(spec.Names[0].Name) {
			return true
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.INT {
			out[spec.Names[0].Name] = value.Value
		}
		return true
	})
	if len(out) < 7 {
		t.Fatalf("main.go has the exit codes %v", out)
	}
	return out
}

// documentedCommands are, by exit code, the commands that the page says can end with it.
func documentedCommands(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "### Exit codes\n")
	if !ok {
		t.Fatal("the page has no section about exit codes")
	}
	section, _, _ = strings.Cut(section, "\n#")
	out := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| .* \| (.*) \|$`).FindAllStringSubmatch(section, -1) {
		if out[row[1]] != "" {
			t.Errorf("the page has two rows for %s", row[1])
		}
		out[row[1]] = row[2]
	}
	return out
}

// All exit codes are different, and the page has a row for each and for no other.
func TestUsagePageExitCodes(t *testing.T) {
	page, seen := documentedCommands(t), map[string]bool{"0": true}
	for name, code := range exitConstants(t) {
		if seen[code] {
			t.Errorf("%s is %s, as another one is", name, code)
		}
		seen[code] = true
		if page[code] == "" {
			t.Errorf("the page has no row for %s, %s", code, name)
		}
	}
	for code := range page {
		if !seen[code] {
			t.Errorf("the page has a row for %s, with which nothing ends", code)
		}
	}
	if !strings.Contains(exitOrder(), "50, 1, 60, 30, 40, 20") {
		t.Errorf("worse() has the order %s", exitOrder())
	}
}

// exitOrder is the order in which worse chooses.
func exitOrder() string {
	codes := []int{exitFailed, exitStale, exitExpired, exitNoMirror, exitSecurity, exitOff}
	slices.SortFunc(codes, func(a, b int) int {
		if worse(a, b) == a {
			return -1
		}
		return 1
	})
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(codes), " ", ", "), "[]")
}

// Each command ends with each code that the page says it can, brought about by what happens to machines.
func TestExitCodesOfCommands(t *testing.T) {
	reached := map[string]bool{}
	expect := func(m *machine, code int, args ...string) {
		m.t.Helper()
		m.runs(code, args...)
		reached[fmt.Sprintf("%s %d", args[0], code)] = true
	}
	gone := func(m *machine) {
		if err := os.RemoveAll(m.dir + "/public"); err != nil {
			t.Fatal(err)
		}
	}

	m := newMachine(t, "")
	expect(m, 0, "update")
	expect(m, 0, "status")
	expect(m, 0, "query", "a.example")
	expect(m, 0, "explain", "a.example", "--live=false")
	expect(m, exitNotListed, "query", "b.example")
	expect(m, exitNotListed, "explain", "b.example", "--live=false")
	expect(m, exitUsage, "query")
	expect(m, exitUsage, "update", "--nonsense")
	m.runs(0, "disable", "--reason", "x")
	expect(m, exitOff, "status")
	m.runs(0, "status", "--prometheus")
	m.runs(0, "update")
	m.runs(0, "enable")
	expect(m, exitFailed, "refresh", "a.example", "--socket", "unix:"+m.dir+"/nobody")
	list := filepath.Join(m.dir, "public", "policy.json")
	trust := filepath.Join(m.dir, "var", "example", "trust", "1")
	expect(m, 0, "verify", list, "--trust", trust)
	if err := os.WriteFile(m.dir+"/bad.json", []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(m, exitFailed, "verify", m.dir+"/bad.json", "--trust", trust)
	m.at = m.at.Add(49 * time.Hour)
	expect(m, exitStale, "update")
	expect(m, exitStale, "status")
	m.at = m.at.AddDate(0, 0, 14)
	expect(m, exitExpired, "verify", list, "--trust", trust)
	expect(m, exitExpired, "status")
	expect(m, exitExpired, "update")

	m = newMachine(t, "")
	gone(m)
	expect(m, exitNoMirror, "update")
	if err := os.RemoveAll(filepath.Join(m.dir, "var", "example", "trust")); err != nil {
		t.Fatal(err)
	}
	expect(m, exitFailed, "update")
	expect(m, exitFailed, "status")
	if err := os.Remove(m.configPath); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"update", "status", "serve", "enable"} {
		expect(m, exitUsage, command)
	}
	// The second history is a story of its own: fork.txtar.
	script, err := os.ReadFile("testdata/script/fork.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^exits 50 starttls-policy (\w+)`).FindAllStringSubmatch(string(script), -1) {
		reached[found[1]+" 50"] = true
	}
	for code, commands := range documentedCommands(t) {
		for _, c := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(commands, -1) {
			if c[1] != "join" && !reached[c[1]+" "+code] { // join ends as the update that it runs
				t.Errorf("the page says that %s can end with %s, and no test has it do so", c[1], code)
			}
		}
	}
}

// What update exits with has a name in the metrics, and no two have the same.
func TestOutcomesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, code := range []int{0, exitFailed, exitStale, exitExpired, exitNoMirror, exitSecurity} {
		name := outcomes[code]
		if name == "" || seen[name] {
			t.Errorf("exit code %d counts as %q", code, name)
		}
		seen[name] = true
	}
	if len(outcomes) != len(seen) {
		t.Error("there is an outcome that no exit code has")
	}
}
