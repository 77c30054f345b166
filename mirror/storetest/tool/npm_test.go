package tool

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Packages of npm are those of the lock file, or none.
func TestPackagesAreTheLockedOnes(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("POLICYLIST_TOOLS", cache)
	e, err := find("page-judges browser r1 npm:axe-core\n", "page-judges")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "page-judges@r1")
	for _, installed := range []string{"", "{}", string(lock)} {
		if installed != "" {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "package-lock.json"), []byte(installed), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		path, err := e.locate()
		if found := err == nil; found != (installed == string(lock)) || found && path != folder {
			t.Errorf("with %.20q installed: %q, %v", installed, path, err)
		}
	}
}

// The lock file has a digest of each package and no address, for which registry serves them is up to the machine. What
// was asked for is what tools.txt names.
func TestLockFile(t *testing.T) {
	var file struct {
		Packages map[string]struct {
			Version, Resolved, Integrity string
			Dependencies                 map[string]string
			HasInstallScript             bool
		}
	}
	if err := json.Unmarshal(lock, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Packages) < 10 {
		t.Fatalf("%d packages", len(file.Packages))
	}
	var asked []string
	for path, p := range file.Packages {
		if path == "" {
			for name, version := range p.Dependencies {
				asked = append(asked, name)
				if file.Packages["node_modules/"+name].Version != version {
					t.Errorf("%s is not pinned to %s", name, version)
				}
			}
			continue
		}
		if p.Resolved != "" || !strings.HasPrefix(p.Integrity, "sha512-") || p.HasInstallScript {
			t.Errorf("%s: %+v", path, p)
		}
	}
	slices.Sort(asked)
	e, err := find(list, "page-judges")
	if want := "npm:" + strings.Join(asked, ","); err != nil || e.source != want {
		t.Errorf("%q, want %q: %v", e.source, want, err)
	}
}
