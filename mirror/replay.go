package mirror

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Release is a valid release as replay or a snapshot established it.
type Release struct {
	Leaf  *ReleaseLeaf
	Raw   []byte // the leaf's bytes
	Index int64  // its place in the log
	List  policy.List
}

// Chunks are the release's policy.json in pieces.
func (r *Release) Chunks() ([]string, error) { return r.List.Chunks(r.Leaf.Header()) }

// Digest is the SHA-256 of the leaf's bytes, which the next release names as its previous.
func (r *Release) Digest() [32]byte { return sha256.Sum256(r.Raw) }

// Alarm is a leaf without effect: a sign of a failed attempt at best, of a stolen key at worst.
type Alarm struct {
	Index int64
	Err   error
}

func (a Alarm) String() string { return fmt.Sprintf("log entry %d has no effect: %v", a.Index, a.Err) }

// errNoEffect is wrapped by what Alarm.Err says of leaves that nobody claims.
var errNoEffect = errors.New("no valid release covers it")

// maxAlarms bounds what a log full of rubbish can make a client remember; later ones are only counted.
const maxAlarms = 1000

// Replay applies leaves in their order and finds the valid releases among them. Both the client's delta and the
// audit run it, so that they cannot disagree. A leaf that is no valid release, and change leaves outside a valid
// release's range, have no effect: one bad leaf can neither change the list nor stop it. Not safe for concurrent use.
type Replay struct {
	chain *transparency.TrustChain
	next  int64 // index of the next leaf
	last  *Release
	trust int64 // version of the last valid trust leaf, 1 if none
	// origin of the log. Releases of another log of the same list, which its log key could copy in here with all that
	// belongs to them, are none of this one's.
	origin string

	// The change leaves just before, without a gap, then trusts trust leaves, valid or not:
	// start + len(run) + trusts == next.
	run    []*ChangeLeaf
	start  int64
	trusts int64

	claimed []*ChangeLeaf // by the last valid release
	alarms  []Alarm
	dropped int
}

// NewReplay starts at index 0, or after last, whose List it takes over without changing it. trust is the version of
// the last trust leaf before that place, 1 if none; the chain must hold all versions that the log names.
func NewReplay(chain *transparency.TrustChain, last *Release) *Replay {
	r := &Replay{chain: chain, trust: 1}
	if last != nil {
		r.last, r.next, r.trust, r.origin = last, last.Index+1, last.Leaf.Trust, last.Leaf.Origin
	}
	r.start = r.next
	return r
}

// Of says which log this is, where there is no last release that tells; without it any origin of the chain will do.
func (r *Replay) Of(origin string) *Replay {
	r.origin = origin
	return r
}

// Next is the index of the leaf that Add takes next.
func (r *Replay) Next() int64 { return r.next }

// Last is the newest valid release so far, nil if none.
func (r *Replay) Last() *Release { return r.last }

// Changes are the change leaves of the release that Add returned last, sorted by domain.
func (r *Replay) Changes() []*ChangeLeaf { return r.claimed }

// Alarms lists the leaves without effect so far, in the order in which that became known, at most 1,000 of them, and how
// many there were beyond that.
func (r *Replay) Alarms() (list []Alarm, more int) { return r.alarms, r.dropped }

func (r *Replay) alarm(index int64, err error) {
	if len(r.alarms) == maxAlarms {
		r.dropped++
		return
	}
	r.alarms = append(r.alarms, Alarm{index, err})
}

// Add takes the next leaf. It returns the release that this leaf completes, nil for all other leaves.
func (r *Replay) Add(data []byte) *Release {
	leaf, err := ParseLeaf(data)
	return r.AddParsed(data, leaf, err)
}

// AddParsed is Add for a caller who has called ParseLeaf on data already, perhaps on another core. It keeps leaf.
func (r *Replay) AddParsed(data []byte, leaf Leaf, err error) *Release {
	index := r.next
	r.next++
	switch {
	case err != nil:
		r.abandon()
		r.alarm(index, err)
	case leaf.Change != nil:
		if r.trusts > 0 {
			r.abandon()
			r.start = index
		}
		r.run = append(r.run, leaf.Change)
	case leaf.Trust != nil:
		r.trusts++
		if err := r.addTrust(leaf.Trust); err != nil {
			r.alarm(index, err)
		}
	default:
		list, err := r.judge(leaf.Release)
		if err != nil {
			r.abandon()
			r.alarm(index, fmt.Errorf("release %d: %w", leaf.Release.Release, err))
			return nil
		}
		r.claimed = r.run[min(leaf.Release.From-r.start, int64(len(r.run))):]
		r.claim(leaf.Release.From)
		r.last = &Release{leaf.Release, append([]byte(nil), data...), index, list}
		return r.last
	}
	return nil
}

