package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

type verifyOptions struct {
	proof, evidence string
	trust, mirrors  []string
}

func newVerify(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE [--proof FILE] [--trust FILE]... | verify --evidence FILE [--trust FILE]...",
		Short: "verify a policy.json, or the evidence that a log signed two histories",
		Long: `Verify checks a policy.json from anywhere: that the release keys signed a release with exactly these bytes, that this
release is in the log that the log key (and the witnesses) signed, and that it has not expired. It takes the proof from
FILE.tlog-proof, or asks the mirrors for theirs when there is no such file.

Without --trust it uses the trust that is held here. With --trust, a trust version's file or a folder of them, nothing
has to be installed; compare the fingerprint that is printed with the one that the operator publishes. Of several
versions the lowest is believed, the others must be signed by it.

--evidence checks an evidence file of "update": whether the log's own signatures prove two histories.

A release under a trust version that another has followed is genuine only if it was made before: a mirror, configured
or given with --mirror, has to show that the newest release leads back to it.

Exit codes: 0 passed, 1 failed, 30 genuine but expired, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy verify /var/lib/starttls-policy/example/policy.json
  ok    trust: version 1 of log.example/list, fingerprint …
  ok    log: release 1 is log entry 3, the last of 4, signed by log.example/list, not witnessed
  ok    signatures: by the release keys of trust version 1
  ok    list: these are the 355 bytes that were signed, 3 domains
  ok    time: made 2026-03-01T12:00:00Z, expires 2026-03-15T12:00:00Z (in 13 days), fresh
  PASSED /var/lib/starttls-policy/example/policy.json`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (o.evidence != "") {
				return usage(c, errors.New("it takes either FILE or --evidence FILE"))
			}
			if o.evidence != "" {
				return a.verifyEvidence(o)
			}
			return a.verifyList(c.Context(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.proof, "proof", "", "proof file (default FILE.tlog-proof, else a mirror's)")
	cmd.Flags().StringVar(&o.evidence, "evidence", "", "evidence file to check")
	cmd.Flags().StringArrayVar(&o.trust, "trust", nil, "trust version's file, or a folder of them, instead of what is held here; may be repeated")
	cmd.Flags().StringArrayVar(&o.mirrors, "mirror", nil, "mirror to ask for the proof instead of the configured ones; may be repeated")
	return cmd
}

// check is one step of a verification.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// verification is what verify prints.
type verification struct {
	File    string  `json:"file"`
	Verdict string  `json:"verdict"` // "passed", "failed" or "expired"
	Checks  []check `json:"checks"`
}

func (v *verification) ok(name, format string, args ...any) {
	v.Checks = append(v.Checks, check{name, true, fmt.Sprintf(format, args...)})
}

func (v *verification) fail(name string, err error) {
	v.Checks, v.Verdict = append(v.Checks, check{name, false, flat{err}.Error()}), "failed"
}

// conclude prints and chooses the exit code.
func (a *app) conclude(v verification) error {
	if a.json {
		if err := writeJSON(a.stdout, v); err != nil {
			return err
		}
	} else {
		for _, c := range v.Checks {
			mark := "ok   "
			if !c.OK {
				mark = "FAIL "
			}
			line(a.stdout, "%s %s: %s", mark, c.Name, c.Detail)
		}
		line(a.stdout, "%s %s", strings.ToUpper(v.Verdict), v.File)
	}
	return exit(map[string]int{"passed": 0, "failed": exitFailed, "expired": exitExpired}[v.Verdict])
}

// keeper is somebody whose trust may decide about a file: a configured list, or the --trust flags.
type keeper struct {
	chain   *transparency.TrustChain
	sources []mirror.Source
}

// keepers returns the trust to verify by. The configuration is not looked at when the flags say all.
func (a *app) keepers(o verifyOptions) ([]keeper, error) {
	var asked []mirror.Source
	for _, text := range o.mirrors {
		var m mirrorPlace
		if err := m.UnmarshalText([]byte(text)); err != nil {
			return nil, &term.Exit{Code: exitUsage, Err: err}
		}
		r, err := openMirror(m)
		if err != nil {
			return nil, err
		}
		asked = append(asked, mirror.Source{Name: text, Reader: r})
	}
	if len(o.trust) > 0 {
		chain, err := readTrust(o.trust)
		return []keeper{{chain, asked}}, err
	}
	cfg, err := a.loadConfig()
	if errors.Is(err, errNoConfig) {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "give --trust FILE: a trust version of the list, trust/1 at its mirrors"}
	}
	if err != nil {
		return nil, err
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		return nil, err
	}
	var out []keeper
	for _, l := range lists {
		chain, err := l.client.Chain()
		if err != nil {
			return nil, failed(fmt.Errorf("list %s: %w", l.name, err), "")
		}
		k := keeper{chain, asked}
		if len(asked) == 0 {
			k.sources = l.client.Sources
		}
		out = append(out, k)
	}
	return out, nil
}

