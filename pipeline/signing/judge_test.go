package signing

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// judge finds an outside program: built by .github/check.sh and cached by version, or else on PATH. A missing one fails
// the test in CI and skips it elsewhere.
func judge(t *testing.T, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	built, err := filepath.Glob(filepath.Join(cache, "policylist", "tools", name+"@*", name))
	if err != nil {
		t.Fatal(err)
	}
	if len(built) > 0 {
		return built[len(built)-1]
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; .github/check.sh installs it", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