// abandon gives up the change leaves that no release can claim any more.
func (r *Replay) abandon() { r.claim(r.start + int64(len(r.run))) }

// claim alarms for the change leaves before from and forgets the run.
func (r *Replay) claim(from int64) {
	for i := r.start; i < from && i < r.start+int64(len(r.run)); i++ {
		r.alarm(i, errNoEffect)
	}
	r.run, r.start, r.trusts = nil, r.next, 0
}

// addTrust accepts only the digest of a version that the root keys signed: a thief of the log key could otherwise
// name a version that never comes and so make every later release invalid.
func (r *Replay) addTrust(leaf *TrustLeaf) error {
	t, err := r.chain.Version(leaf.Version)
	switch {
	case err != nil:
		return err
	case leaf.Version <= r.trust || leaf.Version != r.trust+1 && r.last != nil:
		return fmt.Errorf("trust version %d after version %d", leaf.Version, r.trust)
	case t.Digest() != leaf.Digest:
		return fmt.Errorf("trust version %d with another digest", leaf.Version)
	}
	r.trust = leaf.Version
	return nil
}

// judge is the definition of a valid release. It returns the list after it.
func (r *Replay) judge(leaf *ReleaseLeaf) (list policy.List, err error) {
	if err := leaf.checkAlone(r.chain); err != nil {
		return list, err
	}
	if r.origin != "" && leaf.Origin != r.origin {
		return list, fmt.Errorf("its origin is %q, this log's is %q", leaf.Origin, r.origin)
	}
	if leaf.Trust != r.trust {
		return list, fmt.Errorf("it names trust version %d where version %d holds", leaf.Trust, r.trust)
	}
	if err := leaf.checkAfter(r.last); err != nil {
		return list, err
	}
	changes, err := r.changes(leaf)
	if err != nil {
		return list, err
	}
	if r.last != nil {
		list = r.last.List
	}
	if list, err = list.Apply(changes); err != nil {
		return list, err
	}
	return list, leaf.checkList(list, io.Discard)
}

// changes returns the edits in [From, To), which must be the change leaves that end just before the release leaf;
// only trust leaves may stand between. An empty range may stand behind trust leaves that an attempt before left.
func (r *Replay) changes(leaf *ReleaseLeaf) ([]policy.Edit, error) {
	end := r.start + int64(len(r.run))
	if leaf.From == leaf.To && leaf.To > end && leaf.To < r.next {
		return nil, nil
	}
	if leaf.From > leaf.To || leaf.To != end || leaf.From < r.start {
		return nil, fmt.Errorf("its changes [%d, %d) are not the change leaves just before it", leaf.From, leaf.To)
	}
	run := r.run[leaf.From-r.start:]
	edits := make([]policy.Edit, len(run))
	for i, c := range run {
		if c.Release != leaf.Release {
			return nil, fmt.Errorf("its change at index %d carries the number %d", leaf.From+int64(i), c.Release)
		}
		edits[i] = c.Edit()
	}
	return edits, nil
}

// checkAfter verifies number, previous and timestamp against the last valid release; nil when there is none in this
// log. A new log's first release continues the number of the old log's last.
func (r *ReleaseLeaf) checkAfter(last *Release) error {
	if last == nil {
		return nil
	}
	switch {
	case r.Release != last.Leaf.Release+1:
		return fmt.Errorf("release %d cannot follow release %d", r.Release, last.Leaf.Release)
	case r.Previous == nil || *r.Previous != last.Digest():
		return fmt.Errorf("it names %s as the leaf before, not release %d", hexOrEmpty(r.Previous), last.Leaf.Release)
	case !r.Timestamp.After(last.Leaf.Timestamp):
		return fmt.Errorf("its time %s is not later than that of release %d", r.Timestamp.Format(time.RFC3339), last.Leaf.Release)
	}
	return nil
}

// checkList verifies count, size and digest of the rebuilt list, whose file it writes.
func (r *ReleaseLeaf) checkList(list policy.List, w io.Writer) error {
	size, digest, err := list.Write(w, r.Header())
	switch {
	case err != nil:
		return err
	case int64(list.Len()) != r.Count || size != r.ListSize || digest != r.ListDigest:
		return fmt.Errorf("the rebuilt list has %d domains, %d bytes, digest %x; the leaf says %d, %d, %x", list.Len(), size, digest, r.Count, r.ListSize, r.ListDigest)
	}
	return nil
}
