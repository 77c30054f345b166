package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

// trustDir holds the trust versions of a client's folder, each twice: whoever has lost trust/1 has nothing left by
// which anything from a mirror could be believed, and would need a person to join again.
const (
	trustDir   = "trust"
	copySuffix = ".copy"
)

// maxJoin is how many versions a mirror may show to somebody who looks for a fingerprint: one a week for 190 years.
const maxJoin = 10_000

// Join starts a client folder: it looks for the trust version whose text has the given SHA-256, by asking for
// version 1, 2, 3 and so on, and trusts that one. Nothing is written unless it is found and signed by its own roots.
func Join(ctx context.Context, dir string, r Reader, fingerprint [32]byte) (*transparency.Trust, error) {
	var found *transparency.Trust
	n, err := eachTrust(ctx, r, func(data []byte) (bool, error) {
		t, err := transparency.ParseTrust(data)
		if err != nil || t.Digest() != fingerprint {
			return false, err
		}
		found = t
		return true, t.VerifySelf()
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, fmt.Errorf("none of the %d trust versions of this mirror has the fingerprint %x: it is another list, or not the fingerprint you were given", n, fingerprint)
	}
	return found, storeTrust(dir, found)
}

// FindTrust asks a mirror for its trust versions from 1 on and returns the chain up to the one whose text has the
// given SHA-256, or the first version alone when fingerprint is nil. Only that version is trusted by the caller; the
// earlier ones are known to lead to it. A mirror without any gives an error that IsAbsent knows.
func FindTrust(ctx context.Context, r Reader, fingerprint *[32]byte) (*transparency.TrustChain, error) {
	var chain *transparency.TrustChain
	found := false
	n, err := eachTrust(ctx, r, func(data []byte) (bool, error) {
		var err error
		if chain, err = extendTrust(chain, data); err != nil {
			return false, fmt.Errorf("%w: %w", ErrSource, err)
		}
		found = fingerprint == nil || chain.Newest().Digest() == *fingerprint
		return found, nil
	})
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, fmt.Errorf("%s: %w", TrustPath(1), fs.ErrNotExist)
	case !found:
		return nil, fmt.Errorf("%w: none of its %d trust versions has the fingerprint %x", ErrSource, n, *fingerprint)
	}
	return chain, nil
}

// eachTrust gives a mirror's versions from 1 on to visit until that is done or there is none left, and returns how many
// it gave.
func eachTrust(ctx context.Context, r Reader, visit func(data []byte) (done bool, err error)) (n int64, err error) {
	for v := int64(1); v <= maxJoin; v++ {
		data, err := r.Get(ctx, TrustPath(v), transparency.MaxTrustBytes)
		if IsAbsent(err) {
			break
		}
		if err != nil {
			return n, err
		}
		n = v
		done, err := visit(data)
		if err != nil {
			return n, fmt.Errorf("%s: %w", TrustPath(v), err)
		}
		if done {
			break
		}
	}
	return n, nil
}

// FollowTrust fetches the versions after the chain's newest until there is none, and keeps each.
func FollowTrust(ctx context.Context, r Reader, chain *transparency.TrustChain, keep func(*transparency.Trust) error) error {
	for {
		v := chain.Newest().Version + 1
		data, err := r.Get(ctx, TrustPath(v), transparency.MaxTrustBytes)
		if IsAbsent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if chain, err = extendTrust(chain, data); err != nil {
			return fmt.Errorf("%s: %w", TrustPath(v), err)
		}
		if err := keep(chain.Newest()); err != nil {
			return err
		}
	}
}

// extendTrust parses a version and adds it; a nil chain starts with it.
func extendTrust(chain *transparency.TrustChain, data []byte) (*transparency.TrustChain, error) {
	t, err := transparency.ParseTrust(data)
	if err != nil {
		return chain, err
	}
	if chain == nil {
		return transparency.NewTrustChain(t)
	}
	return chain, chain.Extend(t)
}

