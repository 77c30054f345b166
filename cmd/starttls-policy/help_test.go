package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Help about a command that does not exist is a wrong command line, not a success.
func TestHelpOfUnknownCommand(t *testing.T) {
	for line, want := range map[string]int{"help nope": exitUsage, "help update nope": exitUsage, "help update": 0, "help": 0} {
		var out bytes.Buffer
		got := run(t.Context(), strings.Fields(line), world{&out, &out, time.Now})
		if got != want || want != 0 && !strings.Contains(out.String(), "error: there is no command") {
			t.Errorf("%s: exit code %d, want %d\n%s", line, got, want, out.String())
		}
	}
}
