package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// pinFile says that an earlier list is in force. It stands beside the state and changes nothing in it: updates go on from
// the newest release, so that what was ever seen of the log, the highest release number and the highest quorum time
// never move back, and an attacker gains nothing by a machine that was put back.
const pinFile = "pin.json"

var (
	// ErrNotKept means that there is no earlier list of that release.
	ErrNotKept = errors.New("there is no such earlier list")
	// ErrNotPinned means that the newest list is in force as it is.
	ErrNotPinned = errors.New("nothing was put back")
)

// Pin puts an earlier list in force.
type Pin struct {
	Release int64     `json:"release"`
	Digest  string    `json:"list"` // SHA-256, hex
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // then the newest list is in force again; not after the list's own end
}

// pinned is a pin that holds, and its list.
type pinned struct {
	Pin
	Kept
}

// Rollback puts an earlier list in force: that of the given release, or with 0 the last before the one in force. It stays
// until Undo, until the given time or until it expires, whichever comes first; a zero time stands for the last. Updates
// verify and store newer releases meanwhile. Errors wrap ErrNotKept, ErrDamaged, durable.ErrLocked, or are local.
func (c *Client) Rollback(release int64, reason string, until time.Time) (Pin, error) {
	unlock, err := durable.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return Pin{}, err
	}
	defer unlock()
	h, out, err := c.load()
	if err != nil {
		return Pin{}, err
	}
	if out.Release == nil {
		return Pin{}, fmt.Errorf("%w: there is no list yet", ErrNotKept)
	}
	k, err := c.earlier(h, out.Release.Release, release)
	if err != nil {
		return Pin{}, err
	}
	if err := k.check(); err != nil {
		return Pin{}, err
	}
	pin := Pin{
		Release: k.Release.Release, Digest: fmt.Sprintf("%x", k.Release.ListDigest), Reason: reason,
		Since: c.Now().UTC().Truncate(time.Second), Until: k.Release.Expires,
	}
	if !until.IsZero() && until.Before(pin.Until) {
		pin.Until = until.UTC().Truncate(time.Second)
	}
	if !c.now(h.state).Before(pin.Until) {
		return Pin{}, fmt.Errorf("it would end at %s, which is over", pin.Until.Format(policy.TimeFormat))
	}
	data, err := json.MarshalIndent(pin, "", " ")
	if err != nil {
		return Pin{}, err
	}
	return pin, durable.WriteFile(filepath.Join(c.Dir, pinFile), append(data, '\n'), 0o644)
}

// earlier finds the kept list of a release, or with 0 the newest below the one in force.
func (c *Client) earlier(h *held, inForce, release int64) (Kept, error) {
	all, err := loadKept(c.Dir, h.chain)
	if err != nil {
		return Kept{}, err
	}
	var there []int64
	for _, k := range all {
		if !c.now(h.state).Before(k.Release.Expires) || h.release != nil && k.Release.Release >= h.release.Release {
			continue
		}
		if k.Release.Release == release || release == 0 && k.Release.Release < inForce {
			return k, nil
		}
		there = append(there, k.Release.Release)
	}
	what := fmt.Sprintf("of release %d", release)
	if release == 0 {
		what = fmt.Sprintf("before release %d", inForce)
	}
	return Kept{}, fmt.Errorf("%w: none %s that is still valid; kept are the releases %d", ErrNotKept, what, there)
}

// Undo puts the newest list in force again. ErrNotPinned means that it is.
func (c *Client) Undo() error {
	unlock, err := durable.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	err = os.Remove(filepath.Join(c.Dir, pinFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotPinned
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(c.Dir)
}

// readPin returns nil when there is none, or when its time is over. Errors wrap ErrDamaged.
func (c *Client) readPin(s *state) (*Pin, error) {
	data, err := durable.ReadFile(filepath.Join(c.Dir, pinFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var p Pin
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err = d.Decode(&p)
	}
	digest, errHex := hex.DecodeString(p.Digest)
	if err == nil && (errHex != nil || len(digest) != sha256.Size) {
		err = errors.New("it names no list")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, pinFile, err)
	}
	if !c.now(s).Before(p.Until) {
		return nil, nil
	}
	return &p, nil
}

// findPin returns the pin that holds, with its list verified, or nil. What is wrong with one is an error that wraps
// ErrDamaged: then the newest list is in force, for an unknown one cannot be.
func (c *Client) findPin(h *held) (*pinned, error) {
	p, err := c.readPin(h.state)
	if p == nil || err != nil {
		return nil, err
	}
	if h.release != nil && p.Digest == fmt.Sprintf("%x", h.release.ListDigest) {
		return nil, nil // a lost state was fetched anew from a mirror that lags
	}
	k, err := openKept(c.Dir, p.Digest, h.chain)
	if err == nil {
		err = k.check()
	}
	if err == nil && !c.now(h.state).Before(k.Release.Expires) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the list of release %d, which this machine was put back to: %w", ErrDamaged, p.Release, err)
	}
	return &pinned{*p, k}, nil
}

// show makes the pin's list the one that the outcome is about. Something older than the newest is stale by its nature.
func (p *pinned) show(out *Outcome) {
	if out.Release != nil {
		out.Newest = out.Release.Release
	}
	out.Pin, out.Release, out.Freshness, out.Proof = &p.Pin, p.Kept.Release, Stale, filepath.Join(keptDir, filepath.Base(p.Proof))
}

// settlePin keeps the pin's list in force when an update has brought another. When the held release turned out never to
// have been valid, nobody knows which of those before it were, and the way back to all of them ends.
func (c *Client) settlePin(h *held, cand *candidate, out *Outcome) (err error) {
	if cand.healed {
		h.pin = nil
		err := os.Remove(filepath.Join(c.Dir, pinFile))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, os.RemoveAll(filepath.Join(c.Dir, keptDir)))
	}
	if h.pin == nil {
		return nil
	}
	h.pin.show(out)
	out.List, err = h.pin.list()
	return err
}

// Mark changes whenever another list may be in force: for whoever keeps one in memory.
func (c *Client) Mark() string {
	state, err := durable.ReadFile(filepath.Join(c.Dir, stateFile))
	if err != nil {
		return err.Error()
	}
	mark := fmt.Sprintf("%x", sha256.Sum256(state))
	pin, err := durable.ReadFile(filepath.Join(c.Dir, pinFile))
	if errors.Is(err, fs.ErrNotExist) {
		return mark
	}
	holds := false
	if s, _ := loadState(c.Dir); s != nil {
		p, _ := c.readPin(s)
		holds = p != nil
	}
	return fmt.Sprintf("%s %x %t", mark, sha256.Sum256(pin), holds)
}
