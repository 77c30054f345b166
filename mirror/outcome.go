package mirror

import (
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Freshness is what a client may still believe of its list.
type Freshness string

const (
	Fresh   Freshness = "fresh"   // it stands, and somebody has said so lately
	Stale   Freshness = "stale"   // warn; the list stays in force
	Expired Freshness = "expired" // every domain is answered as not listed
	None    Freshness = "none"    // no list yet
)

// View is the verified list that a client holds.
type View struct {
	List      policy.List // empty when expired: Header and Release still say which list that was
	Release   *ReleaseLeaf
	Freshness Freshness
}

// Sink writes what a mail server reads. It is called with the new view before the state is written, and again with
// the same view after a crash, so it must be idempotent and atomic.
type Sink func(View) error

// Outcome is what an update found and did.
type Outcome struct {
	View
	Previous     int64  // release held before, 0 if none
	Method       string // "none", "delta", "snapshot"; "" when no mirror gave anything
	Mirror       string // the source that gave it
	QuorumTime   time.Time
	Checked      time.Time     // when a mirror last confirmed the list, by the local clock
	LogSize      int64         // entries of the log that the list was found in
	Witnessed    bool          // false: the trust asks for no witness
	ClockBehind  time.Duration // of the local clock, against the highest quorum time ever verified; 0 if it is not
	TrustVersion int64
	TrustExpired bool // "stale trust": warn, keep the list
	Alarms       []Alarm
	MoreAlarms   int      // alarms beyond those in Alarms
	Held         string   // why the diff guard kept a release back, "" if none
	HeldRelease  int64    // that release
	Damaged      error    // what was wrong with the local state, which is repaired now
	Pin          *Pin     // why an earlier list is in force; nil: it is the newest
	Newest       int64    // with Pin: the newest release, which is verified and waits
	Proof        string   // file below Dir: the proof of the list in force
	Problems     []string // what each unusable mirror did, "name: …"
	EvidenceFile string
}
