package trillianlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// bindingName is the file in the folder that says which tree the folder follows, "tree 4711" and a newline. Without
	// it a mistyped id would give one log another's leaves while the folder is still empty.
	bindingName = "trillian"

	maxBindingBytes = 64
)

// ErrTree means that the folder follows another tree.
var ErrTree = errors.New("the log's folder belongs to another tree")

// BoundTree returns the id of the tree that the folder follows, 0 for a folder that follows none.
func BoundTree(dir string) (int64, error) {
	f, err := os.Open(filepath.Join(dir, bindingName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBindingBytes))
	if err != nil {
		return 0, err
	}
	text, ok := strings.CutPrefix(string(data), "tree ")
	id, err := strconv.ParseInt(strings.TrimSuffix(text, "\n"), 10, 64)
	if !ok || err != nil || id <= 0 || bindingText(id) != string(data) {
		return 0, fmt.Errorf("%w: %s is not readable: %.40q", ErrTree, f.Name(), data)
	}
	return id, nil
}

func bindingText(id int64) string { return fmt.Sprintf("tree %d\n", id) }

// checkBinding refuses a folder that follows another tree.
func checkBinding(dir string, id int64) error {
	bound, err := BoundTree(dir)
	if err == nil && bound != 0 && bound != id {
		err = fmt.Errorf("%w: %s follows tree %d, not %d", ErrTree, dir, bound, id)
	}
	return err
}

// bind says that the folder follows the tree from now on. What a crash can lose is only the guard.
func bind(dir string, id int64) error {
	if bound, err := BoundTree(dir); err == nil && bound == id {
		return nil
	}
	temp := filepath.Join(dir, "."+bindingName)
	if err := os.WriteFile(temp, []byte(bindingText(id)), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, bindingName))
}
