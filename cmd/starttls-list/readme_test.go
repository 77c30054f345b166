package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestReadmeNamesEveryCommand: the page of commands names each command, and some page in the tree each of their own.
func TestReadmeNamesEveryCommand(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := read("cmd/README.md")
	all := first
	for _, path := range []string{"transparency/README.md", "pipeline/probe/README.md", "pipeline/tlsrpt/README.md", "mirror/audit/FRESHNESS.md"} {
		all += read(path)
	}
	names := func(page string, c *cobra.Command) bool {
		path := strings.TrimPrefix(c.CommandPath(), "starttls-list ")
		short := path[strings.LastIndexByte(path, ' ')+1:]
		// "trust create, propose, sign and publish" names four.
		return regexp.MustCompile("starttls-list "+regexp.QuoteMeta(path)+`\b`).MatchString(page) ||
			regexp.MustCompile("(?m)^.*(starttls-list|`).*\\b"+regexp.QuoteMeta(short)+`\b`).MatchString(page)
	}
	for _, c := range newRoot().Commands() {
		if c.Name() != "help" && !names(first, c) {
			t.Errorf("cmd/README.md does not name %s", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if !names(all, sub) {
				t.Errorf("no page names %s", sub.CommandPath())
			}
		}
	}
	for _, flag := range []string{"--repository", "--ref"} {
		if !strings.Contains(first, flag) {
			t.Errorf("cmd/README.md does not name init %s", flag)
		}
	}
	if names(first, &cobra.Command{Use: "nonesuch"}) {
		t.Error("the test finds what is not there")
	}
}
