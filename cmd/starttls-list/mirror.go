package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

const mirrorLong = `Mirror copies a published list from SRC to DST, each a folder, file:///folder or s3://bucket/prefix; SRC may
also be an https:// address. It copies what DST lacks, in the order of publishing, and verifies every object before it
writes it: the checkpoint by the log's key and the witnesses, tiles and entries by the checkpoint, lists and evidence by
their digests, releases by their signatures. DST never goes back to an older state and never changes to another history;
a run that was interrupted is gone on with by the next; one that finds nothing new reads next to nothing. Objects that
DST has lost are restored on the way. Run it from a timer.

Whom to believe: the trust version in --trust, or the one that has the --fingerprint, or what DST trusts already, or
else SRC's first version, which the command then says on stderr.

--check reads back everything on DST and reports objects with other bytes than they should have; --repair also replaces
them. When both pointers on DST are damaged, --repair cannot tell whether SRC is older than DST was. The site is not
copied: nothing signs it.

A DST that holds other things and is no mirror is left alone: a mirror begins in an empty place.

For every 10,000 mail servers that follow a list in which 2,000 domains change a day, all its mirrors together answer some
180,000 requests a day and send 1 GB from buckets, 4 GB from folders (mirror/MIRRORS.md).

Exit codes: 0 DST is up to date, 1 SRC is not a good mirror, or DST is damaged, 2 SRC lags behind DST or cannot be
reached, 3 wrong usage, also a DST that is not empty and no mirror, 4 DST cannot be read or written, or another internal
error, 50 the log has two histories, SRC's and DST's, of which the evidence was kept.`

const mirrorExample = `  $ starttls-list mirror public copy
  trusted on first use: list list.operator.example/2026, fingerprint …
  copy: release 1 of list.operator.example/2026, 6 log entries: 11 objects copied
  $ starttls-list mirror public copy
  copy: release 1 of list.operator.example/2026, 6 log entries: up to date`

// mirrorFlags are the options of mirror.
type mirrorFlags struct {
	trust, fingerprint, evidence string
	check, repair, json          bool
}

func newMirrorCommand() *cobra.Command {
	var f mirrorFlags
	c := &cobra.Command{
		Use: "mirror SRC DST", Short: "copies a published list, verifying every object", Long: mirrorLong, Example: mirrorExample,
		Args: exactly(2),
		RunE: func(c *cobra.Command, args []string) error { return runMirror(c, args[0], args[1], f) },
	}
	c.Flags().StringVar(&f.trust, "trust", "", "file with a signed trust version to start from, usually the list's first")
	c.Flags().StringVar(&f.fingerprint, "fingerprint", "", "SHA-256 of the text of a trust version on SRC, in hex")
	c.Flags().StringVar(&f.evidence, "evidence", ".", "folder for the evidence when SRC contradicts DST")
	c.Flags().BoolVar(&f.check, "check", false, "read back everything on DST")
	c.Flags().BoolVar(&f.repair, "repair", false, "read back everything on DST and replace what is damaged")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

func runMirror(c *cobra.Command, src, dst string, f mirrorFlags) error {
	from, err := openReader(c.Context(), src)
	if err != nil {
		return err
	}
	if err := freeFolder(dst); err != nil {
		return err
	}
	to, err := openStore(c.Context(), dst)
	if err != nil {
		return err
	}
	chain, err := mirrorTrust(c, from, to, f)
	if err != nil {
		return err
	}
	bar := newProgress(c.ErrOrStderr())
	sync := mirror.Sync{From: from, To: to, Chain: chain, Check: f.check, Repair: f.repair, Progress: bar.show}
	out, err := sync.Run(c.Context())
	bar.end()
	if f.json {
		err = errors.Join(err, printMirrorJSON(c, out, err))
	} else if out.Release > 0 {
		printMirror(c, dst, out, err)
	}
	if err != nil {
		return mirrorFailure(err, f.evidence)
	}
	if len(out.Damaged) > len(out.Repaired) {
		return &term.Exit{Code: exitFail, Err: fmt.Errorf("%s on %s", term.Plural(len(out.Damaged)-len(out.Repaired), "damaged object"), dst),
			Hint: "run it again with --repair"}
	}
	return nil
}

// freeFolder refuses a folder that holds something and is no mirror, before anything is made in it. The mirror's own list
// of a folder leaves out names that no mirror has, so it would take a folder of such files for an empty one.
func freeFolder(dst string) error {
	scheme, folder, err := splitReference(dst)
	if err != nil || scheme != "file" {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // it is absent, or whoever opens it says what is wrong
	}
	others := 0
	for _, e := range entries {
		switch e.Name() {
		case mirror.PointerPath, mirror.CheckpointPath, "tile", "trust":
			return nil
		case ".tmp", "lost+found": // what a first run that was killed leaves; what a new file system has
		default:
			others++
		}
	}
	if others > 0 {
		return occupied(fmt.Errorf("%s: %w", folder, mirror.ErrOccupied))
	}
	return nil
}

func occupied(err error) error {
	return &term.Exit{Code: exitUsage, Err: err, Hint: "give an empty or a new place; what else your web server shows there can be put beside the mirror afterwards"}
}

// mirrorTrust finds the trust version to start from.
func mirrorTrust(c *cobra.Command, from, to mirror.Reader, f mirrorFlags) (*transparency.TrustChain, error) {
	ctx := c.Context()
	switch {
	case f.trust != "" && f.fingerprint != "":
		return nil, usage(c, errors.New("--trust and --fingerprint exclude each other"))
	case f.trust != "":
		t, err := readTrustFile(f.trust)
		if err != nil {
			return nil, err
		}
		if t.Version == 1 {
			return transparency.NewTrustChain(t)
		}
		digest := t.Digest()
		return trustOf(ctx, from, &digest)
	case f.fingerprint != "":
		digest, err := hex.DecodeString(f.fingerprint)
		if err != nil || len(digest) != 32 {
			return nil, usage(c, fmt.Errorf("--fingerprint takes a SHA-256 in hex, 64 digits, not %q", f.fingerprint))
		}
		return trustOf(ctx, from, (*[32]byte)(digest))
	}
	chain, err := mirror.FindTrust(ctx, to, nil)
	if err == nil {
		return chain, nil
	}
	if !mirror.IsAbsent(err) {
		return nil, &term.Exit{Code: exitInternal, Err: fmt.Errorf("the destination's trust: %w", err),
			Hint: "give --trust or --fingerprint, and --repair when the file is damaged"}
	}
	if chain, err = trustOf(ctx, from, nil); err != nil {
		return nil, err
	}
	fmt.Fprintf(c.ErrOrStderr(), "trusted on first use: list %s, fingerprint %x\n", chain.Newest().Origin, chain.Newest().Digest())
	return chain, nil
}

// trustOf is FindTrust at the source, with an exit code.
func trustOf(ctx context.Context, from mirror.Reader, fingerprint *[32]byte) (*transparency.TrustChain, error) {
	chain, err := mirror.FindTrust(ctx, from, fingerprint)
	switch {
	case err == nil:
		return chain, nil
	case mirror.IsAbsent(err):
		return nil, &term.Exit{Code: exitFail, Err: fmt.Errorf("no list is published there: %w", err)}
	case errors.Is(err, mirror.ErrSource):
		return nil, &term.Exit{Code: exitFail, Err: err, Hint: "compare the fingerprint with the one that the list's operator publishes"}
	}
	return nil, &term.Exit{Code: exitInconclusive, Err: err}
}

// readTrustFile reads a signed trust version that the caller vouches for.
func readTrustFile(path string) (*transparency.Trust, error) {
	data, err := readFile(path, maxSmallFile)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "it is a file like trust/1 of a mirror"}
	}
	t, err := transparency.ParseTrust(data)
	if err == nil {
		err = t.VerifySelf()
	}
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", path, err), Hint: "it is a file like trust/1 of a mirror"}
	}
	return t, nil
}

