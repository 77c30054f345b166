package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// StateSeen is the state that there is.
type StateSeen struct {
	Exists      bool
	Interrupted bool  // an earlier Recover left it in between
	Size        int64 // log entries
	Release     int64 // newest in the outbox
	Older       bool  // it is a beginning of what was found
	Damage      error // why it cannot be used as it is
}

// replaceable are the parts of a state that Recover makes anew. An ended log's folder stays.
func (r *recovery) replaceable() []string {
	return []string{r.logName(), "outbox", "journal.json", hintsFile}
}

// examine decides whether the state may be replaced.
func (r *recovery) examine() error {
	s := &r.out.State
	if err := r.describe(s); err != nil {
		return err
	}
	signed, err := r.newestSigned()
	if err == nil && r.began(signed.Origin) > r.began(r.target.Origin) {
		return fmt.Errorf("%w: it has begun the log %s, the mirrors show the one before", ErrStateAhead, signed.Origin)
	}
	if err == nil && signed.Origin == r.target.Origin && signed.Tree.N > 0 {
		if signed.Tree.N > r.log.Tree().N {
			return fmt.Errorf("%w: it has signed a tree of %d entries, the mirrors show %d", ErrStateAhead, signed.Tree.N, r.log.Tree().N)
		}
		if signed.Tree.N <= r.target.Tree.N {
			if err := r.contradiction(signedNote{signed, "the state"}, r.log); err != nil {
				return err
			}
		}
	}
	switch {
	case !s.Exists && s.Damage == nil, s.Interrupted, s.Older && s.Damage == nil, r.o.Replace:
		return nil
	case s.Damage != nil:
		return fmt.Errorf("%w, which is damaged: %w", ErrNotOlder, s.Damage)
	}
	return fmt.Errorf("%w: it has %d log entries and release %d, the mirrors have %d and release %d", ErrNotOlder, s.Size, s.Release, r.log.Tree().N, r.last.Leaf.Release)
}

// describe looks at the state folder.
func (r *recovery) describe(s *StateSeen) error {
	if r.State == "" {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(r.State, recovering)); err == nil {
		s.Interrupted = true
	}
	folder := filepath.Join(r.State, r.logName())
	logThere, err := filled(folder)
	if err != nil {
		return err
	}
	boxThere, err := filled(filepath.Join(r.State, "outbox"))
	if err != nil {
		return err
	}
	s.Exists = logThere || boxThere
	if logThere && s.Damage == nil {
		s.Damage = r.compareState(folder, s)
	}
	if s.Damage == nil && !boxThere && s.Size == 0 {
		s.Exists = false // a release that found mirrors ahead of it leaves an empty log
	}
	if !s.Exists || s.Damage != nil {
		return nil
	}
	if !logThere || !boxThere {
		s.Damage = fmt.Errorf("%w: it has a log %v, an outbox %v", ErrState, logThere, boxThere)
		return nil
	}
	box := outbox{dir: filepath.Join(r.State, "outbox")}
	if s.Release, err = box.newest(); err == nil && s.Release > 0 {
		err = r.checkNewest(box, s.Release)
	}
	s.Damage = err
	s.Older = s.Older && (s.Size < r.log.Tree().N || s.Release < r.last.Leaf.Release)
	return nil
}

// checkNewest reads everything of the newest release.
func (r *recovery) checkNewest(box outbox, n int64) error {
	before := r.outbox
	r.outbox = box
	defer func() { r.outbox = before }()
	signed, err := r.loadSigned(n)
	if err == nil {
		err = box.check(signed.meta)
	}
	return err
}

// compareState holds the state's log against the one that was found.
func (r *recovery) compareState(folder string, s *StateSeen) error {
	log, err := r.o.Open(folder)
	if err != nil {
		return err
	}
	defer log.Close()
	tree := log.Tree()
	if s.Size = tree.N; tree.N > r.log.Tree().N {
		return nil
	}
	root, err := tlog.TreeHash(tree.N, r.log)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	s.Older = root == tree.Hash
	return nil
}

// filled reports whether a folder has anything in it that was put there to stay.
func filled(folder string) (bool, error) {
	names, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for _, n := range names {
		if !private(n.Name()) {
			return true, err
		}
	}
	return false, err
}

// install makes the staged state the state. A folder is locked since the beginning; of a vault the lease is taken now, and
// what was seen has to be there still.
func (r *recovery) install(ctx context.Context) error {
	if err := syncTree(r.staging); err != nil {
		return err
	}
	if r.Vault != nil {
		return r.Vault.replace(ctx, r.Now, r.Log, func() (err error) {
			r.out.Replaced = r.Vault.kept
			return r.move(false)
		})
	}
	return r.move(true)
}

// move puts the staged folders into the place of the old ones, which go aside. With a marker nobody takes the state for
// whole in between; a vault has none, since it is replaced at once.
func (r *recovery) move(marked bool) error {
	marker := filepath.Join(r.State, recovering)
	if marked {
		if err := durable.WriteFile(marker, nil, 0o644); err != nil {
			return err
		}
	}
	if err := r.moveAside(marked); err != nil {
		return err
	}
	for _, name := range []string{r.logName(), "outbox"} {
		if err := os.Rename(filepath.Join(r.staging, name), filepath.Join(r.State, name)); err != nil {
			return err
		}
	}
	r.step(r.last.Leaf.Release, "recovered")
	if err := durable.SyncDir(r.State); err != nil || !marked {
		return err
	}
	if err := os.Remove(marker); err != nil {
		return err
	}
	return durable.SyncDir(r.State)
}

// moveAside takes the old state away: into a folder beside it, or, where the vault has kept it already, for good.
func (r *recovery) moveAside(keep bool) error {
	aside := filepath.Join(r.State, replacedPrefix+r.Now().UTC().Format("20060102T150405Z"))
	for i := 2; keep; i++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s-%d", filepath.Join(r.State, replacedPrefix+r.Now().UTC().Format("20060102T150405Z")), i)
	}
	for _, name := range r.replaceable() {
		path := filepath.Join(r.State, name)
		if !keep {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() && os.Remove(path) == nil {
			continue // nothing, or an empty folder
		}
		if err := os.MkdirAll(aside, 0o755); err != nil {
			return err
		}
		if err := os.Rename(path, filepath.Join(aside, name)); err != nil {
			return err
		}
		if r.out.State.Exists {
			r.out.Replaced = aside
		}
	}
	return nil
}

// syncTree makes everything below a folder durable, the folders last.
func syncTree(folder string) error {
	var folders []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			folders = append(folders, path)
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = durable.SyncDir(folders[i])
	}
	return err
}

// checkRecovered refuses a state that an interrupted Recover left in between.
func (p *Publisher) checkRecovered() error {
	_, err := os.Lstat(filepath.Join(p.State, recovering))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %s holds a part of it", ErrRecover, p.State)
}
