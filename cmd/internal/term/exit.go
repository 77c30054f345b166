// Package term is how both commands speak to a person: findings, errors with a hint, progress.
package term

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit is an error that knows its exit code and what the reader can do about it.
type Exit struct {
	Code int
	Err  error  // nil: the output has said it all
	Hint string // one sentence, may be empty
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Exit) Unwrap() error { return e.Err }

// Lines is Escape for text of several lines, as joined errors have: each stays a line of its own, and those after the
// first begin with indent, so that none can pass for the beginning of another message.
func Lines(s, indent string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = Escape(l)
	}
	return strings.Join(lines, "\n"+indent)
}

// Report prints err as "name: error: …" and "name: hint: …" and returns the exit code: that of an Exit, else
// fallback. A nil err is 0.
func Report(w io.Writer, name string, err error, fallback int) int {
	if err == nil {
		return 0
	}
	exit := &Exit{Code: fallback, Err: err}
	errors.As(err, &exit)
	if exit.Err != nil {
		fmt.Fprintf(w, "%s: error: %s\n", name, Lines(err.Error(), "    "))
	}
	if exit.Hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", name, Escape(exit.Hint))
	}
	return exit.Code
}