// mirrorFailure gives an error its exit code, and keeps the evidence that it carries.
func mirrorFailure(err error, evidenceDir string) error {
	var fork *mirror.ForkError
	switch {
	case errors.As(err, &fork):
		data := fork.Evidence.Bytes()
		path := filepath.Join(evidenceDir, fmt.Sprintf("fork-%x.json", sha256.Sum256(data)))
		if werr := durable.WriteFile(path, data, 0o644); werr != nil {
			return &term.Exit{Code: exitFork, Err: errors.Join(err, werr), Hint: "the evidence could not be kept: run it again with --evidence DIR"}
		}
		return &term.Exit{Code: exitFork, Err: err, Hint: "the log has two histories; " + path + " proves it to anybody: publish it, and copy from neither until it is explained"}
	case errors.Is(err, mirror.ErrOtherLog):
		return &term.Exit{Code: exitFail, Err: err, Hint: "only trust versions were copied; copy to an empty place, and show that one under the mirror's address"}
	case errors.Is(err, mirror.ErrOccupied):
		return occupied(err)
	case errors.Is(err, mirror.ErrLagging):
		return &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("the source lags: %w", err), Hint: "nothing was written; another mirror may be newer"}
	case errors.Is(err, mirror.ErrUnreachable), errors.Is(err, context.Canceled):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "run it again: what was copied stays"}
	case errors.Is(err, mirror.ErrSource):
		return &term.Exit{Code: exitFail, Err: err, Hint: "nothing unverified was written; copy from another mirror"}
	case errors.Is(err, mirror.ErrDestination), errors.Is(err, mirror.ErrConflict):
		return &term.Exit{Code: exitFail, Err: err, Hint: "if this is the list that the destination is for, run it again with --repair"}
	}
	return err
}

func printMirror(c *cobra.Command, dst string, out mirror.Synced, err error) {
	w := c.OutOrStdout()
	state := "up to date"
	switch {
	case err != nil:
		state = "NOT up to date, " + term.Plural(out.Copied, "object") + " copied"
	case out.Copied > 0:
		state = term.Plural(out.Copied, "object") + " copied"
	}
	fmt.Fprintf(w, "%s: release %d of %s, %d log entries: %s\n", term.Escape(dst), out.Release, out.Origin, out.Size, state)
	for _, l := range []struct {
		word  string
		paths []string
	}{{"restored", out.Restored}, {"damaged", out.Damaged}, {"repaired", out.Repaired}} {
		for _, p := range l.paths {
			fmt.Fprintf(w, "  %s %s\n", l.word, p)
		}
	}
}

func printMirrorJSON(c *cobra.Command, out mirror.Synced, err error) error {
	for _, paths := range []*[]string{&out.Restored, &out.Damaged, &out.Repaired} {
		if *paths == nil {
			*paths = []string{}
		}
	}
	j := struct {
		mirror.Synced
		Error string `json:"error,omitempty"`
	}{Synced: out}
	if err != nil {
		j.Error = err.Error()
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(j)
}
