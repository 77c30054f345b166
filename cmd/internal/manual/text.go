package manual

import (
	"strings"

	"github.com/spf13/cobra"
)

// text is a command's Long text, taken apart. Each is paragraphs.
type text struct{ text, exit, files []string }

func split(long string) text {
	var t text
	for _, p := range strings.Split(strings.Trim(long, "\n"), "\n\n") {
		if rest, ok := strings.CutPrefix(p, "Exit codes:"); ok {
			t.exit = append(t.exit, strings.TrimSpace(rest))
		} else if rest, ok := strings.CutPrefix(p, "Files:\n"); ok {
			t.files = append(t.files, rest)
		} else if p != "" {
			t.text = append(t.text, p)
		}
	}
	return t
}

// inherit is a part of the command's own text, or of the nearest parent's that has it.
func inherit(c *cobra.Command, part func(text) []string) []string {
	for ; c != nil; c = c.Parent() {
		if p := part(split(c.Long)); p != nil {
			return p
		}
	}
	return nil
}
