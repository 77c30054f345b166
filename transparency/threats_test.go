package transparency_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// repository visits the files of the repository whose name has the suffix.
func repository(t *testing.T, suffix string, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		data, err := os.ReadFile(path)
		visit(path, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the documents say is tested is tested: every test that one names, as `TestName`, exists; and every row of a table
// whose last column is "test" names at least one.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	exist := map[string]bool{}
	repository(t, "_test.go", func(_, text string) {
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			exist[m[1]] = true
		}
	})
	rows := 0
	repository(t, ".md", func(path, text string) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !exist[m[1]] {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
		tested := false // in a table with that column
		for n, line := range strings.Split(text, "\n") {
			switch {
			case !strings.HasPrefix(line, "|"):
				tested = false
			case strings.HasSuffix(line, "| test |"):
				tested = true
			case tested && strings.HasPrefix(line, "|---"):
			case tested:
				if rows++; !named.MatchString(line) {
					t.Errorf("%s:%d: no test stands behind %s", path, n+1, line)
				}
			}
		}
	})
	if rows < 10 {
		t.Errorf("only %d rows: the threat table was not found", rows)
	}
}

// FIGURES.md explains every test that prints figures.
func TestFiguresAreExplained(t *testing.T) {
	page, err := os.ReadFile("FIGURES.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := 0
	repository(t, "_test.go", func(path, text string) {
		for _, m := range regexp.MustCompile(`(?m)^func (TestFigures[A-Z]\w*)\(t \*testing\.T\) \{(?s:.*?)\n\}`).FindAllStringSubmatch(text, -1) {
			if m[1] == "TestFiguresAreExplained" {
				continue
			}
			if tests++; !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("%s: FIGURES.md does not explain %s", path, m[1])
			}
			if !strings.Contains(text, `"figures: `) {
				t.Errorf("%s: %s prints no figures", path, m[1])
			}
		}
	})
	if tests < 15 {
		t.Errorf("only %d tests found", tests)
	}
}
