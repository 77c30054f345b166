package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrSource says that a path is no source that could be read.
var ErrSource = errors.New("no usable source")

// Limits of a source. A million domains in one old file are about 110 MB.
const (
	maxFileBytes   = 256 << 20
	maxSourceBytes = 1 << 30
	maxSourceFiles = 200_000
)

// readTree reads all files of a source. Names that begin with a dot are not part of it.
func readTree(source string) (tree, error) {
	info, err := os.Stat(source)
	if err != nil {
		return tree{}, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return tree{}, fmt.Errorf("%w: %s is neither a directory nor a regular file", ErrSource, source)
		}
		f, err := os.Open(source)
		if err != nil {
			return tree{}, fmt.Errorf("%w: %w", ErrSource, err)
		}
		defer f.Close()
		data, err := readFile(f, source)
		if err != nil {
			return tree{}, err
		}
		return tree{single: &policy.File{Path: filepath.ToSlash(source), Data: data}}, nil
	}
	// A Root opens nothing outside the directory, whatever symbolic links a pull request brings along.
	root, err := os.OpenRoot(source)
	if err != nil {
		return tree{}, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer root.Close()
	t := tree{where: display(source, policy.SettingsName)}
	size := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		data, use, err := readMember(root, name, entry)
		if err != nil || !use {
			return err
		}
		size += len(data)
		t.add(source, name, data)
		return t.bounded(size)
	})
	if err != nil && !errors.Is(err, ErrSource) {
		err = fmt.Errorf("%w: %s: %w", ErrSource, source, err)
	}
	return t, err
}

func (t *tree) add(source, name string, data []byte) {
	f := policy.File{Path: display(source, name), Data: data}
	if name == policy.SettingsName {
		t.settings = &f
		return
	}
	if policy.IsIncident(name) {
		t.incidents = append(t.incidents, f)
		return
	}
	t.rest = append(t.rest, f)
}

func (t *tree) bounded(size int) error {
	if size > maxSourceBytes || len(t.rest)+len(t.incidents) > maxSourceFiles {
		return fmt.Errorf("%w: more than %d MiB or %d files", ErrSource, maxSourceBytes>>20, maxSourceFiles)
	}
	return nil
}

// readMember reads one file; use is false for what is no part of a source. A link to a directory would be skipped by the
// walk without a word, so it is refused.
func readMember(root *os.Root, name string, entry fs.DirEntry) (data []byte, use bool, err error) {
	link := entry.Type()&fs.ModeSymlink != 0
	if path.Ext(name) != ".json" && !link {
		return nil, false, nil
	}
	info, err := root.Stat(name) // before opening: a pipe would wait for its other end
	switch {
	case err != nil && link:
		return nil, false, fmt.Errorf("%w: %s: the symbolic link leads outside or nowhere: %w", ErrSource, name, err)
	case err != nil:
		return nil, false, err
	case info.IsDir():
		return nil, false, fmt.Errorf("%w: %s: a symbolic link to a directory is not followed", ErrSource, name)
	case path.Ext(name) != ".json":
		return nil, false, nil
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("%w: %s is no regular file", ErrSource, name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	data, err = readFile(f, name)
	return data, err == nil, err
}

func readFile(f *os.File, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, name, err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%w: %s is larger than %d MiB", ErrSource, name, maxFileBytes>>20)
	}
	return data, nil
}
