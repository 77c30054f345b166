// Package tool finds the programs of other people that tests run: real servers, and judges that accept or refuse what we
// publish. Only tests import it; it imports nothing of this module, so that tests on every floor can.
//
// tools.txt lists them with their pinned versions. `.github/check.sh` installs the Go programs below one folder,
//
//	$POLICYLIST_TOOLS/<name>@<version>/<name>      (default: policylist/tools in the user's cache folder)
//
// so that a new version never meets an old binary, and programs of the system with the same name (there is another fsck)
// are never taken for ours. Debian's programs ("apt:") are looked up in PATH, or at the path that is their name in the list;
// of a pattern's matches it is the last. Debian's mail servers ("deb:") are unpacked, not installed, into
//
//	$POLICYLIST_TOOLS/<name>@<version>/usr/…        (see Tree)
//
// and so is the root of another Debian ("root:"), whole. Packages of npm ("npm:") are installed there by npm/package-lock.json,
// below node_modules.
package tool

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed tools.txt
var list string

// Path returns the program called name in tools.txt. Where it is missing the test is skipped, but fails when CI=true:
// there a missing server or judge must not look like a pass. A test whose stage was not asked for (POLICYLIST_STAGES, set
// by check.sh) is skipped in any case. A name that tools.txt does not have fails the test.
func Path(t testing.TB, name string) string {
	t.Helper()
	e, err := find(list, name)
	if err != nil {
		t.Fatal(err)
	}
	if asked := os.Getenv("POLICYLIST_STAGES"); asked != "" && !slices.Contains(strings.Fields(asked), e.stage) {
		t.Skipf("needs %s of stage %q; only %q were asked for", name, e.stage, asked)
	}
	path, err := e.locate()
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("needs %s: %v (.github/check.sh %s installs it)", name, err, e.stage)
	default:
		t.Skipf("needs %s: %v (.github/check.sh %s installs it)", name, err, e.stage)
	}
	return ""
}

// entry is one line of tools.txt.
type entry struct{ name, stage, version, source string }

func find(list, name string) (entry, error) {
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[0] == name {
			return entry{f[0], f[1], f[2], f[3]}, nil
		}
	}
	return entry{}, fmt.Errorf("tools.txt has no %q", name)
}

func (e entry) locate() (string, error) {
	if strings.HasPrefix(e.source, "apt:") {
		return lookPath(e.name)
	}
	folder := os.Getenv("POLICYLIST_TOOLS")
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		folder = filepath.Join(cache, "policylist", "tools")
	}
	folder = filepath.Join(folder, e.name+"@"+e.version)
	if strings.HasPrefix(e.source, "npm:") {
		return folder, locked(folder)
	}
	if strings.HasPrefix(e.source, "deb:") || strings.HasPrefix(e.source, "root:") {
		_, err := os.Stat(folder) // it appears whole or not at all
		return folder, err
	}
	return exec.LookPath(filepath.Join(folder, e.name))
}

func lookPath(name string) (string, error) {
	if matches, err := filepath.Glob(name); filepath.IsAbs(name) && err == nil && len(matches) > 0 {
		name = matches[len(matches)-1]
	}
	return exec.LookPath(name)
}
