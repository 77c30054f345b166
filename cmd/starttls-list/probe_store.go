package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

const storeLong = `Store puts evidence, as "probe --out" writes it, where a release looks for it: a folder or a private s3://bucket/prefix,
the [probe] evidence of the publisher's configuration. It is read to its end first: whole, signed by the key that list.json
of --source has for its vantage, and no older than --max-age. It is compressed, keeps its name and replaces what had it, so
a vantage, or each of its shards, has one file there. Nobody but vantages and the publisher may read or write in that place.

Exit codes: 0 stored, 3 usage or a file that is no good, 4 internal.`

const storeExample = `  $ starttls-list probe store north.jsonl 's3://private/evidence?region=eu-1' --source list
  north.jsonl: 5 domains by north, stored as north.jsonl.zst`

func newStoreCommand() *cobra.Command {
	var source string
	var maxAge time.Duration
	c := &cobra.Command{
		Use: "store FILE… PLACE --source LIST", Short: "puts a vantage's evidence where releases look for it", Long: storeLong, Example: storeExample,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) < 2 || source == "" {
				return usage(c, errors.New("name the files, the place, and with --source the list"))
			}
			return runStore(c, args[:len(args)-1], args[len(args)-1], source, maxAge)
		},
	}
	c.Flags().StringVar(&source, "source", "", "source list, or its list.json: names and keys of the vantages")
	c.Flags().DurationVar(&maxAge, "max-age", toldAge, "refuse a scan that began longer ago than this")
	return c
}

func runStore(c *cobra.Command, files []string, place, source string, maxAge time.Duration) error {
	settings, err := readSettings(source)
	if err == nil && len(settings.Vantages) == 0 {
		err = fmt.Errorf("%s names no vantages, so nobody's evidence counts", source)
	}
	if err != nil {
		return usage(c, fmt.Errorf("--source: %w", err))
	}
	store, err := openStore(c.Context(), place)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := storeEvidence(c.Context(), c.OutOrStdout(), store, file, settings, maxAge); err != nil {
			return evidenceError(err)
		}
	}
	return nil
}

func storeEvidence(ctx context.Context, w io.Writer, store mirror.Store, file string, settings policy.Settings, maxAge time.Duration) error {
	name := strings.TrimSuffix(filepath.Base(file), ".zst")
	if !strings.HasSuffix(name, ".jsonl") {
		return fmt.Errorf("%w: %s is not called *.jsonl: a release would not find it", probe.ErrEvidence, file)
	}
	packed, header, domains, err := packEvidence(file, settings)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	started, err := policy.ParseTime(header.Started)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", file, probe.ErrEvidence, err)
	}
	switch age := time.Since(started); {
	case age > maxAge:
		return fmt.Errorf("%s: %w: the scan began %s ago, --max-age is %s", file, probe.ErrEvidence, age.Round(time.Second), maxAge)
	case -age > maxAhead:
		return fmt.Errorf("%s: %w: the scan begins %s from now: set the clock", file, probe.ErrEvidence, -age.Round(time.Second))
	}
	name += ".zst"
	if err := store.Put(ctx, mirror.Object{Path: name, Data: packed, ContentType: "application/zstd", CacheControl: "no-store"}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: %s by %s, stored as %s\n", term.Escape(file), term.Plural(domains, "domain"), term.Escape(header.Vantage), term.Escape(name))
	return err
}

// packEvidence compresses a file while it reads and verifies it, so that what is stored is what was verified.
func packEvidence(file string, settings policy.Settings) (packed []byte, h probe.Header, domains int, err error) {
	in, err := openEvidence(file)
	if err != nil {
		return nil, h, 0, err
	}
	defer in.Close()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, h, 0, err
	}
	r, err := probe.NewReader(io.TeeReader(in, z), probe.MaxEvidence)
	if err != nil {
		return nil, h, 0, err
	}
	for err == nil {
		if _, err = r.Next(); err == nil {
			domains++
		}
		if out.Len() > maxStoredEvidence {
			return nil, h, 0, fmt.Errorf("%w: compressed it is larger than the %d bytes that a release takes: scan in shards", probe.ErrEvidence, maxStoredEvidence)
		}
	}
	if h = r.Header(); !errors.Is(err, io.EOF) {
		return nil, h, 0, err
	}
	key, known := settings.VantageKeys()[h.Vantage]
	switch {
	case r.Merged():
		err = fmt.Errorf("%w: it joins several vantages; [probe] evidence can name such a file itself", probe.ErrEvidence)
	case !known:
		err = fmt.Errorf("%w: the list has no vantage %q", probe.ErrEvidence, h.Vantage)
	default:
		err = r.Verify(key)
	}
	if err == nil {
		err = z.Close()
	}
	return out.Bytes(), h, domains, err
}
