// Package site makes a list's published pages. They are a function of what a mirror holds, once that has been verified,
// and of the little that only the operator knows; so anybody can build them from any mirror and gets the same bytes.
//
//	model, err := site.Read(ctx, mirror, chain, site.Extra{Cache: "state/site"})
//	report, err := site.Build(ctx, model, store, site.Options{})
//
// Read replays the log by mirror.Replay, the rules of clients: a mirror that they would not believe gives no site.
// Nothing in a page is from the clock: times are those of releases, and ages are counted by the reader's browser.
package site

import (
	"errors"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// ErrUnverified is what Read wraps when the mirror's content does not verify: then there is no site.
var ErrUnverified = errors.New("the mirror does not verify")

// Extra is what Read needs besides the mirror. Its zero value is enough.
type Extra struct {
	// Cache is a folder where the verified entries are kept for the next time, "" for none. What is there is believed
	// only when it leads to the signed root; else the log is read again from its first entry.
	Cache string
	// Pending is what "starttls-list pending --json" prints, nil where nobody said what is held.
	Pending []byte
	// Address is how commands on the pages name the mirror: an address of the web, without a password, or s3://bucket/prefix;
	// "" for ".", a copy of it in the present folder.
	Address string
	// Survey is the file of statistics that "starttls-list survey --stats" writes, nil where there is none.
	Survey []byte
	// Incidents are the files incidents/*.json of the list's source, sorted by path; nil where nobody gave the source.
	Incidents []policy.File
	// Repository is the https address of the list's Git repository, to which links for pull requests and issues lead; "" for
	// none.
	Repository string
	// TestDomain is the domain that the operator keeps broken, to test a set-up against; "" for none.
	TestDomain string
	// ProbeURL is where "site serve --probe" answers; "" where nobody probes for visitors.
	ProbeURL string
	// Explain gives the text of a code, from the table that the command line prints; nil looks it up in Codes.
	Explain func(code string) (policy.Code, bool)
	// Codes is that table, for the pages that explain all of it; nil has those of packages policy, gate and proof.
	Codes []policy.Code
}

// Model is all that the pages say.
type Model struct {
	Origin       string
	Trust        []*transparency.Trust // versions, from the one where belief began
	Checkpoint   transparency.Cosigned
	Cosignatures []Cosignature // of the newest version's witnesses, in its order
	Releases     []Release     // the valid ones, oldest first; at least one
	Domains      []Domain      // every domain that was ever listed in this log, sorted bytewise
	List         policy.List   // after the newest release
	Alarms       []Alarm       // entries without effect, at most 1,000
	MoreAlarms   int
	Evidence     Evidence
	Pending      *Pending // nil where nobody said
	Address      string

	extra     Extra             // with Codes and Explain set
	incidents []policy.Incident // newest first; nil where nobody said
	explain   func(string) (policy.Code, bool)
	survey    *survey // nil where there is none
	record    *record
	notes     map[int64]transparency.Cosigned // checkpoints of releases, by number

	maxPages, maxTwoDigits int // the constants of these names; tests have less
}

// Cosignature is a witness's word on the newest checkpoint.
type Cosignature struct {
	Name string
	Time time.Time // zero: it did not cosign this one
}

// Release is a valid release.
type Release struct {
	*mirror.ReleaseLeaf
	Index int64 // of its leaf
}

// Alarm is an entry that no valid release claims.
type Alarm struct {
	Index int64  `json:"index"`
	Why   string `json:"why"`
}

// Newest is the last valid release.
func (m *Model) Newest() Release { return m.Releases[len(m.Releases)-1] }

// Code explains a code. One that is in no table stands for itself: evidence may come from a later version.
func (m *Model) Code(id string) policy.Code {
	if c, ok := m.explain(id); ok {
		return c
	}
	return policy.Code{ID: id}
}
