package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// A trust version that names another origin begins another log: a folder of its own in the state, a first release that
// sets every entry again, and mirrors of its own. Tiles have the same names in every log and are immutable, in caches
// for a year; so the two logs cannot share a place without readers getting a mixture. The mirrors of the old log stay
// as they are but for the trust versions, which tell clients there that the old log has ended.

// ErrOtherLog means that a mirror holds an earlier log of this list.
var ErrOtherLog = mirror.ErrOtherLog

// codeRestart is the reason of an entry that is only written again.
const codeRestart = "log.restart"

// logFolder is the folder of the present log in the state: log for the list's first, log-<v> for the one that trust
// version v began.
func (p *Publisher) logFolder() (string, error) {
	versions := p.Trust.Versions()
	i := len(versions) - 1
	for i > 0 && versions[i-1].Origin == versions[i].Origin {
		i--
	}
	if i > 0 {
		return filepath.Join(p.State, fmt.Sprintf("log-%d", versions[i].Version)), nil
	}
	// Without the early versions nobody can tell which log is meant.
	later, err := filepath.Glob(filepath.Join(p.State, "log-*"))
	if err == nil && len(later) > 0 && versions[0].Version > 1 {
		err = fmt.Errorf("%w: %s belongs to a later log; put the trust versions before %d back into their folder", ErrState, later[0], versions[0].Version)
	}
	return filepath.Join(p.State, "log"), err
}

// inEarlierLog reports whether a release stands in a log that has ended.
func (p *Publisher) inEarlierLog(s Signed) bool { return s.leaf.Origin != p.Trust.Newest().Origin }

// superseded reports whether a release cannot be published as it is, because its trust version is not the newest any
// more: clients that see the newest take it for a lagging mirror's.
func (p *Publisher) superseded(s Signed) bool {
	return p.inEarlierLog(s) || !s.meta.Done && s.leaf.Trust < p.Trust.Newest().Version
}

// supersede makes such a release the base of the next one. In the present log it is appended, so that the next one can
// name it as its previous; it gets its proof in that one's tree. In an earlier log nothing is touched any more: a release
// that is unfinished there keeps its number all the same. It may have reached one mirror, and a client that holds it would
// take the new log's first release for an older one if that had its number. "Last valid + 1" is a rule within a log; a
// new log's first release only continues the numbers (schema/README.md).
func (p *Publisher) supersede(ctx context.Context, s Signed) (*Published, error) {
	if err := p.outbox.check(s.meta); err != nil {
		return nil, err
	}
	if !s.meta.Done {
		p.Log.Warn("a release was not completed under its trust version; the next one takes its place", "release", s.meta.Release, "trust", s.leaf.Trust)
	}
	if p.inEarlierLog(s) {
		// An engine elsewhere may still be set to the old log, whose leaves then stand in the new one's folder.
		if err := p.checkTail(ctx, s.meta.Release, 0); err != nil {
			folder, _ := p.logFolder()
			return nil, fmt.Errorf("the log %s is not new: give its engine an empty tree of its own, and remove %s: %w", p.Trust.Newest().Origin, folder, err)
		}
	} else if _, err := p.logEntries(ctx, &s); err != nil {
		return nil, err
	}
	s.entries = nil // nothing more is done with them
	return p.revive(Logged{Signed: s})
}

// changes are the change leaves of a plan. In the first release of a new log every entry is set, whether it changes or
// not, and nothing is deleted, since nothing is there.
func (p *Publisher) changes(plan Probed, last *Published) []mirror.ChangeLeaf {
	if last == nil || !p.inEarlierLog(last.Signed) {
		return plan.changes
	}
	reasons := map[policy.Domain]string{}
	for _, c := range plan.changes {
		reasons[c.Domain] = c.Reason
	}
	out := make([]mirror.ChangeLeaf, 0, plan.list.Len())
	for _, e := range plan.list.Entries() {
		reason, own := reasons[e.Domain]
		if !own {
			reason = codeRestart
		}
		out = append(out, mirror.ChangeLeaf{Domain: e.Domain, Policy: &e.Policy, Reason: reason})
	}
	return out
}

// otherLog says what to do about a mirror of an earlier log.
func (p *Publisher) otherLog(origin string) error {
	return fmt.Errorf("%w, %s; the log %s needs a mirror of its own: another folder, bucket or prefix", ErrOtherLog, origin, p.Trust.Newest().Origin)
}

// checkPlaces refuses to begin a new log when no configured mirror can take it.
func (p *Publisher) checkPlaces() error {
	var other []error
	for _, m := range p.Mirrors {
		err := p.away[m.Name]
		if !errors.Is(err, ErrOtherLog) {
			return nil
		}
		other = append(other, fmt.Errorf("mirror %s: %w", m.Name, err))
	}
	return errors.Join(other...)
}

// putTrust writes all trust versions to a mirror.
func (p *Publisher) putTrust(ctx context.Context, store mirror.Store) error {
	for _, t := range p.Trust.Versions() {
		if err := store.Create(ctx, mirror.NewObject(mirror.TrustPath(t.Version), t.Note())); err != nil {
			return err
		}
	}
	return nil
}
