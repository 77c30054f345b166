package mirror

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// keptDir holds the lists before the newest, each under the digest that its signed release names, with its proof:
//
//	kept/<sha256>.json            a second name of policy.json while that was the newest, so that it costs no space then
//	kept/<sha256>.tlog-proof      what lay beside it
//
// Nothing else says what is there, and nothing there is believed: whoever goes back verifies the proof and the digest.
const keptDir = "kept"

const (
	keptList  = ".json"
	keptProof = ".tlog-proof"
)

const (
	// maxEarlier is how many earlier lists are kept. Of a run of releases with the same entries, as daily renewals are, only
	// the last counts, so that these are so many changes of the list.
	maxEarlier = 16
	// maxEarlierBytes bounds them together: four lists of a million domains.
	maxEarlierBytes = 256 << 20
)

// Kept is an earlier list that a client can be put back to.
type Kept struct {
	Release *ReleaseLeaf
	Index   int64 // of the release's leaf in the log
	Size    int64 // entries of the log that its proof was made in
	Proof   string
	path    string
}

// Kept returns the earlier lists, newest first: those whose proof verifies and whose file is there. Its bytes are compared
// with their digest when they are read.
func (c *Client) Kept() ([]Kept, error) {
	chain, err := c.Chain()
	if err != nil {
		return nil, err
	}
	return loadKept(c.Dir, chain)
}

func loadKept(dir string, chain *transparency.TrustChain) ([]Kept, error) {
	entries, err := os.ReadDir(filepath.Join(dir, keptDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Kept
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), keptProof); ok {
			if k, err := openKept(dir, name, chain); err == nil {
				out = append(out, k)
			}
		}
	}
	slices.SortFunc(out, func(a, b Kept) int { return int(b.Release.Release - a.Release.Release) })
	return out, nil
}

// openKept verifies the proof of one kept list, and that the list's file has the size that its release says.
func openKept(dir, digest string, chain *transparency.TrustChain) (Kept, error) {
	path := filepath.Join(dir, keptDir, digest)
	data, err := readProof(path + keptProof)
	if err != nil {
		return Kept{}, err
	}
	p, err := OpenProof(data, chain)
	if err != nil {
		return Kept{}, fmt.Errorf("%s%s: %w", path, keptProof, err)
	}
	if want := fmt.Sprintf("%x", p.Leaf.ListDigest); want != digest {
		return Kept{}, fmt.Errorf("%s%s: it proves the list %s", path, keptProof, want)
	}
	info, err := os.Stat(path + keptList)
	if err != nil {
		return Kept{}, err
	}
	if info.Size() != p.Leaf.ListSize {
		return Kept{}, fmt.Errorf("%s%s: %d bytes, its release says %d", path, keptList, info.Size(), p.Leaf.ListSize)
	}
	return Kept{p.Leaf, p.Index, p.Checkpoint.Tree.N, path + keptProof, path + keptList}, nil
}

func readProof(path string) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, transparency.MaxProofBytes))
}

// bytes reads the list. Errors wrap ErrDamaged.
func (k Kept) bytes() ([]byte, error) {
	data, err := durable.ReadFile(k.path)
	if err == nil && sum(data) != k.Release.ListDigest {
		err = fmt.Errorf("%s is not the list of release %d", k.path, k.Release.Release)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return data, nil
}

// check compares the list's bytes with their digest, without keeping them. Errors wrap ErrDamaged.
func (k Kept) check() error {
	digest, err := fileDigest(k.path)
	if err == nil && digest != k.Release.ListDigest {
		err = fmt.Errorf("%s is not the list of release %d", k.path, k.Release.Release)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func (k Kept) list() (policy.List, error) {
	list, err := listFile(k.path, k.Release.ListDigest)
	if err != nil {
		return policy.List{}, fmt.Errorf("%w: %s: %w", ErrDamaged, k.path, err)
	}
	return list, nil
}

func (k Kept) text() (policy.Text, error) {
	data, err := k.bytes()
	if err != nil {
		return policy.Text{}, err
	}
	_, text, err := policy.OpenText(data)
	if err != nil {
		return policy.Text{}, fmt.Errorf("%w: %s: %w", ErrDamaged, k.path, err)
	}
	return text, nil
}

// keep gives the held list, which is about to be replaced, a name among the earlier ones. It may run again after a crash
// at any line: the proof beside the list is then the next one's, and the right one was copied first.
func (s *state) keep(dir string) error {
	if s.release == nil || s.release.ListSize > maxEarlierBytes {
		return nil
	}
	folder := filepath.Join(dir, keptDir)
	path := filepath.Join(folder, fmt.Sprintf("%x", s.release.ListDigest))
	err := os.Mkdir(folder, 0o755)
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Stat(path + keptProof); err == nil {
		return nil // it was written last
	}
	for _, name := range []string{ListPath, listOldFile} {
		if digest, err := fileDigest(filepath.Join(dir, name)); err == nil && digest == s.release.ListDigest {
			if err := keepAs(filepath.Join(dir, name), path+keptList); err != nil {
				return err
			}
			break
		}
	}
	proof, err := readProof(filepath.Join(dir, PointerPath))
	if err != nil {
		return err
	}
	if p, err := parsePointer(proof); err != nil || p.leaf.ListDigest != s.release.ListDigest {
		return fmt.Errorf("%s is not that of release %d", PointerPath, s.release.Release)
	}
	return durable.WriteFile(path+keptProof, proof, 0o644)
}

// prune removes the earlier lists that are too many, too large together or expired, and what a crash left of others. Those
// that are needed now stay: the one that the machine was put back to.
func (c *Client) prune(h *held) error {
	all, err := loadKept(c.Dir, h.chain)
	if err != nil {
		return err
	}
	stay, n, size := map[string]bool{}, 0, int64(0)
	for _, k := range all {
		pinned := h.pin != nil && h.pin.path == k.path
		if !pinned && (n == maxEarlier || size+k.Release.ListSize > maxEarlierBytes || !c.now(h.state).Before(k.Release.Expires)) {
			continue
		}
		n, size = n+1, size+k.Release.ListSize
		stay[filepath.Base(k.path)], stay[filepath.Base(k.Proof)] = true, true
	}
	folder := filepath.Join(c.Dir, keptDir)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !stay[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(folder, e.Name())))
		}
	}
	return err
}
