package mirror

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// An update that is killed while it writes a file leaves a temporary one; the next removes it, and leaves those of other
// programs in the folder alone.
func TestUpdateSweepsWhatAKilledOneLeft(t *testing.T) {
	w := newWorld(t, 0)
	w.release(set("a.example", policy.Testing))
	r := w.join(w.mirror())
	r.update()
	ours := []string{".tmp-state.json-1", ".tmp-state.old.json-12", ".tmp-policy.json-123", ".tmp-policy.old.json-4",
		".tmp-policy.json.tlog-proof-5", "trust/.tmp-1-6", "trust/.tmp-1" + copySuffix + "-7"}
	others := []string{".tmp-postfix.lmdb-8", ".tmp-disabled.json-9", "trust/.tmp-notes-1"}
	for _, name := range append(others, ours...) {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.update()
	for _, name := range ours {
		if _, err := os.Lstat(filepath.Join(r.Dir, name)); err == nil {
			t.Errorf("%s stays", name)
		}
	}
	for _, name := range others {
		if _, err := os.Lstat(filepath.Join(r.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	// The names are those that writing really uses: none of the client's own files is left out.
	for name := range r.files() {
		if base := filepath.Base(name); !strings.HasPrefix(base, ".tmp-") && base != "lock" {
			if err := os.WriteFile(filepath.Join(r.Dir, filepath.Dir(name), ".tmp-"+base+"-1"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.update()
	for name := range r.files() {
		if base := filepath.Base(name); strings.HasPrefix(base, ".tmp-") && !strings.Contains(strings.Join(others, " "), base) {
			t.Errorf("%s stays", name)
		}
	}
}
