package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	trustDir     = "trust"
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
// release number of the copy before, and an error that wraps ErrDamaged.
func loadState(dir string) (*state, error) {
	s, err := readState(filepath.Join(dir, stateFile))
	if err == nil {
		return s, nil
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
	data, err := os.ReadFile(path)
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
	if err != nil || leaf.Release == nil {
		return nil, fmt.Errorf("%s: the release leaf: %w", path, err)
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
	if old, err := os.ReadFile(path); err == nil {
		if _, err := readState(path); err == nil {
			if err := durable.WriteFile(filepath.Join(dir, stateOldFile), old, 0o644); err != nil {
				return err
			}
		}
	}
	return durable.WriteFile(path, data, 0o644)
}

// loadList reads the held list and checks it against the held leaf.
func (s *state) loadList(dir string) (policy.List, error) {
	var errs []error
	for _, name := range []string{ListPath, listOldFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && sum(data) == s.release.ListDigest {
			_, list, err := policy.ParseList(data)
			return list, err
		}
		if err == nil {
			err = fmt.Errorf("%s is not the list of release %d", filepath.Join(dir, name), s.release.Release)
		}
		errs = append(errs, err)
	}
	return policy.List{}, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(errs...))
}

// replaceList writes a new list and keeps the old one under a second name.
func replaceList(dir string, data []byte) error {
	path, old := filepath.Join(dir, ListPath), filepath.Join(dir, listOldFile)
	if held, err := os.ReadFile(path); err == nil && sum(held) == sum(data) {
		return nil // a crash after the first attempt: the old list must stay under its second name
	}
	if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.WriteFile(path, data, 0o644)
}

// loadTrust reads the versions that join and later updates stored.
func loadTrust(dir string) (*transparency.TrustChain, error) {
	return ReadTrust(filepath.Join(dir, trustDir))
}

// ReadTrust reads a local folder of trust versions, files named 1, 2, 3 and so on without a gap; the first that
// exists is trusted for being there, and the signatures of each later one are verified.
func ReadTrust(dir string) (*transparency.TrustChain, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("no trust yet: %w", err)
	}
	first := int64(0)
	for _, n := range names {
		if v, err := strconv.ParseInt(n.Name(), 10, 64); err == nil && v > 0 && (first == 0 || v < first) {
			first = v
		}
	}
	if first == 0 {
		return nil, fmt.Errorf("no trust yet: %s is empty", dir)
	}
	var chain *transparency.TrustChain
	for v := first; ; v++ {
		path := filepath.Join(dir, strconv.FormatInt(v, 10))
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && chain != nil {
			return chain, nil
		}
		if err == nil {
			chain, err = extendTrust(chain, data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
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
