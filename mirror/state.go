package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Files of a client's state folder. stateFile is written last: whatever it names is there.
const (
	stateFile    = "state.json"
	stateOldFile = "state.old.json"  // the state before, kept for the highest release number
	listOldFile  = "policy.old.json" // the list before, which the state still names until it is replaced
	evidenceDir  = "evidence"
)

const stateHeader = "policylist/client-state/v1 "

// ErrDamaged is what every unreadable local state wraps. Damage is not an attack: the client fetches everything
// anew and keeps only the highest release number that it finds.
var ErrDamaged = errors.New("local state is damaged")

// state is what a client remembers between updates.
type state struct {
	Leaf       string      `json:"leaf"`       // the held release's leaf, verbatim
	Index      int64       `json:"index"`      // its place in the log
	Checkpoint string      `json:"checkpoint"` // the note it was found under, verified lines only
	Range      []tlog.Hash `json:"range"`      // compact range of the checkpoint's tree
	Size       int64       `json:"size"`
	QuorumTime time.Time   `json:"quorum_time"`
	Floor      time.Time   `json:"floor"`   // highest quorum time ever verified
	Highest    int64       `json:"highest"` // highest release number ever held
	Checked    time.Time   `json:"checked"` // when a mirror last confirmed this state, by the local clock
	Held       int64       `json:"held"`    // release that the diff guard keeps back, 0 if none
	HeldWhy    string      `json:"held_why"`

	release *ReleaseLeaf
	rng     transparency.CompactRange
}

