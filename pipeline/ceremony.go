package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// DraftSuffix ends the name of a trust version that is being signed: trust/4.draft becomes trust/4.
const DraftSuffix = ".draft"

var (
	// ErrNotEnough means that root keys have still to sign a draft.
	ErrNotEnough = errors.New("signatures are missing")
	// ErrTrustRule means that a version may follow by its signatures, but would do harm.
	ErrTrustRule = errors.New("this version must not be published")
)

// Ceremony is the making of one trust version in an operator's folder of versions: a draft, its signatures by people
// on several machines, and its publication. The folder's published versions are the chain; a draft of version 1 has
// none before it.
type Ceremony struct {
	Folder string
	Chain  *transparency.TrustChain // nil before version 1
	Draft  *transparency.Trust
}

// Before is the version that the draft follows, nil for version 1.
func (c *Ceremony) Before() *transparency.Trust {
	if c.Chain == nil {
		return nil
	}
	return c.Chain.Newest()
}

// Path is the draft's file.
func (c *Ceremony) Path() string {
	return filepath.Join(c.Folder, strconv.FormatInt(c.Draft.Version, 10)+DraftSuffix)
}

// StartCeremony writes an unsigned draft into the folder. A draft of that version that is there already stays, and
// the error wraps ErrExists.
func StartCeremony(folder string, draft *transparency.Trust, now time.Time) (*Ceremony, error) {
	chain, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	c := &Ceremony{folder, chain, draft}
	if err := c.check(now); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	return c, create(c.Path(), draft.Draft())
}

// OpenCeremony reads a draft and the published versions beside it.
func OpenCeremony(path string) (*Ceremony, error) {
	draft, err := ReadTrustFile(path)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	chain, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	c := &Ceremony{folder, chain, draft}
	if filepath.Clean(path) != c.Path() {
		return nil, fmt.Errorf("%w: %s holds version %d, whose draft is called %s", ErrTrustRule, path, draft.Version, filepath.Base(c.Path()))
	}
	if chain != nil {
		// A crash between publishing and removing the draft.
		if held, err := chain.Version(draft.Version); err == nil && held.Digest() == draft.Digest() {
			return nil, fmt.Errorf("%w: version %d is published already; remove the left-over %s", ErrTrustRule, draft.Version, path)
		}
	}
	return c, c.checkNumber()
}

// readFolder is nil for a folder without any published version.
func readFolder(folder string) (*transparency.TrustChain, error) {
	names, err := filepath.Glob(filepath.Join(folder, "[1-9]*"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, err := strconv.ParseInt(filepath.Base(n), 10, 64); err == nil {
			return mirror.ReadTrust(folder)
		}
	}
	return nil, nil
}

// ReadTrustFile reads one version, signed or a draft. No signature is verified.
func ReadTrustFile(path string) (*transparency.Trust, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := mirror.ReadLimited(f, transparency.MaxTrustBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t, err := transparency.ParseTrust(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func (c *Ceremony) checkNumber() error {
	next := int64(1)
	if c.Chain != nil {
		next = c.Chain.Newest().Version + 1
	}
	if c.Draft.Version != next {
		return fmt.Errorf("%w: it is version %d, the folder %s goes on with version %d", ErrTrustRule, c.Draft.Version, c.Folder, next)
	}
	return nil
}

// check holds the rules that no signature can show. A log's name must not come back: its key would have signed two
// trees of one size, which everybody takes for a fork.
func (c *Ceremony) check(now time.Time) error {
	if err := c.checkNumber(); err != nil {
		return err
	}
	if !c.Draft.Expires.After(now) {
		return fmt.Errorf("%w: it expired at %s", ErrTrustRule, c.Draft.Expires.Format(policy.TimeFormat))
	}
	if c.Chain != nil && c.Draft.Origin == c.Chain.Newest().Origin {
		return nil // an older list's name may be what new ones may not
	}
	if err := policy.CheckOrigin(c.Draft.Origin); err != nil {
		return fmt.Errorf("%w: %w", ErrTrustRule, err)
	}
	if c.Chain == nil {
		return nil
	}
	for _, t := range c.Chain.Versions() {
		if t.Origin == c.Draft.Origin {
			return fmt.Errorf("%w: the log %s was closed after version %d; a new log takes a new name", ErrTrustRule, t.Origin, t.Version)
		}
	}
	return nil
}

// Sign adds signatures to the draft's file: those of signers, and the good ones of other copies of the draft.
func (c *Ceremony) Sign(copies []*transparency.Trust, signers ...note.Signer) error {
	signed, err := c.Draft.AddSignatures(c.Before(), copies, signers...)
	if err != nil {
		return err
	}
	c.Draft = signed
	return durable.WriteFile(c.Path(), signed.Draft(), 0o644)
}

// Verify returns what publishing would refuse: nil when both thresholds are met. Errors wrap ErrNotEnough,
// ErrTrustRule or transparency.ErrTrust.
func (c *Ceremony) Verify(now time.Time) error {
	if err := c.check(now); err != nil {
		return err
	}
	verify := c.Draft.VerifySelf
	if c.Chain != nil {
		verify = func() error { return c.Chain.Newest().VerifyNext(c.Draft) }
	}
	if err := verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotEnough, err)
	}
	return nil
}

// Publish gives the draft its number, from which moment on the next release logs and uploads it. Nothing can take it
// back: clients follow every version that they have seen.
func (c *Ceremony) Publish(now time.Time) (path string, err error) {
	if err := c.Verify(now); err != nil {
		return "", err
	}
	if err := c.Sign(nil); err != nil { // lines of strangers stay behind
		return "", err
	}
	path = filepath.Join(c.Folder, strconv.FormatInt(c.Draft.Version, 10))
	if err := create(path, c.Draft.Note()); err != nil {
		return "", err
	}
	if err := os.Remove(c.Path()); err != nil {
		return path, err
	}
	return path, durable.SyncDir(c.Folder)
}

// create writes a file that must not be there yet. A second run after a crash, which finds the same bytes, succeeds.
func create(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.MkdirTemp(dir, ".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	whole := filepath.Join(tmp, "new")
	if err := durable.WriteFile(whole, data, 0o644); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces what somebody else put there meanwhile.
	if err := os.Link(whole, path); errors.Is(err, fs.ErrExist) {
		if held, err := os.ReadFile(path); err == nil && bytes.Equal(held, data) {
			return durable.SyncDir(dir)
		}
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	} else if err != nil {
		return err
	}
	return durable.SyncDir(dir)
}
