package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// TestWorkflowInTheReadme holds the example against actionlint, which also reads the shell in it where shellcheck is
// there.
func TestWorkflowInTheReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	workflow, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("README.md shows no workflow")
	}
	path := filepath.Join(t.TempDir(), "probe.yml")
	must(t, os.WriteFile(path, []byte(workflow), 0o644))
	config := filepath.Join(t.TempDir(), "actionlint.yaml")
	must(t, os.WriteFile(config, []byte("self-hosted-runner:\n  labels: [north, south, west]\n"), 0o644))
	out, err := exec.CommandContext(t.Context(), tool.Path(t, "actionlint"), "-config-file", config, path).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
