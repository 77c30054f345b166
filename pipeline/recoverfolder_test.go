package pipeline_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
)

// copied is a copy of a folder.
func copied(t *testing.T, folder string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return to
}

// replaceFolder makes a folder a copy of another.
func replaceFolder(t *testing.T, folder, by string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(folder, os.DirFS(by)); err != nil {
		t.Fatal(err)
	}
}

func newFolderStore(t *testing.T, folder string) mirror.Store {
	t.Helper()
	store, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func setFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// matching are the files of a folder that match a pattern; there must be some.
func matching(t *testing.T, folder, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no %s: %v", folder, pattern, err)
	}
	return names
}

// alter flips a bit in each.
func alter(t *testing.T, folder, pattern string) {
	t.Helper()
	for _, n := range matching(t, folder, pattern) {
		data := read(t, n)
		setFile(t, n, string(flipped([]byte(data), len(data)/2)))
	}
}

// cut leaves half of each.
func cut(t *testing.T, folder, pattern string) {
	t.Helper()
	for _, n := range matching(t, folder, pattern) {
		data := read(t, n)
		setFile(t, n, data[:len(data)/2])
	}
}

// drop removes each.
func drop(t *testing.T, folder, pattern string) {
	t.Helper()
	for _, n := range matching(t, folder, pattern) {
		if err := os.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
}
