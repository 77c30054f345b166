package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// Wish is what somebody wants of a list for a domain.
type Wish struct {
	Domain policy.Domain
	Kind   proof.Kind         // an entry, none (proof.Remove), or testing at once (proof.Emergency)
	Mode   policy.Mode        // of the entry; 0: as it is listed, testing for a new one
	MXs    []policy.MXPattern // of the entry; nil: what MTA-STS says, else the MX records
}

// Way is how an owner's word reaches the list.
type Way string

const (
	WaySTS   Way = "mta-sts"           // the MTA-STS policy is enough
	WayBoth  Way = "mta-sts and proof" // it does not live long enough to be so
	WayProof Way = "proof"             // the record in the DNS
)

// Proposal is what becomes of a wish.
type Proposal struct {
	Domain policy.Domain
	Kind   proof.Kind
	Listed *policy.SourceEntry // what the source says now, nil: nothing
	Entry  *policy.Policy      // what it would say; nil unless Kind is an entry
	Way    Way
	Why    string        // of the way
	Record *proof.Record // what to publish; nil where MTA-STS is enough
	Draft  *Draft        // nil when no file changes
	Today  gate.Outcome  // what the gate says, if all vantages see what was seen, and mail arrives
	Agreed gate.Outcome  // the same, once the record stands
}

// ErrNoEntryPossible says that a domain publishes nothing that an entry could be made of.
var ErrNoEntryPossible = errors.New("no entry can be made")

// ErrNothingSeen says that the lookup of a domain's MX records failed: what an entry would say nobody knows.
var ErrNothingSeen = errors.New("the MX records could not be looked up")

// ErrNothingToPropose says that the source says already what is wished.
var ErrNothingToPropose = errors.New("the list says so already")

// Propose works out how a wish becomes an entry of source, "" for a list that is not at hand. It writes nothing. Where the
// source has the entry already, the error wraps ErrNothingToPropose, and the proposal has the record that asks for it: one
// that expires while the entry waits has to be renewed, and a new owner vouches by it.
func Propose(ctx context.Context, source string, w Wish, s Sighted) (*Proposal, error) {
	p := &Proposal{Domain: w.Domain, Kind: w.Kind}
	checked := Checked{source: &policy.Source{}}
	var err error
	if source != "" {
		if checked, err = checkedFor(ctx, source); err != nil {
			return nil, err
		}
		if e, ok := checked.source.Lookup(w.Domain); ok {
			p.Listed = &e
		}
	}
	ch := policy.SourceChange{Change: policy.Change{Domain: w.Domain}}
	if p.Listed != nil {
		ch.Old = &p.Listed.Policy
	}
	switch {
	case w.Kind == proof.Change:
		ch, checked, err = p.entry(ctx, source, w, s, ch, checked)
		if errors.Is(err, ErrNothingToPropose) {
			p.Way = WayProof
			p.record(s)
			return p, err
		}
		if err != nil {
			return nil, err
		}
	case p.Listed == nil && source != "":
		return nil, fmt.Errorf("%w: %s is not listed", ErrNothingToPropose, w.Domain)
	case w.Kind == proof.Emergency:
		p.Way, ch.New = WayProof, ch.Old
	default:
		p.Way = WayProof
	}
	p.record(s)
	if ch.Old != nil || ch.New != nil {
		p.Today = Preview(checked, ch, s)
		if p.Record != nil {
			s.Proof = discovery.Proof{Reading: proof.Reading{Record: *p.Record, Status: proof.OK}}
		}
		p.Agreed = Preview(checked, ch, s)
	}
	return p, nil
}

// entry makes the entry and the file.
func (p *Proposal) entry(ctx context.Context, source string, w Wish, s Sighted, ch policy.SourceChange, c Checked) (policy.SourceChange, Checked, error) {
	entry, err := entryFor(w, s, p.Listed)
	if err != nil {
		return ch, c, err
	}
	p.Entry, ch.New = &entry, &entry
	managed := p.way(s)
	if p.Listed != nil && p.Listed.Policy.Equal(entry) && p.Listed.ManagedBy == managed {
		return ch, c, fmt.Errorf("%w: %s is %s", ErrNothingToPropose, w.Domain, entry.AppendJSON(nil))
	}
	edits := []policy.SourceEdit{{Domain: w.Domain, Policy: &entry, Managed: managed, Add: p.Listed == nil}}
	switch {
	case source == "":
		p.Draft, err = loose(w.Domain, edits)
	case p.Listed == nil:
		p.Draft, err = DraftFile(ctx, source, w.Domain.String(), edits)
	default:
		p.Draft, err = DraftChange(ctx, source, edits)
	}
	if err != nil {
		return ch, c, err
	}
	for _, x := range p.Draft.Changes {
		if x.Domain == w.Domain {
			ch = x
		}
	}
	return ch, p.Draft.After, nil
}

