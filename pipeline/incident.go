package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// Incidents are the files of a source that tell what went wrong, sorted by path; never nil, but where source is no directory, which has no
// place for any. Nobody else reads them, so that a mistake in one keeps no list from being released and no domain from being
// probed; what is wrong with them CheckIncidents says.
func Incidents(source string) ([]policy.File, error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer root.Close()
	files := []policy.File{}
	size := 0
	err = fs.WalkDir(root.FS(), policy.IncidentsDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name()[0] == '.' {
			return err
		}
		data, use, err := readMember(root, name, entry)
		if err != nil || !use {
			return err
		}
		files = append(files, policy.File{Path: display(source, name), Data: data})
		if size += len(data); size > maxIncidentBytes {
			return fmt.Errorf("%w: more than %d MiB of incidents", ErrSource, maxIncidentBytes>>20)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the folder is not there: nothing went wrong yet
	}
	return files, err
}

// maxIncidentBytes bounds what a page has to show.
const maxIncidentBytes = 16 << 20

// CheckIncidents holds the incidents of a source against schema and rules. With a Git revision as base it reports only what
// that had not.
func CheckIncidents(ctx context.Context, source, base string) ([]policy.Finding, error) {
	if info, err := os.Stat(source); err == nil && !info.IsDir() {
		return nil, nil // a list in one file
	}
	now, err := Incidents(source)
	if err != nil {
		return nil, err
	}
	set, err := schema.Load()
	if err != nil {
		return nil, err
	}
	found := validator{set}.incidents(now)
	if base == "" || len(found) == 0 {
		return found, nil
	}
	old, err := readRevision(ctx, source, base)
	if err != nil {
		return nil, err
	}
	return policy.Introduced(validator{set}.incidents(old.incidents), found, nil), nil
}

func (v validator) incidents(files []policy.File) (out []policy.Finding) {
	for _, f := range files {
		_, doc, found := policy.ParseIncidentDocument(f)
		if doc != nil && !policy.HasErrors(found) {
			found = append(found, v.findings(schema.IncidentReport, doc)...)
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, policy.Finding.Compare)
	return out
}
