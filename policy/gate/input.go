package gate

import (
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// The times of the change table (RULES.md). All are totals, counted from the first look that shows the signal.
const (
	day = 24 * time.Hour

	mxsDelay         = 24 * time.Hour // other mxs
	demoteSTSDelay   = 24 * time.Hour // MTA-STS says testing
	demoteProofDelay = 48 * time.Hour
	removeSTSDelay   = 48 * time.Hour // MTA-STS says none
	removeProofDelay = 72 * time.Hour
	stuckDemote      = 48 * time.Hour
	stuckRemove      = 30 * day
	goneRemove       = 30 * day
	restoreWindow    = 30 * day
	// restoreDelay keeps a server that comes and goes from being enforced and demoted in turn.
	restoreDelay = 24 * time.Hour

	promoteSTSDays, promoteSTSPasses     = 14, 10
	promoteProofDays, promoteProofPasses = 28, 20
	// recentLooks is how many looks before a promotion must show no failure.
	recentLooks = 3
)

const (
	// fresh is how old the look may be that a change rests on: a scan a day.
	fresh = 24 * time.Hour
	// nearEnd is how long before the end of a delay the look may be that shows what has to stand for it: of a scan a day one
	// is never further from it.
	nearEnd = 12 * time.Hour
	// maxGap is how far looks may be apart for what both show to count as having stood in between. Nobody knows
	// what happened on days that nobody looked.
	maxGap = 72 * time.Hour
	// skew is how far a vantage's clock may be ahead.
	skew = 10 * time.Minute
	// twoVantages is the least that anything rests on which an owner did not ask for.
	twoVantages = 2
)

// Keep is how long a domain's looks are of use: the longest row of the table, and the longest life of a proof, whose
// first sighting tells a new word from a repeated one.
const Keep = (proof.MaxDays + 2) * day

// Settings are what the list says of its vantages.
type Settings struct {
	Vantages int // how many look, at least 1
	Quorum   int // how many must agree, 1 to Vantages
}

// need is how many vantages a signal of the owner's takes; alone decides nothing where there are several.
func (s Settings) need() int { return max(s.Quorum, min(twoVantages, s.Vantages)) }

// automatic is how many vantages it takes where no owner asked.
func (s Settings) automatic() int { return max(s.Quorum, twoVantages) }

// Input is all that a decision about one domain rests on.
type Input struct {
	Domain    policy.Domain
	Managed   policy.ManagedBy // as the source says, or said last
	Published *policy.Policy   // what the list says, nil: not listed
	Wanted    *policy.Policy   // what the source says, nil: nothing
	Override  string           // the maintainers' reason for a value that need not be MTA-STS's, "" for none
	Approval  *Approval        // two maintainers' consent to this change
	Looks     []Look           // sorted by time
	Log       []Logged         // the domain's changes, oldest first
	// Feedback is what mail servers report against the entry that is wanted, "" for nothing. It holds what asks senders for more,
	// and has no part in anything else: whoever can report could weaken an entry otherwise.
	Feedback string
	// Canary says that the operator lists the domain to see who does not enforce: it is broken on purpose.
	Canary bool
	// Registered is when the domain was registered last, zero where nobody knows. Owners' words from before that are another
	// owner's. Reviewed is the Registered that somebody has looked into, or the owner vouched for (see Outcome).
	Registered, Reviewed time.Time
	Now                  time.Time
}

// Approval is a reviewed commit. The forge sees to it that two maintainers agreed; its reason is theirs to give.
type Approval struct{ Reason string }

// Logged is a change in the log.
type Logged struct {
	At     time.Time
	Before *policy.Policy // nil: was not listed
	After  *policy.Policy // nil: not listed any more: with remove.auto and remove.gone a tombstone
	Reason string
}

// Outcome is what comes of a domain.
type Outcome struct {
	Step  *Step  // what the next release makes of it, nil: nothing
	Waits []Wait // what is held
	// Alarms are for a person, and hold nothing by themselves.
	Alarms []policy.Finding
	// Vouched: the owner has spoken for the published entry since the domain was registered anew. Whoever asks remembers it.
	Vouched bool
}

// Step is a change for the next release, the budget permitting.
type Step struct {
	Change policy.Change
	Reason string    // a code for the log
	Since  time.Time // of the first look that shows what asked for it
}

// Wait is a change that is not made yet.
type Wait struct {
	Change    policy.Change
	Automatic bool      // no commit asks for it
	Since     time.Time // of the first look that shows what asks for it; zero: nothing does yet
	// Until is the earliest time at which it can be made, if what speaks for it goes on; zero: it needs what
	// Findings say, and nobody can tell when that will be.
	Until    time.Time
	Findings []policy.Finding // why, each with what to do about it
}