// loose is a fragment for a list that is not at hand: a source of that fragment alone.
func loose(d policy.Domain, edits []policy.SourceEdit) (*Draft, error) {
	file := policy.File{Path: fileName(d.String()), Data: []byte(policy.EmptyFragment)}
	data, err := policy.EditFragment(file, edits)
	if err != nil {
		return nil, err
	}
	file.Data = data
	after := join(policy.Settings{LifetimeDays: policy.DefaultLifetimeDays}, nil, []*policy.Fragment{policy.ParseFragment(file)})
	return &Draft{Path: file.Path, Data: data, New: true, Findings: after.findings, After: after}, nil
}

// entryFor is the entry that fits the wish and what the domain publishes.
func entryFor(w Wish, s Sighted, listed *policy.SourceEntry) (policy.Policy, error) {
	mode, mxs := w.Mode, w.MXs
	if mode == 0 {
		if mode = policy.Testing; listed != nil {
			mode = listed.Policy.Mode
		}
	}
	if mxs == nil {
		if mxs = s.bindingMXs(); mxs == nil {
			mxs = s.routeMXs()
		}
		if listed != nil && policy.SameHosts(mxs, listed.Policy.MXs) {
			mxs = listed.Policy.MXs // however they are spelt
		}
	}
	if len(mxs) == 0 && s.Route.Kind == discovery.RouteUnknown {
		return policy.Policy{}, fmt.Errorf("%s: %w", w.Domain, ErrNothingSeen)
	}
	if len(mxs) == 0 {
		return policy.Policy{}, fmt.Errorf("%w: %s has no MX host with a usable name (%s)", ErrNoEntryPossible, w.Domain, s.Route.Kind)
	}
	p, err := policy.NewPolicy(mode, mxs)
	if err != nil {
		return p, fmt.Errorf("%w: %w; name patterns that cover them", ErrNoEntryPossible, err)
	}
	return p, nil
}

// bindingMXs are those of an MTA-STS policy that senders act on, nil for none.
func (s Sighted) bindingMXs() []policy.MXPattern {
	if p := s.STS.Policy; s.STS.Status == discovery.STSOK && (p.Mode == mtasts.Enforce || p.Mode == mtasts.Testing) {
		return p.MXs
	}
	return nil
}

// routeMXs are the names of the MX hosts. Those below .invalid exist to be unreachable.
func (s Sighted) routeMXs() (mxs []policy.MXPattern) {
	for _, h := range s.Route.Hosts {
		if h.Flaw != "" || strings.HasSuffix(h.Domain.String(), ".invalid") {
			continue
		}
		if m, err := policy.ParseMXPattern(h.Domain.String()); err == nil {
			mxs = append(mxs, m)
		}
	}
	return mxs
}

// way decides how the owner's word reaches the list, and so who manages the entry (rule R31).
func (p *Proposal) way(s Sighted) policy.ManagedBy {
	p.Way, p.Why = WayProof, "there is no valid MTA-STS policy in mode testing or enforce"
	mxs := s.bindingMXs()
	switch track := s.STS.Policy.Track(); {
	case s.STS.Status == discovery.STSRecordFailed || s.STS.Status == discovery.STSFetchDNS:
		p.Why = "whether there is an MTA-STS policy could not be looked up"
	case mxs == nil:
	case !policy.SameHosts(mxs, p.Entry.MXs):
		p.Why = "the MTA-STS policy allows other hosts than the entry would"
	case track == mtasts.TrackNone:
		p.Why = "the MTA-STS policy's max_age is less than a day"
	case p.Listed != nil && p.Listed.ManagedBy == policy.ManagedByOwner:
		p.Why = "the entry is managed by its owner"
	case track == mtasts.TrackProof:
		p.Way, p.Why = WayBoth, "the MTA-STS policy's max_age is less than 18 weeks (10886400 seconds)"
		return policy.ManagedByMTASTS
	default:
		p.Way, p.Why = WaySTS, "the MTA-STS policy is valid and its max_age is at least 18 weeks"
		return policy.ManagedByMTASTS
	}
	return policy.ManagedByOwner
}

// record is what the owner publishes, if anything.
func (p *Proposal) record(s Sighted) {
	r := proof.For(policy.Policy{}, s.At.AddDate(0, 0, ProofDays))
	switch {
	case p.Way == WaySTS:
		return
	case p.Kind == proof.Change:
		r = proof.For(*p.Entry, s.At.AddDate(0, 0, ProofDays))
	default:
		r = proof.Record{Kind: p.Kind, Expires: r.Expires}
	}
	p.Record = &r
}

// ProofDays is how long a printed proof lives: the longest row of the change table is 28 days, the most is proof.MaxDays.
const ProofDays = 45
