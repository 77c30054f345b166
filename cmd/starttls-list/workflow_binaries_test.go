package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBinariesThatDifferFail runs the build step of binaries.yml as it stands, around a packager whose second run gives what the
// first gave, other bytes, or nothing: only the first is a build.
func TestBinariesThatDifferFail(t *testing.T) {
	var script string
	for _, s := range readWorkflow(t, "../../.github/workflows/binaries.yml").steps() {
		if s.Name == "build" {
			script = s.Run
		}
	}
	if !strings.Contains(script, "package.sh") {
		t.Fatal("there is no build step")
	}
	for second, good := range map[string]bool{"echo same >$1/SHA256SUMS": true, "echo other >$1/SHA256SUMS": false, ":": false, "exit 1": false} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"bin/go": "#!/bin/sh\n",
			".github/package.sh": "#!/bin/sh\nfor last; do :; done\nset -- \"$last\"\nmkdir -p \"$1\"\ncase $1 in\n*/first) echo same >\"$1/SHA256SUMS\" ;;\n*) " +
				second + " ;;\nesac\n",
			"mirror/storetest/tool/tools.txt": "nfpm go v1 example.org/nfpm\ncyclonedx-gomod go v1 example.org/cyclonedx\n",
		} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		step := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
		step.Dir = dir
		step.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "RUNNER_TEMP="+filepath.Join(dir, "temp"), "OPTIONS=--os darwin")
		if out, err := step.CombinedOutput(); (err == nil) != good {
			t.Errorf("%s: %v\n%s", second, err, out)
		}
	}
}
