package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// The codes of a monitor's alerts.
const (
	AlertFork         = "monitor.fork"
	AlertInvalid      = "monitor.mirror-invalid"
	AlertTail         = "monitor.tail-invalid"
	AlertRemoved      = "monitor.removed"
	AlertWeakened     = "monitor.weakened"
	AlertChanged      = "monitor.changed"
	AlertNoEffect     = "monitor.leaf-no-effect"
	AlertOverride     = "monitor.override"
	AlertTrust        = "monitor.trust-version"
	AlertTrustExpired = "monitor.trust-expired"
	AlertStale        = "monitor.stale"
	AlertExpired      = "monitor.expired"
	AlertBehind       = "monitor.mirror-behind"
	AlertWitness      = "monitor.witness-old"
	AlertUnseen       = "monitor.unseen"
)

const (
	fixOwner = "if you did not ask for it, ask the list's operator; the entry's reason says which rule they applied"
	fixKeys  = "ask the list's operator to explain it in public; until then expect that a key was stolen"
)

func monitorCodes() []policy.Code {
	c := func(severity policy.Severity, id, summary, fix string) policy.Code {
		return policy.Code{ID: id, Severity: severity, Summary: summary, Fix: fix}
	}
	return []policy.Code{
		c(policy.Error, AlertFork, "the log's key signed two histories", "publish the evidence file; let no client update until it is explained"),
		c(policy.Error, AlertInvalid, "the mirror serves what does not verify", "compare with other mirrors, then tell the mirror's operator"),
		c(policy.Error, AlertTail, "the newest release leaf under the signed checkpoint is not a valid release", fixKeys),
		c(policy.Error, AlertRemoved, "a domain was removed from the list", fixOwner),
		c(policy.Error, AlertWeakened, "a domain's policy asks for less, or allows other hosts", fixOwner),
		c(policy.Warning, AlertChanged, "a watched domain's policy changed", fixOwner),
		c(policy.Warning, AlertNoEffect, "a log entry has no effect", "an abandoned attempt leaves such entries, and so does a thief of a key: ask the list's operator"),
		c(policy.Warning, AlertOverride, "a release was made outside the rules, and says so", "the code of the override says why: starttls-list code CODE"),
		c(policy.Warning, AlertTrust, "a new trust version appeared", "compare it with what the list's operator announced: starttls-list trust show"),
		c(policy.Error, AlertTrustExpired, "the newest trust version has expired", "ask the list's operator for the next one: clients apply no release until then"),
		c(policy.Error, AlertStale, "the newest release is older than 48 hours", "compare with other mirrors: if they have no newer one, the list's operator has stopped releasing"),
		c(policy.Error, AlertExpired, "the list has expired: clients do not use it any more", "ask the list's operator for a release; compare with other mirrors"),
		c(policy.Warning, AlertBehind, "the mirror serves an older state than it did, or than another", "compare with other mirrors, then tell the mirror's operator"),
		c(policy.Warning, AlertWitness, "a witness has not cosigned for 48 hours", "ask its operator whether it still runs; the quorum may hang on it"),
		c(policy.Warning, AlertUnseen, "what changed since the monitor last looked is unknown", "the monitor's state was lost or damaged: audit the log, and look at the watched domains' entries"),
	}
}

// Alert is one thing that a monitor tells.
type Alert struct {
	// ID is the same whenever the same thing is told again, as after a delivery that failed halfway.
	ID       string          `json:"id"`
	Code     string          `json:"code"`
	Severity policy.Severity `json:"severity"`
	Summary  string          `json:"summary"`
	Fix      string          `json:"fix"`
	Release  int64           `json:"release,omitempty"`
	Entry    *int64          `json:"entry,omitempty"` // of the log
	Domain   string          `json:"domain,omitempty"`
	Change   *policy.Change  `json:"change,omitempty"`
	Reason   string          `json:"reason,omitempty"` // the code in the log entry
	Evidence string          `json:"evidence,omitempty"`

	standing bool   // true as long as something is so: told again daily, not at every round
	subject  string // which of several of this code
}

// newAlert makes an alert of a code. detail follows the code's summary.
func newAlert(id, detail string) Alert {
	codes := monitorCodes()
	c := codes[slices.IndexFunc(codes, func(c policy.Code) bool { return c.ID == id })]
	a := Alert{Code: id, Severity: c.Severity, Summary: c.Summary, Fix: c.Fix}
	if detail != "" {
		a.Summary += ": " + detail
	}
	return a
}

// identify sets the ID from what the alert is about, never from when it was told.
func (a *Alert) identify(origin string) {
	entry := int64(-1)
	if a.Entry != nil {
		entry = *a.Entry
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d %d", origin, a.Code, a.subject, a.Domain, a.Release, entry))
	a.ID = hex.EncodeToString(h[:16])
}

// key names a standing alert in the cursor.
func (a *Alert) key() string { return a.Code + " " + a.subject }

// Message is what one round delivers.
type Message struct {
	Mirror  string    `json:"mirror"`
	Origin  string    `json:"origin"`
	Release int64     `json:"release"` // the newest one known
	Size    int64     `json:"size"`    // entries of the log it stands in
	Time    time.Time `json:"time"`
	Alerts  []Alert   `json:"alerts"`
	More    int       `json:"more"` // alerts of this round beyond those
}