func (a *app) verifyList(ctx context.Context, path string, o verifyOptions) error {
	data, err := durable.ReadNamed(path, mirror.MaxListBytes)
	if err != nil {
		return failed(err, "")
	}
	keepers, err := a.keepers(o)
	if err != nil {
		return err
	}
	best := verification{}
	for _, k := range keepers {
		v := k.verify(ctx, path, data, o, a.now())
		if v.Verdict != "failed" {
			return a.conclude(v)
		}
		if len(v.Checks) >= len(best.Checks) {
			best = v // the list that got furthest is the one that the file claims to be
		}
	}
	return a.conclude(best)
}

// verify holds a file against one trust. Each step needs the ones before.
func (k keeper) verify(ctx context.Context, path string, data []byte, o verifyOptions, now time.Time) verification {
	v := verification{File: path, Verdict: "passed"}
	newest := k.chain.Newest()
	v.ok("trust", "version %d of %s, fingerprint %x", newest.Version, newest.Origin, newest.Digest())
	proof, from, err := k.proof(ctx, path, o)
	if err != nil {
		v.fail("proof", err)
		return v
	}
	release, err := mirror.OpenProof(proof, k.chain)
	if err != nil {
		v.fail("proof", fmt.Errorf("%s: %w", from, err))
		return v
	}
	leaf, size := release.Leaf, release.Checkpoint.Tree.N
	witnessed, place := "not witnessed", fmt.Sprintf("one of %d", size)
	if !release.Checkpoint.QuorumTime.IsZero() {
		witnessed = "witnessed at " + stamp(release.Checkpoint.QuorumTime)
	}
	if release.Index == size-1 {
		place = fmt.Sprintf("the last of %d", size)
	}
	v.ok("log", "release %d is log entry %d, %s, signed by %s, %s", leaf.Release, release.Index, place, leaf.Origin, witnessed)
	v.ok("signatures", "by the release keys of trust version %d", leaf.Trust)
	if release.Superseded && !k.confirm(ctx, release, &v) {
		return v
	}
	if int64(len(data)) != leaf.ListSize || sha256.Sum256(data) != leaf.ListDigest {
		v.fail("list", fmt.Errorf("these %d bytes are not the %d bytes of release %d (%s); another release has a proof of its own, release/<number>.tlog-proof at the mirrors",
			len(data), leaf.ListSize, leaf.Release, from))
		return v
	}
	header, list, err := policy.ParseList(data)
	if err == nil && (header != leaf.Header() || int64(list.Len()) != leaf.Count) {
		err = fmt.Errorf("times, author or the number of domains are not what release %d says", leaf.Release)
	}
	if err != nil {
		v.fail("list", err)
		return v
	}
	v.ok("list", "these are the %d bytes that were signed, %s", len(data), term.Plural(list.Len(), "domain"))
	v.judgeTime(leaf, newest, now)
	return v
}

