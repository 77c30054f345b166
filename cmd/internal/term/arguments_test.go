package term_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

// Whoever forgets a word, or writes one too many, is told which and what the command takes.
func TestArguments(t *testing.T) {
	wrong := func(c *cobra.Command, err error) error {
		return &term.Exit{Code: 3, Err: fmt.Errorf("%s: %w", c.Name(), err)}
	}
	for line, want := range map[string]string{
		"":              "",
		"copy a b":      "",
		"copy":          "copy: an argument is missing: it is tool copy SRC DST",
		"copy a b c":    `copy: "c" is one argument too many: it is tool copy SRC DST`,
		"count x":       `count: there is no command count "x"`,
		"count all":     "",
		"count all x":   `all: "x" is one argument too many: it is tool count all`,
		"group":         "",
		"group nonsens": `group: there is no command group "nonsens"`,
		"nonsense":      `tool: there is no command "nonsense"`,
	} {
		root := term.Root("tool", "1", "a tool", "A tool.", wrong)
		run := func(*cobra.Command, []string) error { return nil }
		count := &cobra.Command{Use: "count", Args: term.Arguments(0, 0, wrong), RunE: run}
		count.AddCommand(&cobra.Command{Use: "all", Args: term.Arguments(0, 0, wrong), RunE: run})
		group := term.Group(&cobra.Command{Use: "group"}, wrong)
		group.AddCommand(&cobra.Command{Use: "one", RunE: run})
		root.AddCommand(count, group, &cobra.Command{Use: "copy SRC DST", Args: term.Arguments(2, 2, wrong), RunE: run})
		root.SetOut(io.Discard)
		root.SetArgs(strings.Fields(line))
		err := root.Execute()
		var exit *term.Exit
		if got := fmt.Sprint(err); err != nil && (got != want || !errors.As(err, &exit) || exit.Code != 3) || err == nil && want != "" {
			t.Errorf("tool %s: %v, want %s", line, err, want)
		}
	}
}
