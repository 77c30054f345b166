package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
)

// seen is a file of the folder as it was when it was read last.
type seen struct {
	file
	info fs.FileInfo
}

// rereadBelow is the size below which a file is read each time. Larger ones are written once under their name; they are
// taken for unchanged when they are the same file with the same time and size.
const rereadBelow = 64 << 10

// scan reads a state folder, except what is private. Data is set for small files only.
func scan(folder string, before map[string]seen) (map[string]seen, error) {
	files := map[string]seen{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, name)
		if err != nil || rel == "." {
			return err
		}
		p := filepath.ToSlash(rel)
		switch {
		case private(p), entry.IsDir() && p == "verify":
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if old, ok := before[p]; ok && info.Size() >= rereadBelow && os.SameFile(old.info, info) && old.info.Size() == info.Size() && old.info.ModTime().Equal(info.ModTime()) {
			files[p] = old
			return nil
		}
		f, err := readState(name)
		files[p] = seen{f, info}
		return err
	})
	return files, err
}

// readState describes one file of the folder.
func readState(name string) (file, error) {
	data, err := readLimited(name)
	if err != nil {
		return file{}, err
	}
	return describe(data), nil
}

func describe(data []byte) file {
	f := file{SHA256: digest(data), Size: int64(len(data))}
	if f.Size <= inline {
		f.Data = data
	}
	return f
}

func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	if err == nil && len(data) > maxStateFile {
		err = fmt.Errorf("%w: %s is longer than %d bytes", ErrState, name, maxStateFile)
	}
	return data, err
}

// changes returns the contents after the folder has become files, and the blobs that they need, by digest.
func (v *Vault) changes(files map[string]seen) (contents, map[string][]byte, error) {
	next, blobs := v.contents.clone(), map[string][]byte{}
	for p, f := range files {
		if v.seen[p].SHA256 == f.SHA256 {
			continue
		}
		next.Files[p] = f.file
		if f.Size <= inline {
			continue
		}
		data, err := readLimited(filepath.Join(v.folder, filepath.FromSlash(p)))
		if err == nil && digest(data) != f.SHA256 {
			err = fmt.Errorf("%w: %s changes while it is read", ErrState, p)
		}
		if err != nil {
			return next, nil, err
		}
		blobs[f.SHA256] = data
	}
	for p := range v.seen {
		if _, there := files[p]; !there {
			next.Files[p] = file{}
		}
	}
	if len(next.Files) < sealAt {
		return next, blobs, nil
	}
	return seal(next, files, blobs)
}

// seal moves the files of state.json to a blob.
func seal(c contents, files map[string]seen, blobs map[string][]byte) (contents, map[string][]byte, error) {
	if len(c.Older) >= mergeAt {
		c.Older, c.Files = nil, map[string]file{}
		for p, f := range files {
			c.Files[p] = f.file
		}
	}
	data, err := json.Marshal(c.Files)
	if err != nil {
		return c, nil, err
	}
	blobs[digest(data)] = data
	c.Older, c.Files = append(c.Older, digest(data)), map[string]file{}
	return c, blobs, nil
}

// upload stores blobs. They have the names of their bytes, so that it does not matter who else does.
func (v *Vault) upload(ctx context.Context, blobs map[string][]byte) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for name, data := range blobs {
		g.Go(func() error { return v.Store.Create(ctx, privateObject(blobPrefix+name, data)) })
	}
	return g.Wait()
}

// blob reads a blob, which must have the digest of its name.
func (v *Vault) blob(ctx context.Context, name string, size int64) ([]byte, error) {
	data, err := v.Store.Get(ctx, blobPrefix+name, size)
	if err == nil && digest(data) != name {
		err = fmt.Errorf("%w: %s%s holds other bytes", ErrVault, blobPrefix, name)
	}
	return data, err
}

// files are all files of the contents.
func (v *Vault) files(ctx context.Context) (map[string]file, error) {
	all := map[string]file{}
	for _, name := range v.contents.Older {
		data, err := v.blob(ctx, name, maxStateFile)
		if err != nil {
			return nil, err
		}
		var older map[string]file
		if err := json.Unmarshal(data, &older); err != nil {
			return nil, fmt.Errorf("%w: %s%s: %w", ErrVault, blobPrefix, name, err)
		}
		if err := checkFiles(older); err != nil {
			return nil, err
		}
		maps.Copy(all, older)
	}
	maps.Copy(all, v.contents.Files)
	maps.DeleteFunc(all, func(_ string, f file) bool { return f.SHA256 == "" })
	return all, nil
}

// restore makes the folder what the contents say. A vault that has nothing yet takes over what the folder has: so a
// state on a disk moves into a store. What a run before left here and did not save never happened, and goes.
func (v *Vault) restore(ctx context.Context) error {
	want, err := v.files(ctx)
	if err != nil {
		return err
	}
	have, err := scan(v.folder, nil)
	if err != nil {
		return err
	}
	if len(want) == 0 && len(v.contents.Older) == 0 {
		v.seen = map[string]seen{}
		return nil
	}
	for p, f := range have {
		if want[p].SHA256 != f.SHA256 {
			if err := os.Remove(filepath.Join(v.folder, filepath.FromSlash(p))); err != nil {
				return err
			}
		}
	}
	if err := v.fetch(ctx, want, have); err != nil {
		return err
	}
	if err := removeEmpty(filepath.Join(v.folder, "outbox")); err != nil {
		return err
	}
	v.seen, err = scan(v.folder, nil)
	return err
}

// fetch writes the files that the folder lacks. They need no fsync: the store has them.
func (v *Vault) fetch(ctx context.Context, want map[string]file, have map[string]seen) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for _, p := range slices.Sorted(maps.Keys(want)) {
		f := want[p]
		if have[p].SHA256 == f.SHA256 {
			continue
		}
		name := filepath.Join(v.folder, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			data := f.Data
			if f.Size > inline {
				var err error
				if data, err = v.blob(ctx, f.SHA256, f.Size); err != nil {
					return err
				}
			}
			return os.WriteFile(name, data, 0o644)
		})
	}
	return g.Wait()
}

// removeEmpty removes the release folders that a run before left here and that lost their files now.
func removeEmpty(outbox string) error {
	folders, err := os.ReadDir(outbox)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range folders {
		if inside, e := os.ReadDir(filepath.Join(outbox, f.Name())); e == nil && len(inside) == 0 {
			err = errors.Join(err, os.Remove(filepath.Join(outbox, f.Name())))
		}
	}
	return err
}
