package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency"
)

const trustShowLong = `Show tells what a trust version says, in words: its fingerprint (the SHA-256 of its text, which people compare), its keys
with theirs (SHA-256 of the SubjectPublicKeyInfo), thresholds and expiry, who has signed it, what is missing, and what
it changes against the version before.

The version is a FILE (a draft as well; the version before is looked for beside it), or the newest one of a folder DIR
or of a mirror's URL, unless --version names another. Of a mirror only what its own first version leads to is shown:
compare that fingerprint with one that you know.

Exit codes: 0 complete and valid, 1 signatures are missing or it has expired, 3 usage, 4 internal.`

const trustShowExample = `  $ starttls-list trust show mylist/trust
  trust version 1 of list.operator.example/2026
    fingerprint  …
    expires      … (in 365 days)
    root keys    1 of 1 must sign a version
      list.operator.example.2026.root  …  signed
    release keys 1 of 1 must sign a release
      ecdsa-p256  …
    log key
      list.operator.example/2026  …
    witnesses    none: checkpoints are not witnessed
  complete: 1 of 1 root keys have signed`

func newTrustShowCommand() *cobra.Command {
	var version int64
	var asJSON bool
	c := &cobra.Command{
		Use: "show [FILE|DIR|URL]", Short: "tells what a version says, who signed it and what it changes", Long: trustShowLong,
		Example: trustShowExample, Args: term.Arguments(0, 1, usage),
		RunE: func(c *cobra.Command, args []string) error {
			place := pipeline.TrustDir
			if len(args) == 1 {
				place = args[0]
			}
			return showTrust(c, place, version, asJSON)
		},
	}
	c.Flags().Int64Var(&version, "version", 0, "the version to show instead of the newest")
	c.Flags().BoolVar(&asJSON, "json", false, "print the version as JSON")
	return c
}

func showTrust(c *cobra.Command, place string, version int64, asJSON bool) error {
	t, before, err := findVersion(c.Context(), place, version)
	if err != nil {
		return trustExit(err)
	}
	report := describeTrust(t, before, time.Now())
	report.File = place
	if asJSON {
		err = printTrustJSON(c, report)
	} else {
		printTrust(c.OutOrStdout(), report)
		fmt.Fprintln(c.OutOrStdout(), report.verdict())
	}
	if err == nil && (!report.Complete || report.Expired) {
		return &term.Exit{Code: exitFail}
	}
	return err
}

// findVersion returns a version and the one before it, nil when that is not there.
func findVersion(ctx context.Context, place string, version int64) (t, before *transparency.Trust, err error) {
	info, errStat := os.Stat(place)
	if errStat == nil && !info.IsDir() {
		return readVersion(place, version)
	}
	chain, err := readChain(ctx, place, errStat == nil)
	if err != nil {
		return nil, nil, err
	}
	if version == 0 {
		version = chain.Newest().Version
	}
	if t, err = chain.Version(version); err != nil {
		return nil, nil, err
	}
	if version > chain.Versions()[0].Version {
		before, err = chain.Version(version - 1)
	}
	return t, before, err
}

// readVersion reads a file, and the published version before it from the same folder.
func readVersion(path string, version int64) (t, before *transparency.Trust, err error) {
	if t, err = pipeline.ReadTrustFile(path); err != nil {
		return nil, nil, err
	}
	if version != 0 && version != t.Version {
		return nil, nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s is version %d", path, t.Version)}
	}
	before, err = pipeline.ReadTrustFile(filepath.Join(filepath.Dir(path), strconv.FormatInt(t.Version-1, 10)))
	if mirror.IsAbsent(err) {
		return t, nil, nil
	}
	return t, before, err
}

// readChain reads all versions of an operator's folder, or of a mirror. A mirror's folder has a folder of trust
// versions in it.
func readChain(ctx context.Context, place string, folder bool) (*transparency.TrustChain, error) {
	if info, err := os.Stat(filepath.Join(place, pipeline.TrustDir)); folder && (err != nil || !info.IsDir()) {
		chain, err := mirror.ReadTrust(place)
		if err != nil {
			err = &term.Exit{Code: exitUsage, Err: err}
		}
		return chain, err
	}
	r, err := openReader(ctx, place)
	if err != nil {
		return nil, err
	}
	chain, err := mirror.FindTrust(ctx, r, nil)
	if mirror.IsAbsent(err) {
		return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s is no mirror: it has no trust versions", place)}
	}
	if err != nil {
		return nil, err
	}
	return chain, mirror.FollowTrust(ctx, r, chain, func(*transparency.Trust) error { return nil })
}