// confirm asks the mirrors whether a release under a superseded trust version is part of the list's history. The proof
// alone would let a thief of keys that were revoked long ago make new "old" releases.
func (k keeper) confirm(ctx context.Context, p *mirror.Proven, v *verification) bool {
	newest := k.chain.Newest().Version
	errs := []error{fmt.Errorf("trust version %d has been superseded by version %d: whether its keys signed this before that, only the releases since can show", p.Leaf.Trust, newest)}
	if len(k.sources) == 0 {
		errs = append(errs, errors.New("name a mirror of the list with --mirror"))
	}
	for i, s := range k.sources {
		var others []mirror.Reader // one of them may be a mirror of an earlier log of the list
		for j, o := range k.sources {
			if j != i {
				others = append(others, o.Reader)
			}
		}
		err := p.Confirm(ctx, s.Reader, k.chain, others...)
		if err == nil {
			v.ok("history", "the newest release, under trust version %d, leads back to it (%s)", newest, s.Name)
			return true
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
	}
	v.fail("history", errors.Join(errs...))
	return false
}

// judgeTime tells whether a genuine list still counts.
func (v *verification) judgeTime(leaf *mirror.ReleaseLeaf, trust *transparency.Trust, now time.Time) {
	times := fmt.Sprintf("made %s, expires %s (%s)", stamp(leaf.Timestamp), stamp(leaf.Expires), until(stamp(leaf.Expires), now))
	switch {
	case !now.Before(leaf.Expires):
		v.Checks, v.Verdict = append(v.Checks, check{"time", false, times + ": genuine, but expired"}), "expired"
	case now.After(trust.Expires):
		v.ok("time", "%s; the trust expired at %s, so nothing newer counts", times, stamp(trust.Expires))
	case now.Sub(leaf.Timestamp) > 48*time.Hour:
		v.ok("time", "%s, stale: there should be a newer release", times)
	default:
		v.ok("time", "%s, fresh", times)
	}
}

// proof reads the proof file, or a mirror's newest when there is none beside the list.
func (k keeper) proof(ctx context.Context, path string, o verifyOptions) (data []byte, from string, err error) {
	from = o.proof
	if from == "" {
		from = path + ".tlog-proof"
	}
	data, err = durable.ReadNamed(from, transparency.MaxProofBytes)
	if err == nil || !mirror.IsAbsent(err) || o.proof != "" {
		return data, from, err
	}
	errs := []error{err}
	for _, s := range k.sources {
		data, err := s.Reader.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
		if err == nil {
			return data, s.Name, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
	}
	return nil, "", errors.Join(errs...)
}

func (a *app) verifyEvidence(o verifyOptions) error {
	data, err := durable.ReadNamed(o.evidence, mirror.MaxEvidenceBytes)
	if err != nil {
		return failed(err, "")
	}
	keepers, err := a.keepers(o)
	if err != nil {
		return err
	}
	v := verification{File: o.evidence, Verdict: "passed"}
	evidence, err := mirror.ParseEvidence(data)
	if err != nil {
		v.fail("evidence", err)
		return a.conclude(v)
	}
	var errs []error
	for _, k := range keepers {
		newest := k.chain.Newest()
		if err := evidence.Check(k.chain); err != nil {
			errs = append(errs, err)
			continue
		}
		v.ok("trust", "version %d of %s, fingerprint %x", newest.Version, newest.Origin, newest.Digest())
		v.ok("evidence", "the log %s signed two histories: both checkpoints are signed, and no one tree has both", evidence.Origin)
		return a.conclude(v)
	}
	v.fail("evidence", errors.Join(errs...))
	return a.conclude(v)
}

// readTrust makes one chain of trust versions, from files or folders. The lowest is believed because the caller says so.
func readTrust(paths []string) (*transparency.TrustChain, error) {
	versions := map[int64]*transparency.Trust{}
	for _, p := range paths {
		files := []string{p}
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			files, err = filepath.Glob(filepath.Join(p, "[0-9]*"))
			if err != nil || len(files) == 0 {
				return nil, failed(fmt.Errorf("--trust %s: no trust versions in this folder", p), "")
			}
		}
		for _, f := range files {
			data, err := durable.ReadNamed(f, transparency.MaxTrustBytes)
			if err != nil {
				return nil, failed(err, "")
			}
			t, err := transparency.ParseTrust(data)
			if err != nil {
				return nil, failed(fmt.Errorf("%s: %w", f, err), "")
			}
			if other := versions[t.Version]; other != nil && other.Digest() != t.Digest() {
				return nil, failed(fmt.Errorf("%s: it is another version %d than the one before", f, t.Version), "")
			}
			versions[t.Version] = t
		}
	}
	return chainOf(versions)
}

func chainOf(versions map[int64]*transparency.Trust) (*transparency.TrustChain, error) {
	lowest := int64(0)
	for v := range versions {
		if lowest == 0 || v < lowest {
			lowest = v
		}
	}
	chain, err := transparency.NewTrustChain(versions[lowest])
	for v := lowest + 1; err == nil && versions[v] != nil; v++ {
		err = chain.Extend(versions[v])
	}
	if err == nil && len(chain.Versions()) != len(versions) {
		err = fmt.Errorf("version %d is missing between those given", chain.Newest().Version+1)
	}
	if err != nil {
		return nil, failed(fmt.Errorf("--trust: %w", err), "")
	}
	return chain, nil
}
