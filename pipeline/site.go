package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Site has each release bring the list's pages along (package site): written on every mirror after what the release is
// referred to by, and before policy.json and the pointers, so that whoever follows a page finds what it names.
//
// Nothing rests on pages, so nothing waits for them: where they cannot be made or written in time, the mirror keeps those
// that it has, in part the new ones, and gets the release all the same. The site's own manifest tells the next release
// what is missing.
type Site struct {
	// Extra is what only the operator knows, asked for at each release; Cache and Pending are the publisher's to say.
	Extra func(ctx context.Context) (site.Extra, error)
	// Limit is how long the pages may keep one mirror waiting; 0 for DefaultSiteLimit.
	Limit time.Duration
}

// DefaultSiteLimit is enough to write the first site of a large list to a slow store, and short beside the hours between two
// releases.
const DefaultSiteLimit = 2 * time.Minute

// SiteResult says how the pages of a release went on one mirror.
type SiteResult struct {
	site.Report
	Err error
}

// codeSite is of a release whose pages are missing or old on a mirror.
const codeSite = "release.site"

func siteCodes() []policy.Code {
	return []policy.Code{{ID: codeSite, Severity: policy.Warning, Summary: "a mirror has the release without its pages",
		Fix: "nothing, if the next release writes them; else look at what the finding says, at time-limit in [site], and whether something else writes below site/ there"}}
}

// pages are those of one release, made once for all mirrors.
type pages struct{ made *site.Site }

// putSite writes the pages to a mirror, nil where none are wanted. Two runs that both think that they publish would mix
// their pages, so the lease is looked at before, and outlasts what the pages may take.
func (p *Publisher) putSite(ctx context.Context, m Target, l Logged, s *pages) (*SiteResult, error) {
	if p.Site == nil {
		return nil, nil
	}
	if err := p.fence(ctx); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, p.siteLimit())
	defer cancel()
	out := &SiteResult{}
	if out.Err = p.makeSite(limited, m, l, s); out.Err == nil {
		out.Report, out.Err = s.made.Write(limited, m.Store, site.Options{})
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if limited.Err() != nil && out.Err != nil {
		out.Err = fmt.Errorf("after %s: %w", p.siteLimit(), out.Err)
	}
	return out, nil
}

func (p *Publisher) siteLimit() time.Duration {
	limit := p.Site.Limit
	if limit <= 0 {
		limit = DefaultSiteLimit
	}
	if p.Vault != nil { // half of the term is left after each look at the lease
		limit = min(limit, p.Vault.term()/2)
	}
	return limit
}

// makeSite reads what the mirrors are about to hold, by the rules of anybody who builds the site from one of them. A fault
// in that must not keep a list from being renewed, whatever it is.
func (p *Publisher) makeSite(ctx context.Context, m Target, l Logged, s *pages) (err error) {
	if s.made != nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var extra site.Extra
	if p.Site.Extra != nil {
		if extra, err = p.Site.Extra(ctx); err != nil {
			return err
		}
	}
	if extra.Pending, err = p.outbox.read(l.meta, outPending); err != nil {
		return err
	}
	extra.Cache = filepath.Join(p.State, siteCacheDir)
	chain, err := transparency.NewTrustChain(p.Trust.Versions()[0]) // reading adds what follows
	if err != nil {
		return err
	}
	model, err := site.Read(ctx, upcoming{p, l, m.Store}, chain, extra)
	if err != nil {
		return err
	}
	s.made, err = site.New(model)
	return err
}

// siteCacheDir is the folder of the state that keeps what the site was made from.
const siteCacheDir = "site"

// upcoming reads a mirror as it will be once the release is on it: the pointers of the release, and what the publisher has
// itself, rather than the mirror's.
type upcoming struct {
	p *Publisher
	l Logged
	mirror.Reader
}

// Get implements mirror.Reader.
func (u upcoming) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := u.own(path)
	switch {
	case err != nil:
		return nil, err
	case data == nil:
		return u.Reader.Get(ctx, path, limit)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s has %d bytes: %w", path, len(data), mirror.ErrTooLarge)
	}
	return data, nil
}

// own is what the publisher itself has of a path, nil for nothing.
func (u upcoming) own(path string) ([]byte, error) {
	switch {
	case path == mirror.PointerPath, path == mirror.ReleasePath(u.l.meta.Release):
		return u.l.proof, nil
	case path == mirror.CheckpointPath:
		return u.l.checkpoint, nil
	case u.l.leaf.Evidence != nil && path == mirror.EvidencePath(*u.l.leaf.Evidence):
		return u.p.outbox.read(u.l.meta, outEvidence)
	case strings.HasPrefix(path, "trust/"):
		for _, t := range u.p.Trust.Versions() {
			if path == mirror.TrustPath(t.Version) {
				return t.Note(), nil
			}
		}
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist) // a version that the publisher does not know is no part of this release
	case strings.HasPrefix(path, "tile/"):
		return u.p.log.ReadFile(path)
	}
	return nil, nil
}

// siteFindings tells where pages are missing.
func (p *Published) siteFindings() []policy.Finding {
	var out []policy.Finding
	for _, m := range p.Mirrors {
		if m.Site == nil || m.Site.Err == nil {
			continue
		}
		c := siteCodes()[0]
		why := m.Site.Err.Error()
		if errors.Is(m.Site.Err, context.DeadlineExceeded) {
			why = "its time was up"
		}
		out = append(out, policy.Finding{Code: c.ID, Severity: c.Severity, Summary: fmt.Sprintf("mirror %s: %s: %s", m.Name, c.Summary, why), Fix: c.Fix})
	}
	return out
}
