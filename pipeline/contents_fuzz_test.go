package pipeline

import (
	"path/filepath"
	"testing"
)

// FuzzParseContents gives the parser what has a good digest, too: what a store may have made of the state.
func FuzzParseContents(f *testing.F) {
	for _, seed := range []string{`{"format":"policylist/state/v1","epoch":1,"run":"a","serial":2,"files":{"log/root":{"data":"AAAA","size":3}}}`, `{"files":{"../x":{}}}`, `{}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, data := range [][]byte{line, []byte(string(line) + "\n" + digest(line) + "\n")} {
			c, err := parseContents(data)
			if err != nil {
				continue
			}
			for path := range c.Files {
				if !filepath.IsLocal(path) {
					t.Errorf("a file outside of the state: %q", path)
				}
			}
		}
	})
}
