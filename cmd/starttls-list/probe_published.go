package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// publishedDeadline bounds the fetch of the published list. A scan takes hours, so it can wait a little for what it is of.
const publishedDeadline = 5 * time.Minute

// checkPublished refuses --published and --trust where they do not fit.
func (f *probeFlags) checkPublished() error {
	switch {
	case (f.published != "") != (f.trust != ""):
		return errors.New("--published and --trust belong together: what a mirror itself serves proves nothing")
	case f.published != "" && !f.all:
		return errors.New("--published adds what is listed to --all SOURCE")
	}
	return nil
}

// withPublished adds what is listed and no longer in the source. Its owner's wish to leave, or a failure that only a look
// shows, would else be seen by nobody until somebody puts it back. Where the list cannot be had the scan is of the source
// alone, and says so: the release that takes its evidence counts what is missing.
func (f *probeFlags) withPublished(c *cobra.Command, targets []probe.Target) ([]probe.Target, error) {
	if f.published == "" {
		return targets, nil
	}
	trust, err := readTrustFile(f.trust)
	if err != nil {
		return nil, err
	}
	listed, err := publishedEntries(c.Context(), f.published, trust)
	var exit *term.Exit
	switch {
	case c.Context().Err() != nil:
		return nil, c.Context().Err()
	case errors.As(err, &exit) && !errors.Is(err, fs.ErrNotExist): // a folder comes with the first release
		return nil, err
	case err != nil:
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: the published list could not be read, so domains that the source dropped are not looked at: %s\n",
			term.Lines(err.Error(), "  "))
		return targets, nil
	}
	return union(targets, listed), nil
}

// union is all targets, and the entries for other domains; sorted by domain.
func union(targets []probe.Target, listed []policy.Entry) []probe.Target {
	known := make(map[policy.Domain]bool, len(targets))
	for _, t := range targets {
		known[t.Domain] = true
	}
	for _, e := range listed {
		if !known[e.Domain] {
			targets = append(targets, probe.Target{Domain: e.Domain, Policy: e.Policy})
		}
	}
	slices.SortFunc(targets, func(a, b probe.Target) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	return targets
}

// publishedEntries fetches the newest list of a mirror as a client that has nothing yet, and verifies it as one. A list
// that has expired counts: whoever publishes it wants to renew it.
func publishedEntries(ctx context.Context, ref string, trust *transparency.Trust) ([]policy.Entry, error) {
	reader, err := openReader(ctx, ref)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "policylist-published-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, mirror.TrustPath(trust.Version))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, trust.Note(), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishedDeadline)
	defer cancel()
	client := mirror.Client{
		Dir: folder, Sources: []mirror.Source{{Name: ref, Reader: reader}}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Method: mirror.Snapshot, KeepStale: true,
	}
	got, err := client.Update(ctx)
	if err != nil {
		if len(got.Problems) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(got.Problems, "; "))
		}
		return nil, err
	}
	return got.List.Entries(), nil
}
