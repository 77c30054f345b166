package probe

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeListsEveryCode ties the table in README.md to the table in the program: same codes, same effect. Each row
// says in six columns what is checked, under which code, with what verdict, by which clause, what the old checker did
// and what we do.
func TestReadmeListsEveryCode(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	rows := make(map[string]Verdict)
	words := map[string]Verdict{"fail": Fail, "warn": Warn, "open": Inconclusive, "note": Pass}
	for _, m := range regexp.MustCompile("(?m)^\\| [^|]+ \\| `([a-z.-]+)` \\| (fail|warn|open|note) \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = words[m[2]]
		for cell := range strings.SplitSeq(strings.Trim(m[0], "|"), "|") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%s has an empty cell", m[1])
			}
		}
	}
	for _, e := range effects() {
		if rows[e.ID] != e.verdict {
			t.Errorf("README.md gives %s the verdict %q, the program %q", e.ID, rows[e.ID], e.verdict)
		}
		delete(rows, e.ID)
	}
	for id := range rows {
		t.Errorf("README.md explains %s, which the program does not know", id)
	}
}