// storeTrust writes both copies of a version, where they are not there already.
func storeTrust(dir string, t *transparency.Trust) error {
	if err := os.MkdirAll(filepath.Join(dir, trustDir), 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, TrustPath(t.Version))
	for _, p := range []string{path, path + copySuffix} {
		if data, err := durable.ReadFile(p); err == nil && bytes.Equal(data, t.Note()) {
			continue
		}
		if err := durable.WriteFile(p, t.Note(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// loadTrust reads the versions that join and later updates stored. They are local: a signature chain is verified all
// the same, since it costs little and names a mixed-up folder. A chain together with an error, which wraps
// ErrDamaged, was read from second copies, or ends before a damaged version, which a mirror will give again.
func loadTrust(dir string) (*transparency.TrustChain, error) {
	chain, err := loadTrustFrom(filepath.Join(dir, trustDir))
	if chain == nil && errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("join again: %w", err)
	}
	return chain, err
}

// ReadTrust reads an operator's folder of signed trust versions, files named 1, 2, 3 and so on. The first that exists
// is trusted for being there; any damage is an error, and so is a gap: whoever releases has to know the newest version.
func ReadTrust(folder string) (*transparency.TrustChain, error) {
	chain, err := loadTrustFrom(folder)
	if err != nil {
		return nil, err
	}
	versions, err := trustNumbers(folder)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		switch first := chain.Versions()[0].Version; {
		case v == versions[0] && v != first:
			return nil, fmt.Errorf("%w: %s holds trust version %d", ErrDamaged, filepath.Join(folder, strconv.FormatInt(v, 10)), first)
		case v > chain.Newest().Version:
			return nil, fmt.Errorf("%w: %s holds version %d but not version %d", ErrDamaged, folder, v, chain.Newest().Version+1)
		}
	}
	return chain, nil
}

func loadTrustFrom(folder string) (*transparency.TrustChain, error) {
	versions, err := trustNumbers(folder)
	if err != nil {
		return nil, err
	}
	v := versions[0]
	var chain *transparency.TrustChain
	var damage []error
	for ; ; v++ {
		next, err := readTrust(filepath.Join(folder, strconv.FormatInt(v, 10)), chain)
		if err != nil {
			damage = append(damage, fmt.Errorf("%w: %w", ErrDamaged, err))
		}
		if next == nil && chain == nil {
			return nil, fmt.Errorf("no usable trust in %s: %w", folder, errors.Join(damage...))
		}
		if next == nil {
			return chain, errors.Join(damage...)
		}
		chain = next
	}
}

// trustNumbers are the versions that the names in the folder stand for, in order; there is at least one.
func trustNumbers(folder string) ([]int64, error) {
	names, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("no trust yet: %w", err)
	}
	var out []int64
	for _, n := range names {
		v, err := strconv.ParseInt(strings.TrimSuffix(n.Name(), copySuffix), 10, 64)
		if err == nil && v > 0 {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no trust yet: %s holds no file named 1", folder)
	}
	slices.Sort(out)
	return out, nil
}

// readTrust extends chain by the version at path or by its second copy. The result is nil when neither is usable, and
// so is the error when neither exists. An error next to a result tells what is wrong with the first copy. Folders
// that were made by hand have no second copies.
func readTrust(path string, chain *transparency.TrustChain) (*transparency.TrustChain, error) {
	var errs []error
	for _, p := range []string{path, path + copySuffix} {
		data, err := durable.ReadFile(p)
		if err == nil {
			var next *transparency.TrustChain
			if next, err = extendTrust(chain, data); err == nil {
				return next, errors.Join(errs...)
			}
			err = fmt.Errorf("%s: %w", p, err)
		}
		errs = append(errs, err)
	}
	switch noCopy := errors.Is(errs[1], fs.ErrNotExist); {
	case noCopy && errors.Is(errs[0], fs.ErrNotExist):
		return nil, nil
	case noCopy:
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}
