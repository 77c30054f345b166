package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// ErrCursor is what every unreadable state of a monitor wraps.
var ErrCursor = errors.New("the monitor's state is damaged")

const (
	cursorHeader = "policylist/monitor-state/v1 " // and the SHA-256 of what follows that line
	listSuffix   = ".list"                        // the list as policy.json beside the state
	lockSuffix   = ".lock"
)

// cursor is how far a monitor has looked. It moves only after everything before it has been told.
type cursor struct {
	Checkpoint string               `json:"checkpoint"` // verified lines only
	Size       int64                `json:"size"`
	Range      []tlog.Hash          `json:"range"` // compact range of the checkpoint's tree
	Leaf       string               `json:"leaf"`  // of the newest release, which is the tree's last entry
	Trust      []string             `json:"trust"` // signed versions after the one that the monitor starts from
	Standing   map[string]time.Time `json:"standing"`

	release *mirror.ReleaseLeaf
	rng     transparency.CompactRange
	list    *policy.List // nil: to be replayed from the log
}

// parseCursor reads a state file.
func parseCursor(data []byte) (*cursor, error) {
	head, body, ok := strings.Cut(string(data), "\n")
	sum, hasHeader := strings.CutPrefix(head, cursorHeader)
	if want := sha256.Sum256([]byte(body)); !ok || !hasHeader || sum != hex.EncodeToString(want[:]) {
		return nil, fmt.Errorf("%w: line 1: the checksum does not fit the content", ErrCursor)
	}
	c := &cursor{}
	if err := json.Unmarshal([]byte(body), c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	leaf, err := mirror.ParseLeaf([]byte(c.Leaf))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	if leaf.Release == nil {
		return nil, fmt.Errorf("%w: the leaf is not that of a release", ErrCursor)
	}
	c.release = leaf.Release
	if c.rng, err = transparency.NewCompactRange(c.Size, c.Range); err != nil || c.Size == 0 {
		return nil, fmt.Errorf("%w: a range of %d entries: %w", ErrCursor, c.Size, err)
	}
	return c, nil
}

// format is the state file's content.
func (c *cursor) format() []byte {
	c.Range, c.Size = c.rng.Hashes(), c.rng.Size()
	body, _ := json.MarshalIndent(c, "", " ") // strings, numbers, hashes and times
	return fmt.Appendf(nil, "%s%x\n%s", cursorHeader, sha256.Sum256(body), body)
}

// loadCursor reads the state at path and the list beside it. None at all is nil without an error. A list that is missing
// or is another one, as after a crash between the two files, is no damage: the log has it.
func loadCursor(path string) (*cursor, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCursor(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	data, err = os.ReadFile(path + listSuffix)
	if err != nil || sha256.Sum256(data) != c.release.ListDigest {
		return c, nil
	}
	if _, list, err := policy.ParseList(data); err == nil {
		c.list = &list
	}
	return c, nil
}

// saveList writes the list; it stands before the state that names it.
func (c *cursor) saveList(path string) error {
	data, err := c.list.Bytes(c.release.Header())
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path + listSuffix); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return durable.WriteFile(path+listSuffix, data, 0o644)
}

func (c *cursor) save(path string) error { return durable.WriteFile(path, c.format(), 0o644) }

// extend puts the versions that the cursor knows behind the monitor's own. What does not follow is fetched again.
func (c *cursor) extend(chain *transparency.TrustChain) {
	for _, text := range c.Trust {
		t, err := transparency.ParseTrust([]byte(text))
		if err != nil || chain.Extend(t) != nil {
			return
		}
	}
}
