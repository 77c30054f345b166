package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// fresh runs fresh.sh of the repository at dir in a copy of an empty Debian 12.
func fresh(t *testing.T, dir string) (string, error) {
	t.Helper()
	root := tool.Tree(t, "bookworm")
	modules, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	args := append(tool.AsRoot(t.Context(), t), "env", "PATH="+os.Getenv("PATH"), filepath.Join(dir, ".github/fresh.sh"), "--root", root)
	if cache := strings.TrimSpace(string(modules)); exec.Command("test", "-d", cache+"/cache/download").Run() == nil {
		args = append(args, "--modules", cache)
	}
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

// An empty machine with Go, git and ca-certificates runs the README's first command, as it is written there.
func TestReadmeOnAnEmptyMachine(t *testing.T) {
	out, err := fresh(t, repository)
	if err != nil || !strings.Contains(out, "== go run ./cmd/starttls-list demo\n") || !strings.Contains(out, "All of this happened as it should.") ||
		!strings.HasSuffix(out, "fresh: ok\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A README whose command fails, or takes what an empty machine has not, or that shows none, does not pass.
func TestFreshNotices(t *testing.T) {
	for name, c := range map[string]struct {
		shown []string
		want  string
	}{
		"fails":              {[]string{"echo so far && false", "true"}, "so far\n!! the README's command failed"},
		"takes more":         {[]string{"make", "true"}, "make: command not found"},
		"shows one":          {[]string{"true"}, "does not show two commands"},
		"shows them nowhere": {nil, "does not show two commands"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := strangersRepository(t, c.shown)
			out, err := fresh(t, dir)
			if err == nil || !strings.Contains(out, c.want) || strings.Contains(out, "fresh: ok") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// strangersRepository has fresh.sh and a README that shows these commands.
func strangersRepository(t *testing.T, shown []string) string {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join(repository, ".github/fresh.sh"))
	if err != nil {
		t.Fatal(err)
	}
	readme := "# x\n\n## Two commands\n\n"
	for _, c := range shown {
		readme += "```\n$ " + c + "\n```\n"
	}
	readme += "## Other\n\n```\n$ false\n$ false\n```\n"
	if err := os.Mkdir(filepath.Join(dir, ".github"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string]string{"README.md": readme, ".github/fresh.sh": string(script)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "begin"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
