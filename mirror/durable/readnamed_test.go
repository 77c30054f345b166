package durable

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that somebody names may be as large as is said and no larger, and a device without an end is read no further.
func TestReadNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "named")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadNamed(path, 4); err != nil || string(data) != "four" {
		t.Errorf("%q, %v", data, err)
	}
	for name, limit := range map[string]int64{path: 3, "/dev/zero": 1 << 10} {
		if data, err := ReadNamed(name, limit); data != nil || err == nil || !strings.HasPrefix(err.Error(), name+": more than") {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}
