package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

const siteBuildLong = `Build replays the log of a mirror by the rules of clients and writes the list's pages, feeds and status API to DIR/site, and
a home page to DIR. A mirror that does not verify gives no site. What DIR has already is not written again, and what is no
part of the site any more is deleted; DIR may be the mirror's own folder, or s3://bucket/prefix. With --cache the next build
reads only what the mirror has got since; a damaged cache costs time and changes nothing.

--url is the address by which readers know the mirror; commands on the pages and links in feeds name it. --pending is a
file as "pending --json" prints it; without it the pages say that what is held is not told. --survey is a file as "survey
--stats" writes it, which the statistics tell beside those of the list. --source is the list's directory,
whose folder incidents tells what went wrong. --repository is where its Git repository is, for links; --test-domain is a listed
domain that is broken on purpose; --probe-url is where a "site serve --probe" of yours answers.

Exit codes: 0 done, 1 the mirror does not verify, 2 it could not be read, 3 wrong usage, 4 the site could not be written, or
another internal error.`

const siteBuildExample = `  $ starttls-list site build --mirror public --trust trust/1 --out public
  public: release 1, 5 domains: … objects, … written, 0 deleted
  $ starttls-list site build --mirror public --trust trust/1 --out public
  public: release 1, 5 domains: … objects, 0 written, 0 deleted`

type siteBuildFlags struct {
	siteSource
	out, pending, survey, url string

	source, repository, testDomain, probeURL string
	full, json                               bool
}

func newSiteBuildCommand() *cobra.Command {
	var f siteBuildFlags
	c := &cobra.Command{
		Use: "build --mirror URL --trust FILE --out DIR", Short: "writes a list's pages, feeds and status API", Long: siteBuildLong, Example: siteBuildExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return runSiteBuild(c, f) },
	}
	f.flags(c)
	c.Flags().StringVar(&f.out, "out", "", "where to write: a folder or s3://bucket/prefix")
	c.Flags().StringVar(&f.cache, "cache", "", "folder that keeps what was read, for the next build")
	c.Flags().StringVar(&f.pending, "pending", "", "file with what \"pending --json\" printed")
	c.Flags().StringVar(&f.survey, "survey", "", "file of statistics that \"survey --stats\" wrote")
	c.Flags().StringVar(&f.url, "url", "", "address of the mirror for readers, where it is not read by that")
	c.Flags().StringVar(&f.source, "source", "", "directory of the list's source, for its incidents")
	c.Flags().StringVar(&f.repository, "repository", "", "https address of the list's Git repository")
	c.Flags().StringVar(&f.testDomain, "test-domain", "", "domain that is listed and broken on purpose, to test against")
	c.Flags().StringVar(&f.probeURL, "probe-url", "", "address at which site serve --probe looks at domains for visitors")
	c.Flags().BoolVar(&f.full, "full", false, "write every object, whatever is there already")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

// maxPending bounds the operator's own document: some KiB for each of a million held domains would be more.
const maxPending = 1 << 30

// siteFile reads a document of the operator's, nil for none.
func siteFile(path string, limit int64, hint string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readFile(path, limit)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: hint}
	}
	return data, nil
}

func runSiteBuild(c *cobra.Command, f siteBuildFlags) error {
	if f.out == "" {
		return usage(c, errors.New("it needs --out"))
	}
	extra := site.Extra{Address: f.url, Repository: f.repository, TestDomain: f.testDomain, ProbeURL: f.probeURL}
	if scheme, _, err := splitReference(f.mirror); err == nil && f.url == "" && scheme != "file" {
		extra.Address = f.mirror // a folder's name is nobody else's business
	}
	var err error
	if extra.Pending, err = siteFile(f.pending, maxPending, "give what starttls-list pending --json prints"); err != nil {
		return err
	}
	if extra.Survey, err = siteFile(f.survey, survey.MaxReport, "give what starttls-list survey --stats writes"); err != nil {
		return err
	}
	if f.source != "" {
		files, err := pipeline.Incidents(f.source)
		if err != nil {
			return &term.Exit{Code: exitUsage, Err: err, Hint: "give the list's directory, with list.json"}
		}
		extra.Incidents = files
	}
	m, err := f.read(c, extra)
	if err != nil {
		return err
	}
	sink, err := openStore(c.Context(), f.out)
	if err != nil {
		return err
	}
	if closer, ok := sink.(io.Closer); ok {
		defer closer.Close()
	}
	bar := newProgress(c.ErrOrStderr())
	report, err := site.Build(c.Context(), m, sink, site.Options{Full: f.full, Progress: bar.show})
	bar.end()
	if err != nil {
		return siteExit(err)
	}
	if f.json {
		return json.NewEncoder(c.OutOrStdout()).Encode(report)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: release %d, %s: %s, %d written, %d deleted\n", term.Escape(f.out), report.Release,
		term.Plural(report.Domains, "domain"), term.Plural(report.Objects, "object"), report.Written, report.Deleted)
	return err
}
