package term_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy"
)

// A pull request chooses its file names and its JSON. Neither may begin a workflow command of its own, nor an escape
// sequence on a terminal.
func TestFindingsGiveNoCommands(t *testing.T) {
	findings := []policy.Finding{{
		Code: "mx.syntax", Severity: policy.Error, Position: policy.Position{File: "a,line=1:x\n::stop-commands::%0A.json", Line: 3, Col: 5},
		Summary: "\"x\n::add-mask::y\x1b[2J\u202e\"", Fix: "50 %\r\n::error::z",
	}, {Code: "change.budget", Severity: policy.Warning, Summary: "too many", Fix: "split"}}
	var github, text strings.Builder
	term.GitHub(&github, findings)
	term.Findings(&text, findings)
	const wantGitHub = `::error file=a%2Cline=1%3Ax%0A%3A%3Astop-commands%3A%3A%250A.json,line=3,col=5,title=mx.syntax::"x\x0a::add-mask::y\x1b[2J\u202e"%0Afix: 50 %25\x0d\x0a::error::z
::warning title=change.budget::too many%0Afix: split
`
	if github.String() != wantGitHub {
		t.Errorf("GitHub\n%s", github.String())
	}
	const wantText = `a,line=1:x\x0a::stop-commands::%0A.json:3:5: error: mx.syntax: "x\x0a::add-mask::y\x1b[2J\u202e"
    fix: 50 %\x0d\x0a::error::z
warning: change.budget: too many
    fix: split
`
	if text.String() != wantText {
		t.Errorf("text\n%s", text.String())
	}
}

func TestCount(t *testing.T) {
	e, w := policy.Finding{Severity: policy.Error}, policy.Finding{Severity: policy.Warning}
	for want, findings := range map[string][]policy.Finding{
		"no errors, no warnings": nil,
		"1 error, 2 warnings":    {w, e, w},
		"2 errors, no warnings":  {e, e},
	} {
		if got := term.Count(findings); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Joined errors stay readable, and no line of theirs drives the terminal or passes for a message of its own.
func TestReportOfManyLines(t *testing.T) {
	err := errors.Join(errors.New("open a\x1b[2J"), errors.New("b\nname: hint: send your key"))
	var out strings.Builder
	if code := term.Report(&out, "name", &term.Exit{Code: 3, Err: err, Hint: "look\nthere"}, 4); code != 3 {
		t.Errorf("exit code %d", code)
	}
	const want = `name: error: open a\x1b[2J
    b
    name: hint: send your key
name: hint: look\x0athere
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
