package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
	outKeyless    = "policy.json.keyless.sigstore.json" // absent with most releases
	outEvidence   = "evidence.jsonl.zst"                // absent without evidence
	outPending    = "pending.json"                      // what the release holds, where it has pages
	outMeta       = "meta.json"
	outSigned     = "checkpoint.signed" // while witnesses are asked: the log's signature, and what cosignatures there are
	outCheckpoint = "checkpoint"        // written once the tree is durable, and the quorum there
	outProof      = "proof"             // written with the checkpoint
)

// ErrState is what every unusable state folder wraps.
var ErrState = errors.New("publisher state is not usable")

// tempPrefix begins the name of a folder that is not whole yet.
const tempPrefix = ".tmp-"

// outbox is the folder of all releases that this publisher made, one folder a release, named by its number. A
// release's folder appears whole, by one rename.
type outbox struct {
	dir  string
	keep func() error // saves what was added in the publisher's vault; nil where the folder itself is what is kept
}

// kept makes what was written to the folder as durable as the state is.
func (o outbox) kept() error {
	if o.keep == nil {
		return nil
	}
	return o.keep()
}

// meta is what a release folder says of itself.
type meta struct {
	Release int64 `json:"release"`
	Start   int64 `json:"start"` // index of the first of its entries
	Count   int   `json:"count"` // entries
	Done    bool  `json:"done"`  // published on at least one mirror, which verified it
	// Recovered: the folder was rebuilt from mirrors, which do not keep every file for ever.
	Recovered bool `json:"recovered,omitempty"`
	// Files are the digests of the other files, lower-case hex SHA-256: a disk that forgot a bit, or a file of another
	// list, must not reach a mirror. The checkpoint and the proof join them when the release is done.
	Files map[string]string `json:"files"`
}

// needed are the files without which a release is not whole. Of one that was published before the state was lost only
// what is in the log has to be there.
func (m meta) needed() []string {
	switch {
	case m.Recovered && m.Done:
		return []string{outEntries, outProof}
	case m.Done:
		return []string{outEntries, outList, outBlob, outBundle, outCheckpoint, outProof}
	}
	return []string{outEntries, outList, outBlob, outBundle}
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func (o outbox) path(release int64, name string) string {
	return filepath.Join(o.dir, strconv.FormatInt(release, 10), name)
}

// newest returns the highest release number in the outbox, 0 if none.
func (o outbox) newest() (int64, error) {
	names, err := os.ReadDir(o.dir)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrState, err)
	}
	highest := int64(0)
	for _, n := range names {
		if v, err := strconv.ParseInt(n.Name(), 10, 64); err == nil {
			highest = max(highest, v)
		}
	}
	return highest, nil
}

// sweep removes from a folder what a crash left half-made. Only who has the lock may: to everybody else it is work in
// progress.
func sweep(dir string) error {
	names, err := os.ReadDir(dir)
	for _, n := range names {
		if strings.HasPrefix(n.Name(), tempPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, n.Name())))
		}
	}
	return err
}

// create makes the folder of a release: files first, then its name.
func (o outbox) create(release int64, files map[string][]byte) error {
	tmp, err := os.MkdirTemp(o.dir, tempPrefix)
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
	if err := durable.SyncDir(o.dir); err != nil {
		return err
	}
	return o.kept()
}

// add writes one file more to a release.
func (o outbox) add(release int64, name string, data []byte) error {
	if err := durable.WriteFile(o.path(release, name), data, 0o644); err != nil {
		return err
	}
	return o.kept()
}

// read returns a file of a release, nil when the release has none. Errors name the file and wrap ErrState.
func (o outbox) read(m meta, name string) ([]byte, error) {
	want, listed := m.Files[name]
	if !listed && (m.Done || name != outCheckpoint && name != outProof && name != outSigned) {
		return nil, nil
	}
	data, err := os.ReadFile(o.path(m.Release, name))
	switch {
	case !listed && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	case listed && digest(data) != want:
		return nil, fmt.Errorf("%w: %s: these are not the bytes of which meta.json says that release %d was made", ErrState, o.path(m.Release, name), m.Release)
	}
	return data, nil
}

// check reads all files of a release, so that nothing of it is used when one is damaged.
func (o outbox) check(m meta) error {
	for name := range m.Files {
		if _, err := o.read(m, name); err != nil {
			return err
		}
	}
	return nil
}

func (o outbox) meta(release int64) (meta, error) {
	var m meta
	data, err := os.ReadFile(o.path(release, outMeta))
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrState, err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	complete := func(name string) bool { return m.Files[name] != "" }
	if err := d.Decode(&m); err != nil || m.Release != release || m.Start < 0 || m.Count < 1 ||
		!all(m.needed(), complete) {
		return m, fmt.Errorf("%w: %s: not the description of release %d", ErrState, o.path(release, outMeta), release)
	}
	return m, nil
}

func all(names []string, f func(string) bool) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !f(n) })
}

// finish records that a release is published, and the digests of what was made after its folder.
func (o outbox) finish(m meta, late map[string][]byte) error {
	m.Done = true
	m.Files = maps.Clone(m.Files)
	for name, data := range late {
		m.Files[name] = digest(data)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return o.add(m.Release, outMeta, append(data, '\n'))
}

// entries returns the log entries of a release.
func (o outbox) entries(m meta) ([][]byte, error) {
	data, err := o.read(m, outEntries)
	if err != nil {
		return nil, err
	}
	entries, err := transparency.ParseBundle(data, m.Count)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, o.path(m.Release, outEntries), err)
	}
	return entries, nil
}
