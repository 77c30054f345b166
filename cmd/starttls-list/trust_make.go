package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency"
)

// trustParts is a trust version being put together, and the flags that say how.
type trustParts struct {
	folder, origin, log, witnesses, expires, passwordFile string

	addRoots, removeRoots, addReleases, removeReleases []string

	rootK, releaseK int
	asJSON          bool
}

const trustCreateLong = `Create makes the draft of trust version 1 in a new folder, from public keys alone: for lists whose keys are made on
several machines. (starttls-list init makes keys and a signed version 1 at once.)

A root key is a vkey, or a file with a vkey or an Ed25519 key in PEM; NAME=FILE gives a PEM key its name. A release key
is a PEM file, ECDSA P-256 or Ed25519. The log key's name is the list's origin. Of a key in a KMS or on a device its URI
stands for the file (awskms:///alias/release, NAME=scheme://…); only the public half is asked for.
--witnesses takes a file with the witness, group and quorum lines of a C2SP tlog-policy, or none.

Exit codes: 0 done, 1 refused, 3 usage, 4 internal.`

const trustCreateExample = `  $ starttls-list trust create --trust shared/trust --root anna=anna.pub --root ben=ben.pub --root-threshold 2 --release release.pub --log log.pub --origin list.operator.example/2026
  shared/trust/1.draft is made: sign it with 2 of 2 root keys
  trust version 1 of list.operator.example/2026
  …`

func newTrustCreateCommand() *cobra.Command {
	o := trustParts{}
	c := &cobra.Command{
		Use: "create --trust DIR --root KEY… --release PEM… --log KEY", Short: "makes the draft of version 1 from public keys",
		Long: trustCreateLong, Example: trustCreateExample, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.create(c) },
	}
	f := c.Flags()
	f.StringVar(&o.folder, "trust", pipeline.TrustDir, "folder of the trust versions")
	f.StringArrayVar(&o.addRoots, "root", nil, "root key: VKEY, FILE or NAME=FILE; may be repeated")
	f.IntVar(&o.rootK, "root-threshold", 1, "how many root keys must sign a version")
	f.StringArrayVar(&o.addReleases, "release", nil, "release key's PEM file; may be repeated")
	f.IntVar(&o.releaseK, "release-threshold", 1, "how many release keys must sign a release")
	f.StringVar(&o.log, "log", "", "log key: VKEY or FILE")
	f.StringVar(&o.origin, "origin", "", "name of the log, where --log is a PEM file")
	o.common(c)
	return c
}

// common are the flags of create and propose.
func (o *trustParts) common(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.witnesses, "witnesses", "", "file with the witness policy, or none")
	f.StringVar(&o.expires, "expires", "", "when the version expires: a time, a day, or a number of days such as 400d (default a year from now)")
	f.StringVar(&o.passwordFile, "password-file", "", "file whose only line is the password, where a private key file stands for its public half")
	f.BoolVar(&o.asJSON, "json", false, "print the draft as JSON")
}

func (o *trustParts) keys(c *cobra.Command) keyReader { return newKeyReader(c, o.passwordFile) }

func (o *trustParts) create(c *cobra.Command) error {
	if len(o.addRoots) == 0 || len(o.addReleases) == 0 || o.log == "" {
		return usage(c, errors.New("a version needs at least one --root, one --release and the --log key"))
	}
	read := o.keys(c)
	log, err := read.vkey(o.log, o.origin)
	if err != nil {
		return trustExit(err)
	}
	origin, _, err := notePublic(log)
	if err != nil {
		return usage(c, err)
	}
	if o.origin != "" && origin != o.origin {
		return usage(c, fmt.Errorf("the log key is named %q, not %q", origin, o.origin))
	}
	var roots []string
	for _, ref := range o.addRoots {
		vkey, err := read.vkey(ref, rootName(origin))
		if err != nil {
			return trustExit(err)
		}
		roots = append(roots, vkey)
	}
	releases, err := o.readReleases(read)
	if err != nil {
		return trustExit(err)
	}
	witnesses := transparency.WitnessPolicy{}
	if o.witnesses != "" {
		if witnesses, err = read.witnesses(o.witnesses); err != nil {
			return usage(c, err)
		}
	}
	now := time.Now()
	expires, err := parseExpiry(o.expires, now)
	if err != nil {
		return usage(c, err)
	}
	draft, err := transparency.NewTrust(1, expires, o.rootK, roots, o.releaseK, releases, log, witnesses)
	if err != nil {
		return trustExit(err)
	}
	return o.start(c, draft, now)
}

func rootName(origin string) string { return strings.ReplaceAll(origin, "/", ".") + ".root" }

