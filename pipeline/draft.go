package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// Draft is a change of one file of a source that nobody has written yet.
type Draft struct {
	After    Checked // the source as it would be
	Path     string  // of the file
	Data     []byte  // what it would hold, in its normal form
	New      bool    // the file does not exist yet
	Changes  []policy.SourceChange
	Findings []policy.Finding // what the change is to blame for, sorted by place

	old policy.File
}

// ErrTaken says that a file of that name is there already. Whoever's it is, it is not overwritten.
var ErrTaken = errors.New("the file exists already")

// DraftChange works out edits of entries that are listed, all in one file: that of the first.
func DraftChange(ctx context.Context, source string, edits []policy.SourceEdit) (*Draft, error) {
	return draft(ctx, source, func(c Checked, t tree) (policy.File, error) {
		e, ok := c.source.Lookup(edits[0].Domain)
		i := slices.IndexFunc(t.rest, func(f policy.File) bool { return ok && f.Path == e.Position().File })
		if i < 0 {
			return policy.File{}, fmt.Errorf("%w: %s", policy.ErrNoEntry, edits[0].Domain)
		}
		return t.rest[i], nil
	}, edits)
}

// DraftFile works out a new file domains/NAME.json.
func DraftFile(ctx context.Context, source, name string, edits []policy.SourceEdit) (*Draft, error) {
	return draft(ctx, source, func(_ Checked, t tree) (policy.File, error) {
		return policy.File{Path: display(source, path.Join("domains", fileName(name))), Data: []byte(policy.EmptyFragment)}, nil
	}, edits)
}

// fileName is NAME.json, cut where a file system would not take it: 255 bytes is what they have in common.
func fileName(name string) string {
	const most = 200
	if len(name) > most {
		sum := sha256.Sum256([]byte(name))
		name = name[:most] + "-" + hex.EncodeToString(sum[:8])
	}
	return name + ".json"
}

func draft(ctx context.Context, source string, where func(Checked, tree) (policy.File, error), edits []policy.SourceEdit) (*Draft, error) {
	before, err := checkedFor(ctx, source)
	if err != nil {
		return nil, err
	}
	t, err := readTree(source)
	if err != nil {
		return nil, err
	}
	d := &Draft{}
	if d.old, err = where(before, t); err != nil {
		return nil, err
	}
	d.Path = d.old.Path
	at := slices.IndexFunc(t.rest, func(f policy.File) bool { return f.Path == d.Path })
	if d.New = string(d.old.Data) == policy.EmptyFragment && at < 0; d.New {
		if _, err := os.Lstat(d.Path); !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%w: %s", ErrTaken, d.Path), err)
		}
	} else if string(d.old.Data) == policy.EmptyFragment {
		return nil, fmt.Errorf("%w: %s", ErrTaken, d.Path)
	}
	if d.Data, err = policy.EditFragment(d.old, edits); err != nil {
		return nil, err
	}
	if d.New {
		t.rest = append(t.rest, policy.File{Path: d.Path, Data: d.Data})
	} else {
		t.rest[at].Data = d.Data
	}
	if d.After, err = checkTree(ctx, t); err != nil {
		return nil, err
	}
	changes, found := policy.CompareSources(before.source, d.After.source)
	d.Changes = changes
	d.Findings = append(found, policy.Introduced(before.findings, d.After.findings, changes)...)
	slices.SortFunc(d.Findings, policy.Finding.Compare)
	return d, nil
}

// Write writes the file: a new one only where there is none, another only while it is as it was read.
func (d *Draft) Write() error {
	if !d.New {
		if err := stillThere(d.old); err != nil {
			return err
		}
		return replace(d.old, d.Data)
	}
	dir := filepath.Dir(d.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A file that a crash leaves behind begins with a dot, so it is no part of the source.
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(d.Data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), d.Path); err != nil { // fails where there is one, unlike a rename
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %s", ErrTaken, d.Path)
		}
		return err
	}
	return durable.SyncDir(dir)
}
