package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
)

// List implements mirror.Store. It is here on the Reader too, for tools that copy from a folder. Temporary files,
// symbolic links and names that no mirror has are left out. It holds one folder's names at a time.
func (r *Reader) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r.walk(ctx, "", prefix, yield)
	}
}

// walk yields the files below folder ("" or ending in a slash) and reports whether to go on.
func (r *Reader) walk(ctx context.Context, folder, prefix string, yield func(string, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield("", err)
		return false
	}
	paths, err := r.names(folder)
	if err != nil {
		yield("", fmt.Errorf("mirror folder: %w", err))
		return false
	}
	for _, path := range paths {
		switch {
		case strings.HasSuffix(path, "/"):
			if meet(path, prefix) && !r.walk(ctx, path, prefix, yield) {
				return false
			}
		case strings.HasPrefix(path, prefix):
			if !yield(path, nil) {
				return false
			}
		}
	}
	return true
}

// meet reports whether anything below folder can begin with prefix.
func meet(folder, prefix string) bool {
	return strings.HasPrefix(folder, prefix) || strings.HasPrefix(prefix, folder)
}

// names returns the paths of a folder's files and, with a slash behind them, of its folders. Sorted with that slash they
// stand in the order of the whole tree's paths: "a.b" < "a/c" < "ab".
func (r *Reader) names(folder string) ([]string, error) {
	name := "."
	if folder != "" {
		name = strings.TrimSuffix(folder, "/")
	}
	entries, err := fs.ReadDir(r.root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // removed since its parent was read
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		path := folder + e.Name()
		if mirror.CheckPath(path) != nil {
			continue
		}
		switch {
		case e.IsDir():
			paths = append(paths, path+"/")
		case e.Type().IsRegular():
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths, nil
}
