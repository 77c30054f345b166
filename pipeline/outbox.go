package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Files of one release in the outbox. Every byte that could come out differently next time is here, fsynced, before
// it is used for the first time; retries and mirrors that catch up copy from here.
const (
	outEntries    = "entries"         // the log entries, each with its uint16 length
	outList       = "policy.json"     //
	outBlob       = "list.zst"        //
	outPGP        = "policy.json.asc" // absent without an OpenPGP key
	outBundle     = "policy.json.sigstore.json"
	outEvidence   = "evidence.jsonl.zst" // absent without evidence
	outMeta       = "meta.json"
	outCheckpoint = "checkpoint" // written once the tree is durable
	outProof      = "proof"      // written with the checkpoint
)

// ErrState is what every unusable state folder wraps.
var ErrState = errors.New("publisher state is not usable")

// outbox is the folder of all releases that this publisher made, one folder a release, named by its number. A
// release's folder appears whole, by one rename.
type outbox struct{ dir string }

// meta is what a release folder says of itself.
type meta struct {
	Release int64 `json:"release"`
	Start   int64 `json:"start"` // index of the first of its entries
	Count   int   `json:"count"` // entries
	Done    bool  `json:"done"`  // published on at least one mirror, which verified it
}

func (o outbox) path(release int64, name string) string {
	return filepath.Join(o.dir, strconv.FormatInt(release, 10), name)
}

// newest returns the highest release number in the outbox, 0 if none, and removes what a crash left half-made.
func (o outbox) newest() (int64, error) {
	names, err := os.ReadDir(o.dir)
	if err != nil {
		return 0, err
	}
	highest := int64(0)
	for _, n := range names {
		v, err := strconv.ParseInt(n.Name(), 10, 64)
		if err != nil || v < 1 {
			if err := os.RemoveAll(filepath.Join(o.dir, n.Name())); err != nil {
				return 0, err
			}
			continue
		}
		highest = max(highest, v)
	}
	return highest, nil
}

// create makes the folder of a release: files first, then its name.
func (o outbox) create(release int64, files map[string][]byte) error {
	tmp, err := os.MkdirTemp(o.dir, ".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := durable.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, o.path(release, "")); err != nil {
		return err
	}
	return durable.SyncDir(o.dir)
}

// add writes one file more to a release.
func (o outbox) add(release int64, name string, data []byte) error {
	return durable.WriteFile(o.path(release, name), data, 0o644)
}

// read returns a file of a release; an absent one wraps fs.ErrNotExist.
func (o outbox) read(release int64, name string) ([]byte, error) {
	return os.ReadFile(o.path(release, name))
}

// readOptional is read, but nil for an absent file.
func (o outbox) readOptional(release int64, name string) ([]byte, error) {
	data, err := o.read(release, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (o outbox) meta(release int64) (meta, error) {
	var m meta
	data, err := o.read(release, outMeta)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := json.Unmarshal(data, &m); err != nil || m.Release != release || m.Start < 0 || m.Count < 1 {
		return m, fmt.Errorf("%w: %s: not the description of release %d", ErrState, o.path(release, outMeta), release)
	}
	return m, nil
}

func (o outbox) setMeta(m meta) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return o.add(m.Release, outMeta, append(data, '\n'))
}

// entries returns the log entries of a release.
func (o outbox) entries(m meta) ([][]byte, error) {
	data, err := o.read(m.Release, outEntries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	entries, err := transparency.ParseBundle(data, m.Count)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, o.path(m.Release, outEntries), err)
	}
	return entries, nil
}
