package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Every command has a manual page that says what its help says, and mandoc has nothing to say against one.
func TestManual(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1767225600")
	dir := t.TempDir()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"manual", dir}, nil, &out, &out); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out.String())
	}
	for _, c := range newRoot().Commands() {
		page, err := os.ReadFile(filepath.Join(dir, "man1", "starttls-list-"+c.Name()+".1"))
		if c.Hidden {
			continue
		}
		for _, section := range []string{"SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES", "SEE ALSO"} {
			if err != nil || !bytes.Contains(page, []byte("\n.SH \""+section+"\"\n")) {
				t.Errorf("the page of %s has no %s, %v", c.Name(), section, err)
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man1", "*.1"))
	if err != nil || len(pages) < 20 {
		t.Errorf("%d pages, %v", len(pages), err)
	}
	judge := exec.CommandContext(t.Context(), tool.Path(t, "mandoc"), append([]string{"-T", "lint", "-W", "warning"}, pages...)...)
	if said, err := judge.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("mandoc: %v\n%s", err, said)
	}
}
