package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

// siteConfig is [site] of policylist.toml.
type siteConfig struct {
	Enabled    bool   `toml:"enabled"`
	URL        string `toml:"url"`
	Repository string `toml:"repository"`
	Survey     string `toml:"survey"`
	TestDomain string `toml:"test-domain"`
	ProbeURL   string `toml:"probe-url"`
	TimeLimit  string `toml:"time-limit"`
}

// siteConfigText documents every key of [site].
const siteConfigText = `[site]
# Make the list's pages with each release, and put them on every mirror, below site/ and as index.html, which must not be
# another page's (mirror/site/README.md). What anybody else would build from the mirror is the same, but for what stands here.
# Pages that cannot be made or written stay as they were, with a warning (release.site): the list is published all the same.
enabled = false
# The address by which readers know the mirror, such as "https://list.example/": commands on the pages and links in feeds name
# it. With "" they are for a copy of the mirror in the reader's present folder.
url = ""
# The https address of the list's Git repository, to which the pages lead for pull requests. "" for none.
repository = ""
# Statistics as "starttls-list survey --stats" writes them, for the page of statistics. "" for none; a file that is missing
# is one that is not there yet.
survey = ""
# A domain of yours that is listed as enforce and broken on purpose, for people to try their set-up with: its MX host shows a
# certificate for another name (mirror/site/README.md). It counts as one of the canaries of [tlsrpt], so that it is taken
# by its owner's proof alone, and never demoted. "" for none.
test-domain = ""
# Where "starttls-list site serve --probe" of yours answers, such as "https://probe.list.example/". "" for nowhere.
probe-url = ""
# How long the pages may keep one mirror waiting, 10s to 1h, and no longer than half of lease-term. "" for 2m.
time-limit = ""
`

// Less is no time for a store far away; more is most of the time between two releases.
const (
	minSiteLimit = 10 * time.Second
	maxSiteLimit = time.Hour
)

// checkSite judges what is set, whether pages are made or not.
func (c *config) checkSite() error {
	s := c.Site
	for _, u := range []struct{ key, value string }{{"url", s.URL}, {"probe-url", s.ProbeURL}} {
		if u.value == "" {
			continue
		}
		if parsed, err := url.Parse(u.value); err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil {
			return fmt.Errorf("[site] %s: %q is no address of the web, such as https://list.example/", u.key, u.value)
		}
	}
	if err := (site.Extra{Address: s.URL, Repository: s.Repository, TestDomain: s.TestDomain}).Check(); err != nil {
		return fmt.Errorf("[site] %w", err)
	}
	_, err := s.limit()
	return err
}

func (s siteConfig) limit() (time.Duration, error) {
	if s.TimeLimit == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s.TimeLimit)
	if err != nil || d < minSiteLimit || d > maxSiteLimit {
		return 0, fmt.Errorf("[site] time-limit: %q is not between %v and %v, such as 2m", s.TimeLimit, minSiteLimit, maxSiteLimit)
	}
	return d, nil
}

// site is what a publisher has to know to make pages, nil for none. Files are read when they are needed: a survey that is
// damaged keeps the pages as they are, and the list from nothing.
func (c *config) site() (*pipeline.Site, error) {
	if !c.Site.Enabled {
		return nil, nil
	}
	limit, err := c.Site.limit()
	if err != nil {
		return nil, err
	}
	return &pipeline.Site{Extra: c.siteExtra, Limit: limit}, nil
}

func (c *config) siteExtra(context.Context) (site.Extra, error) {
	s := c.Site
	extra := site.Extra{Address: s.URL, Repository: s.Repository, TestDomain: s.TestDomain, ProbeURL: s.ProbeURL, Codes: codes()}
	info, err := os.Stat(c.path(c.Source))
	if err == nil && info.IsDir() { // a list in one file has no place for them
		extra.Incidents, err = pipeline.Incidents(c.path(c.Source))
	}
	if err != nil {
		return extra, err
	}
	if s.Survey != "" {
		extra.Survey, err = readFile(c.path(s.Survey), survey.MaxReport)
		if errors.Is(err, fs.ErrNotExist) {
			extra.Survey, err = nil, nil
		}
	}
	return extra, err
}
