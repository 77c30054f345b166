package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
)

// checkFeedback judges canaries in [tlsrpt]; the folders may come later.
func (c *config) checkFeedback() error {
	for _, name := range c.TLSRPT.Canaries {
		if _, err := policy.ParseDomain(name); err != nil {
			return fmt.Errorf("[tlsrpt] canaries: %w", err)
		}
	}
	if t := c.TLSRPT; t.State != "" && t.Tables != "" && !c.knowsList() {
		return errors.New("[tlsrpt] tables: there is neither list nor source, so nobody knows whom tables may tell of")
	}
	return nil
}

// canaries are names that checkFeedback took, and the domain that people test their set-up against: that is broken on purpose, too,
// and would be demoted otherwise.
func (c *config) canaries() (out []policy.Domain) {
	for _, name := range append(slices.Clone(c.TLSRPT.Canaries), c.Site.TestDomain) {
		if d, err := policy.ParseDomain(name); err == nil {
			out = append(out, d)
		}
	}
	return out
}

// setFeedback tells a publisher where the tables are, and which domains are canaries.
func (c *config) setFeedback(p *pipeline.Publisher) {
	if p.Gate != nil {
		p.Gate.Canaries = map[policy.Domain]bool{}
		for _, d := range c.canaries() {
			p.Gate.Canaries[d] = true
		}
	}
	if c.TLSRPT.Tables == "" {
		return
	}
	p.Feedback = func() ([]byte, error) {
		folder := c.path(c.TLSRPT.Tables)
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no folder %s", folder) // no table yet is another thing than none to be found
		}
		_, data, err := tlsrpt.NewestTable(folder)
		return data, err
	}
}

// knowsList reports whether the configuration says what is listed.
func (c *config) knowsList() bool { return c.TLSRPT.List != "" || c.Source != "" }

// listed is the list that reports are held against.
func (c *config) listed(ctx context.Context) (cells.Listed, error) {
	if !c.knowsList() {
		return nil, errors.New("[tlsrpt] list is not set, and there is no source: nobody can say what is listed")
	}
	if c.TLSRPT.List == "" {
		checked, err := pipeline.Check(ctx, c.path(c.Source))
		if err != nil {
			return nil, fmt.Errorf("[tlsrpt] list is not set, and source: %w", err)
		}
		return cells.ListOf(checked.Entries()), nil
	}
	data, err := readFile(c.path(c.TLSRPT.List), mirror.MaxListBytes)
	if err != nil {
		return nil, fmt.Errorf("[tlsrpt] list: %w", err)
	}
	_, list, err := policy.ParseList(data)
	if err != nil {
		return nil, fmt.Errorf("[tlsrpt] list: %s: %w", c.TLSRPT.List, err)
	}
	return cells.ListOf(list.Entries()), nil
}

// daily is what tlsrpt serve does once a day: it makes tables, where they have a folder, and logs alerts. Neither names who
// reported.
func (c *config) daily(ctx context.Context, store *tlsrpt.Store, log *slog.Logger) error {
	listed, err := c.listed(ctx)
	if err != nil {
		return err
	}
	if c.TLSRPT.Tables != "" {
		made, err := store.MakeTables(ctx, c.path(c.TLSRPT.Tables), listed)
		for _, t := range made {
			log.Info("table of feedback", "from", t.Week.String(), "domains", len(t.Domains), "providers", len(t.Providers))
		}
		if err != nil {
			return err
		}
	}
	alerts, err := store.Alerts(ctx, listed)
	for _, a := range alerts {
		log.Warn("feedback", "code", a.Code, "domain", a.Domain, "what", a.Summary)
	}
	return err
}