func (o *trustParts) readReleases(read keyReader) ([]transparency.ReleaseKey, error) {
	var out []transparency.ReleaseKey
	for _, path := range o.addReleases {
		k, err := read.releaseKey(path)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// start writes the draft and shows it.
func (o *trustParts) start(c *cobra.Command, draft *transparency.Trust, now time.Time) error {
	made, err := pipeline.StartCeremony(o.folder, draft, now)
	if err != nil {
		return trustExit(err)
	}
	report := describeTrust(made.Draft, made.Before(), now)
	report.File = made.Path()
	if o.asJSON {
		return printTrustJSON(c, report)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is made: sign it with %s\n", made.Path(), report.need())
	printTrust(c.OutOrStdout(), report)
	return nil
}

const trustProposeLong = `Propose makes the draft of the next trust version: the present one with what the flags change, valid for another year.
Without changes it only renews the expiry. It prints what would change; nothing is signed or public yet.

A removed key is named by its name, the beginning of its fingerprint (8 digits or more), or itself.

A new --origin, with the same log key or a new one, means a new log: its first release writes the whole list again, and
needs a mirror of its own, because the old log's tiles stand under the same names (transparency/README.md).

Exit codes: 0 done, 1 refused, 3 usage, 4 internal.`

const trustProposeExample = `  $ starttls-list trust propose --trust mylist/trust --add-root ben=ben.pub --root-threshold 2
  mylist/trust/2.draft is made: sign it with 1 of 1 root keys of version 1 and 2 of 2 of version 2
  trust version 2 of list.operator.example/2026
  …`

func newTrustProposeCommand() *cobra.Command {
	o := trustParts{}
	c := &cobra.Command{
		Use: "propose --trust DIR [what changes]", Short: "makes the draft of the next version", Long: trustProposeLong,
		Example: trustProposeExample, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.propose(c) },
	}
	f := c.Flags()
	f.StringVar(&o.folder, "trust", pipeline.TrustDir, "folder of the trust versions")
	f.StringArrayVar(&o.addRoots, "add-root", nil, "root key to add: VKEY, FILE or NAME=FILE; may be repeated")
	f.StringArrayVar(&o.removeRoots, "remove-root", nil, "root key to remove; may be repeated")
	f.IntVar(&o.rootK, "root-threshold", 0, "how many root keys must sign a version")
	f.StringArrayVar(&o.addReleases, "add-release", nil, "PEM file of a release key to add; may be repeated")
	f.StringArrayVar(&o.removeReleases, "remove-release", nil, "release key to remove; may be repeated")
	f.IntVar(&o.releaseK, "release-threshold", 0, "how many release keys must sign a release")
	f.StringVar(&o.log, "log", "", "new log key: VKEY or FILE")
	f.StringVar(&o.origin, "origin", "", "new name of the log: begins a new log")
	o.common(c)
	return c
}

func (o *trustParts) propose(c *cobra.Command) error {
	chain, err := mirror.ReadTrust(o.folder)
	if err != nil {
		return usage(c, err)
	}
	before, read, now := chain.Newest(), o.keys(c), time.Now()
	log, err := o.newLog(read, before)
	if err != nil {
		return trustExit(err)
	}
	roots, err := o.newRoots(read, before)
	if err != nil {
		return trustExit(err)
	}
	releases, err := o.newReleases(read, before)
	if err != nil {
		return trustExit(err)
	}
	witnesses := before.Witnesses
	if o.witnesses != "" {
		if witnesses, err = read.witnesses(o.witnesses); err != nil {
			return usage(c, err)
		}
	}
	expires, err := parseExpiry(o.expires, now)
	if err != nil {
		return usage(c, err)
	}
	rootK, releaseK := before.RootK, before.ReleaseK
	if c.Flags().Changed("root-threshold") {
		rootK = o.rootK
	}
	if c.Flags().Changed("release-threshold") {
		releaseK = o.releaseK
	}
	draft, err := transparency.NewTrust(before.Version+1, expires, rootK, roots, releaseK, releases, log, witnesses)
	if err != nil {
		return trustExit(err)
	}
	return o.start(c, draft, now)
}

// newLog is the present log key, another one, or either under a new name.
func (o *trustParts) newLog(read keyReader, before *transparency.Trust) (string, error) {
	name := before.Origin
	if o.origin != "" {
		name = o.origin
	}
	if o.log == "" {
		_, public, err := notePublic(before.LogVKey())
		if err != nil {
			return "", err
		}
		return note.NewEd25519VerifierKey(name, public)
	}
	vkey, err := read.vkey(o.log, name)
	if err != nil {
		return "", err
	}
	if given, _, err := notePublic(vkey); err != nil || o.origin == "" && given != before.Origin || o.origin != "" && given != o.origin {
		return "", fmt.Errorf("%w: the log key is named %q; a new name, which begins a new log, needs --origin as well", pipeline.ErrTrustRule, given)
	}
	return vkey, nil
}

func (o *trustParts) newRoots(read keyReader, before *transparency.Trust) ([]string, error) {
	roots := before.RootVKeys()
	for _, ref := range o.removeRoots {
		asFile, _ := read.vkey(ref, "")
		i, err := pick(ref, len(roots), func(i int) string { return noteFingerprint(roots[i]) }, func(i int) bool {
			name, _, _ := notePublic(roots[i])
			return ref == name || ref == roots[i] || asFile != "" && noteFingerprint(asFile) == noteFingerprint(roots[i])
		})
		if err != nil {
			return nil, fmt.Errorf("%w: --remove-root: %w", pipeline.ErrTrustRule, err)
		}
		roots = slices.Delete(roots, i, i+1)
	}
	for _, ref := range o.addRoots {
		vkey, err := read.vkey(ref, rootName(before.Origin))
		if err != nil {
			return nil, err
		}
		roots = append(roots, vkey)
	}
	return roots, nil
}

func (o *trustParts) newReleases(read keyReader, before *transparency.Trust) ([]transparency.ReleaseKey, error) {
	keys := before.ReleaseKeys()
	for _, ref := range o.removeReleases {
		asFile, errFile := read.releaseKey(ref)
		i, err := pick(ref, len(keys), func(i int) string { return fingerprint(keys[i].SPKI()) }, func(i int) bool {
			return ref == keys[i].String() || errFile == nil && asFile.ID() == keys[i].ID()
		})
		if err != nil {
			return nil, fmt.Errorf("%w: --remove-release: %w", pipeline.ErrTrustRule, err)
		}
		keys = slices.Delete(keys, i, i+1)
	}
	added, err := o.readReleases(read)
	return append(keys, added...), err
}