// loadState reads the state. A missing file is the empty state; a damaged one is the empty state with the highest
// release number of the copy before, and an error that wraps ErrDamaged. A file that this user may not read is
// neither: then there is no state and another error.
func loadState(dir string) (*state, error) {
	s, err := readState(filepath.Join(dir, stateFile))
	if err == nil {
		return s, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	before, errOld := readState(filepath.Join(dir, stateOldFile))
	if errors.Is(err, fs.ErrNotExist) && errors.Is(errOld, fs.ErrNotExist) {
		return &state{}, nil
	}
	empty := &state{}
	if errOld == nil {
		empty.Highest, empty.Floor = before.Highest, before.Floor
	}
	return empty, fmt.Errorf("%w: %w", ErrDamaged, err)
}

func readState(path string) (*state, error) {
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, body, ok := strings.Cut(string(data), "\n")
	sum, hasHeader := strings.CutPrefix(head, stateHeader)
	if want := sha256.Sum256([]byte(body)); !ok || !hasHeader || sum != hex.EncodeToString(want[:]) {
		return nil, fmt.Errorf("%s: line 1: the checksum does not fit the content", path)
	}
	s := &state{}
	if err := json.Unmarshal([]byte(body), s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Leaf == "" {
		return s, nil
	}
	leaf, err := ParseLeaf([]byte(s.Leaf))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if leaf.Release == nil {
		return nil, fmt.Errorf("%s: the leaf is not that of a release", path)
	}
	s.release = leaf.Release
	if s.rng, err = transparency.NewCompactRange(s.Size, s.Range); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// save writes the state durably; the one before stays as the second copy.
func (s *state) save(dir string) error {
	s.Range, s.Size = s.rng.Hashes(), s.rng.Size()
	body, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	data := fmt.Appendf(nil, "%s%x\n%s", stateHeader, sha256.Sum256(body), body)
	path := filepath.Join(dir, stateFile)
	if old, err := durable.ReadFile(path); err == nil {
		if _, err := readState(path); err == nil {
			if err := durable.WriteFile(filepath.Join(dir, stateOldFile), old, 0o644); err != nil {
				return err
			}
		}
	}
	return durable.WriteFile(path, data, 0o644)
}

// sweep removes the temporary files of an update that was killed. Whoever calls it has the client's lock.
func sweep(dir string, chain *transparency.TrustChain) error {
	var trust []string
	for _, t := range chain.Versions() {
		name := filepath.Base(TrustPath(t.Version))
		trust = append(trust, name, name+copySuffix)
	}
	return errors.Join(durable.Sweep(dir, stateFile, stateOldFile, ListPath, listOldFile, PointerPath, pointersFile),
		durable.Sweep(filepath.Join(dir, trustDir), trust...))
}

// checkList looks for the held list's file without keeping its bytes. Errors wrap ErrDamaged.
func (s *state) checkList(dir string) error {
	var errs []error
	for _, name := range []string{ListPath, listOldFile} {
		path := filepath.Join(dir, name)
		digest, err := fileDigest(path)
		if err == nil && digest == s.release.ListDigest {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%s is not the list of release %d", path, s.release.Release)
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, errors.Join(errs...))
}

// loadList reads the held list, whatever its file's name is at the moment. Errors wrap ErrDamaged.
func (s *state) loadList(dir string) (policy.List, error) {
	for _, name := range []string{ListPath, listOldFile} {
		list, err := listFile(filepath.Join(dir, name), s.release.ListDigest)
		if err == nil {
			return list, nil
		}
		if errors.Is(err, policy.ErrList) {
			return policy.List{}, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
	}
	return policy.List{}, s.lost(dir)
}

// listFile reads the list in a file that has the digest.
func listFile(path string, digest [32]byte) (policy.List, error) {
	f, err := durable.Open(path)
	if err != nil {
		return policy.List{}, err
	}
	defer f.Close()
	_, list, err := readList(f, digest, policy.List{})
	return list, err
}

// errOtherDigest says that bytes are not those that a release signs.
var errOtherDigest = errors.New("its content has another digest")

// readList reads policy.json of a digest from r, to its end, beside a list that is held. That the bytes are others comes
// before what is wrong in them: errOtherDigest, then what wraps policy.ErrList; other errors are r's.
func readList(r io.Reader, digest [32]byte, like policy.List) (policy.Header, policy.List, error) {
	sum := sha256.New()
	all := io.TeeReader(r, sum)
	h, list, err := policy.ReadList(all, like)
	if err != nil && !errors.Is(err, policy.ErrList) {
		return h, list, err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return h, list, err
	}
	if [32]byte(sum.Sum(nil)) != digest {
		return h, policy.List{}, errOtherDigest
	}
	return h, list, err
}

// listBytes reads the held list's file, whatever its name is at the moment. Errors wrap ErrDamaged.
func (s *state) listBytes(dir string) (data []byte, name string, err error) {
	for _, name := range []string{ListPath, listOldFile} {
		data, err := durable.ReadFile(filepath.Join(dir, name))
		if err == nil && sum(data) == s.release.ListDigest {
			return data, name, nil
		}
	}
	return nil, "", s.lost(dir)
}

// lost says why the held list could not be read.
func (s *state) lost(dir string) error {
	if err := s.checkList(dir); err != nil {
		return err // it says what is wrong with each
	}
	// It was there a moment later: two updates ended while this ran. An empty list would be the wrong answer.
	return fmt.Errorf("%w: the list of release %d was replaced while it was read", ErrDamaged, s.release.Release)
}

// replaceList writes a new list. The held one, which the state still names, stays under its own or its second name
// until the state is replaced, however often this is tried and cut short.
func (s *state) replaceList(dir string, next *Release) error {
	path, old := filepath.Join(dir, ListPath), filepath.Join(dir, listOldFile)
	if s.release != nil {
		if held, err := fileDigest(path); err == nil && held == s.release.ListDigest {
			if err := keepAs(path, old); err != nil {
				return err
			}
		}
	}
	return durable.Write(path, 0o644, func(w io.WriteSeeker) error { return next.Leaf.checkList(next.List, w) })
}

// keepAs gives the file at path a second name, or a copy where the file system has no second names.
func keepAs(path, second string) error {
	if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(path, second) == nil {
		return durable.SyncDir(filepath.Dir(path))
	}
	data, err := durable.ReadFile(path)
	if err != nil {
		return err
	}
	return durable.WriteFile(second, data, 0o644)
}

func fileDigest(path string) (d [32]byte, err error) {
	f, err := durable.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return d, err
	}
	h.Sum(d[:0])
	return d, nil
}
