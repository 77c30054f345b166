package site

import (
	"slices"
	"strings"
	"testing"
)

// What the gate repeats of other people's answers turns no direction and moves no cursor, on pages as in the API.
func TestPendingIsClean(t *testing.T) {
	const dirty = "a\u202eb\u0000c\u001b[2J"
	text := strings.NewReplacer("\u202e", `\u202e`, "\x00", `\u0000`, "\x1b", `\u001b`).Replace(dirty)
	doc := strings.ReplaceAll(`{"held":[{"domain":"wait.example","class":"TEXT","codes":["TEXT"],"findings":[{"code":"TEXT","summary":"TEXT","fix":"TEXT"}]}]}`, "TEXT", text)
	p, err := parsePending([]byte(doc))
	must(t, err)
	h, want := p.Held[0], "a?b?c?[2J"
	if got := []string{h.Class, h.Codes[0], h.Findings[0].Code, h.Findings[0].Summary, h.Findings[0].Fix}; slices.ContainsFunc(got, func(s string) bool { return s != want }) {
		t.Errorf("%q", got)
	}
}
