package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// Formatted is what became of one file of a source.
type Formatted struct {
	Path    string
	Changed bool  // it was not in the normal form
	Err     error // wraps policy.ErrFormat: it was left alone, and why
}

// Format brings the files of a source into their normal form (policy.FormatFragment and its kin), each replaced
// atomically; with write false it only says which would change. Files that could not be understood wholly are left
// as they are. Symbolic links are left alone: their targets are files of the source themselves.
func Format(ctx context.Context, source string, write bool) ([]Formatted, error) {
	t, err := readTree(source)
	if err != nil {
		return nil, err
	}
	type job struct {
		file   policy.File
		format func(policy.File) ([]byte, error)
	}
	var jobs []job
	switch {
	case t.single != nil:
		jobs = append(jobs, job{*t.single, policy.FormatOldSource})
	case t.settings != nil:
		jobs = append(jobs, job{*t.settings, policy.FormatSettings})
	}
	for _, f := range t.rest {
		jobs = append(jobs, job{f, policy.FormatFragment})
	}
	if write && t.single == nil {
		unlock, err := lockSource(source)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	var out []Formatted
	for _, j := range jobs {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		normal, err := j.format(j.file)
		if err != nil && !errors.Is(err, policy.ErrFormat) {
			return out, err
		}
		result := Formatted{Path: j.file.Path, Err: err, Changed: err == nil && !bytes.Equal(normal, j.file.Data)}
		if result.Changed && write {
			if err := replace(j.file, normal); err != nil {
				return out, err
			}
		}
		out = append(out, result)
	}
	return out, nil
}

// replace keeps the file's permissions. A file that was edited after it was read is not overwritten.
func replace(f policy.File, normal []byte) error {
	info, err := os.Lstat(f.Path)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	if info.Mode()&os.ModeSymlink != 0 {
		return nil
	}
	now, err := os.ReadFile(f.Path)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	if !bytes.Equal(now, f.Data) {
		return fmt.Errorf("format: %s was changed meanwhile", f.Path)
	}
	if err := durable.WriteFile(f.Path, normal, info.Mode().Perm()); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	return nil
}
