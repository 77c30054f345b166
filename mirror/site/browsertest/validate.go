package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// rules are html-validate's: all that it recommends and says of the standard. What it would only have written in another
// way is left out: the pages are written by html/template, which has its own way with quotes and entities.
const rules = `{
  "root": true,
  "extends": ["html-validate:recommended", "html-validate:document"],
  "rules": {
    "attr-quotes": "off", "no-trailing-whitespace": "off", "void-style": "off", "long-title": "off",
    "no-raw-characters": ["error", {"relaxed": true}], "require-sri": "off", "doctype-style": "off",
    "no-inline-style": "error", "prefer-native-element": "off"
  }
}`

// Invalid runs html-validate over pages, by path, and returns what it finds, as path:line:column, rule and message.
func Invalid(t testing.TB, pages map[string][]byte) []string {
	t.Helper()
	judge := filepath.Join(tool.Path(t, "page-judges"), "node_modules/html-validate/bin/html-validate.mjs")
	node := tool.Path(t, "node")
	dir := t.TempDir()
	write := func(name string, data []byte) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.json", []byte(rules))
	for name, data := range pages {
		write("pages/"+name, data)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, judge, "--config", "rules.json", "--formatter", "json", "pages")
	cmd.Dir = dir
	// Into a file: what Node wrote to a pipe and nobody has read yet is lost when it exits.
	answer, err := os.Create(filepath.Join(dir, "answer.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	cmd.Stdout = answer
	err = cmd.Run()
	out, readErr := os.ReadFile(answer.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	var files []struct {
		Path     string `json:"filePath"`
		Messages []struct {
			Rule    string `json:"ruleId"`
			Message string
			Line    int
			Column  int
		}
	}
	// It exits with 1 when it finds something, and then says so in JSON.
	if jsonErr := json.Unmarshal(out, &files); jsonErr != nil {
		t.Fatalf("html-validate: %v, %v: %s", err, jsonErr, out)
	}
	var found []string
	for _, f := range files {
		rel, _ := filepath.Rel(filepath.Join(dir, "pages"), f.Path)
		for _, m := range f.Messages {
			found = append(found, fmt.Sprintf("%s:%d:%d: %s: %s", rel, m.Line, m.Column, m.Rule, m.Message))
		}
	}
	if err != nil && len(found) == 0 {
		t.Fatalf("html-validate: %v: %s", err, out)
	}
	return found
}
