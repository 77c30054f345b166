package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/transparency"
)

const siteLong = `Site makes a list's pages from any mirror of it, shows them, and handles the proofs that they offer. The pages are made
from what the mirror's log proves, so that whoever builds them gets the same ones. mirror/site/README.md in the sources
says what is where.

Exit codes: 0 done; each command's help says what its others mean.`

func newSiteCommand() *cobra.Command {
	c := term.Group(&cobra.Command{
		Use: "site", Short: "makes and shows the pages of a list, and verifies their proofs", Long: siteLong,
	}, usage)
	c.Example = siteBuildExample
	c.AddCommand(newSiteBuildCommand(), newSiteServeCommand(), newSiteProveCommand(), newSiteVerifyCommand())
	return c
}

// siteSource are the flags that say which mirror is read, and whom to believe about it.
type siteSource struct{ mirror, trust, fingerprint, cache string }

func (s *siteSource) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.mirror, "mirror", "", "mirror to read: https://…, a folder or s3://bucket/prefix")
	c.Flags().StringVar(&s.trust, "trust", "", "file with the signed trust version to start from")
	c.Flags().StringVar(&s.fingerprint, "fingerprint", "", "instead of --trust: SHA-256 of the text of a trust version on the mirror, in hex")
}

// open opens the mirror and finds where belief begins.
func (s *siteSource) open(c *cobra.Command) (mirror.Reader, *transparency.TrustChain, error) {
	switch {
	case s.mirror == "":
		return nil, nil, usage(c, errors.New("it needs --mirror"))
	case s.trust == "" && s.fingerprint == "":
		return nil, nil, usage(c, errors.New("it needs --trust or --fingerprint: what the mirror itself serves proves nothing"))
	}
	reader, err := openReader(c.Context(), s.mirror)
	if err != nil {
		return nil, nil, err
	}
	chain, err := mirrorTrust(c, reader, nil, mirrorFlags{trust: s.trust, fingerprint: s.fingerprint})
	return reader, chain, err
}

// read makes the site's model.
func (s *siteSource) read(c *cobra.Command, extra site.Extra) (*site.Model, error) {
	reader, chain, err := s.open(c)
	if err != nil {
		return nil, err
	}
	extra.Cache, extra.Codes = s.cache, codes()
	m, err := site.Read(c.Context(), reader, chain, extra)
	return m, siteExit(err)
}

func siteExit(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, site.ErrUnverified):
		return &term.Exit{Code: exitFail, Err: err, Hint: "starttls-list audit says what else is wrong with this mirror"}
	case errors.Is(err, site.ErrProof):
		return &term.Exit{Code: exitFail, Err: err, Hint: "the page or the mirror that the file is from says something that the list's log does not"}
	case errors.Is(err, site.ErrNeverListed):
		return &term.Exit{Code: exitFail, Err: err, Hint: "names are looked up in A-labels, as the list has them"}
	case errors.Is(err, site.ErrExtra):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "put right what it names: pending --json and survey --stats write such files, check judges incidents, and --url is for a mirror that is read by another address"}
	case errors.Is(err, site.ErrBusy):
		return &term.Exit{Code: exitInternal, Err: err, Hint: "wait for the other build, which may be a release's, and run it again"}
	case errors.Is(err, site.ErrOccupied):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "give another --out, or --full to replace it"}
	case errors.Is(err, audit.ErrUnreachable), errors.Is(err, context.Canceled):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "nothing was decided: run it again"}
	}
	return &term.Exit{Code: exitInternal, Err: err}
}
