package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

const siteVerifyLong = `Verify checks the proof of a domain's change, as its page offers it: that the list's log, and the witnesses, signed a tree
in which the change is an entry, and that a release which the release keys signed made it. The first is in FILE, the second
and the trust versions are on the mirror, which is not believed for any of it.

It does not say that no later release changed the domain again: the domain's page does, and monitor --domain tells of it.

Exit codes: 0 it holds, 1 it does not, 2 the mirror could not be read, 3 wrong usage, 4 internal.`

const siteVerifyExample = `  $ starttls-list site verify site/domain/good.example/good.example.tlog-proof --mirror . --trust trust/1
  ok    log: entry 0 of list.operator.example/2026, in a tree of 6 entries that its log signed, not witnessed
  ok    release: release 1 of … made the change
  good.example: enforce, mx.good.example`

func newSiteVerifyCommand() *cobra.Command {
	var s siteSource
	var asJSON bool
	c := &cobra.Command{
		Use: "verify FILE --mirror URL --fingerprint HEX", Short: "verifies the proof of a domain's change", Long: siteVerifyLong, Example: siteVerifyExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runSiteVerify(c, args[0], s, asJSON) },
	}
	s.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func runSiteVerify(c *cobra.Command, path string, s siteSource, asJSON bool) error {
	data, err := readFile(path, transparency.MaxProofBytes)
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "it is the file that a domain's page offers as its proof"}
	}
	reader, chain, err := s.open(c)
	if err != nil {
		return err
	}
	ignore := func(*transparency.Trust) error { return nil }
	if err := mirror.FollowTrust(c.Context(), reader, chain, ignore); err != nil {
		if errors.Is(err, transparency.ErrTrust) || errors.Is(err, mirror.ErrTooLarge) {
			return siteExit(fmt.Errorf("%w: %w", site.ErrUnverified, err))
		}
		return siteExit(fmt.Errorf("%w: %w", audit.ErrUnreachable, err))
	}
	p, err := site.OpenProof(data, chain)
	if err != nil {
		return siteExit(err)
	}
	rel, err := claimingRelease(c, reader, chain, p)
	if err != nil {
		return siteExit(err)
	}
	if asJSON {
		return printProvenJSON(c, p, rel)
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "ok    log: entry %d of %s, in a tree of %s that its log signed, %s\n", p.Index, p.Checkpoint.Origin, entries(p.Checkpoint.Tree.N), witnessed(p.Checkpoint))
	fmt.Fprintf(w, "ok    release: release %d of %s made the change\n", rel.Leaf.Release, stamp(rel.Leaf.Timestamp))
	_, err = fmt.Fprintf(w, "%s: %s\n", p.Change.Domain, policyText(p.Change.Policy))
	return err
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func witnessed(c transparency.Cosigned) string {
	if c.QuorumTime.IsZero() {
		return "not witnessed"
	}
	return "witnessed " + stamp(c.QuorumTime)
}

func policyText(p *policy.Policy) string {
	if p == nil {
		return "not listed any more"
	}
	var names []string
	for _, mx := range p.MXs {
		names = append(names, mx.String())
	}
	return p.Mode.String() + ", " + strings.Join(names, " ")
}

// claimingRelease finds the release that made the change, and shows that its keys signed it while they counted.
func claimingRelease(c *cobra.Command, reader mirror.Reader, chain *transparency.TrustChain, p site.Proven) (*mirror.Release, error) {
	data, err := reader.Get(c.Context(), mirror.ReleasePath(p.Change.Release), transparency.MaxProofBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: the release that made the change: %w", audit.ErrUnreachable, err)
	}
	rel, err := mirror.OpenProof(data, chain)
	if err == nil && rel.Superseded {
		err = rel.Confirm(c.Context(), reader, chain)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", site.ErrProof, mirror.ReleasePath(p.Change.Release), err)
	}
	return &rel.Release, p.Claims(&rel.Release)
}

func printProvenJSON(c *cobra.Command, p site.Proven, rel *mirror.Release) error {
	out := map[string]any{"domain": p.Change.Domain.String(), "op": "del", "reason": p.Change.Reason, "release": p.Change.Release, "time": stamp(rel.Leaf.Timestamp),
		"index": p.Index, "origin": p.Checkpoint.Origin, "size": p.Checkpoint.Tree.N, "root": p.Checkpoint.Tree.Hash.String()}
	if p.Change.Policy != nil {
		out["op"], out["policy"] = "set", json.RawMessage(p.Change.Policy.AppendJSON(nil))
	}
	if !p.Checkpoint.QuorumTime.IsZero() {
		out["witnessed"] = stamp(p.Checkpoint.QuorumTime)
	}
	return json.NewEncoder(c.OutOrStdout()).Encode(out)
}

const siteProveLong = `Prove verifies a whole mirror, as a build of the site does, and writes the proof of a domain's newest change to a file, a
C2SP tlog-proof with the change as its extra data. Pages of lists with more than 50,000 domains name this command where
others offer the file.

Exit codes: 0 done, 1 the mirror does not verify, or the list never had the domain, 2 it could not be read, 3 wrong usage, 4
internal.`

const siteProveExample = `  $ starttls-list site prove good.example --mirror . --trust trust/1 --out good.example.tlog-proof
  good.example.tlog-proof: good.example as of release 1, proved by its newest change`

func newSiteProveCommand() *cobra.Command {
	var s siteSource
	var out string
	c := &cobra.Command{
		Use: "prove DOMAIN --mirror URL --fingerprint HEX --out FILE", Short: "writes the proof of a domain's newest change", Long: siteProveLong, Example: siteProveExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runSiteProve(c, args[0], out, s) },
	}
	s.flags(c)
	c.Flags().StringVar(&s.cache, "cache", "", "folder that keeps what was read, for the next time")
	c.Flags().StringVar(&out, "out", "", "file to write")
	return c
}

func runSiteProve(c *cobra.Command, name, out string, s siteSource) error {
	d, err := policy.NormalizeDomain(name)
	if err != nil {
		return usage(c, err)
	}
	if out == "" {
		return usage(c, errors.New("it needs --out"))
	}
	m, err := s.read(c, site.Extra{})
	if err != nil {
		return err
	}
	data, err := m.Proof(d)
	if err != nil {
		return siteExit(err)
	}
	if err := durable.WriteFile(out, data, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s as of release %d, proved by its newest change\n", term.Escape(out), d, m.Newest().Release)
	return err
}
