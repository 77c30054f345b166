package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
)

const trustSignLong = `Sign shows what a draft says and changes, and adds the signature of a root key of the draft or of the version before it.
The version before must be in the same folder. --merge joins the signatures of other copies of the same draft; with it
no key is needed. Signing twice changes nothing.

Root keys stay offline: files on a machine or a stick of their own, or a device that signs through a plugin (--key
scheme://…, see transparency/README.md). A KMS, which is online and opens to whoever holds an account, is not the place
for what mends everything else; one that names a root key is used with a warning.

The key's password comes from COSIGN_PASSWORD, from --password-file, or from a prompt.

Exit codes: 0 done, 1 refused, 3 usage, 4 internal.`

const trustSignExample = `  $ starttls-list trust sign --key mylist/keys/root.key mylist/trust/2.draft
  trust version 2 of list.operator.example/2026
  …
  signed by list.operator.example.2026.root
  incomplete: …`

func newTrustSignCommand() *cobra.Command {
	var keys, copies []string
	var passwordFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "sign [--key ROOTKEY] [--merge OTHER] DRAFT", Short: "adds root signatures to a draft", Long: trustSignLong, Example: trustSignExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(keys)+len(copies) == 0 {
				return usage(c, errors.New("it takes --key, --merge, or both"))
			}
			return signTrust(c, args[0], keys, copies, passwordFile, asJSON)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&keys, "key", nil, "private root key: a file, or the URI of a device's; may be repeated")
	f.StringArrayVar(&copies, "merge", nil, "another copy of the draft, signed by others; may be repeated")
	f.StringVar(&passwordFile, "password-file", "", "file whose only line is the password of the key")
	f.BoolVar(&asJSON, "json", false, "print the draft as JSON")
	return c
}

func signTrust(c *cobra.Command, path string, keys, copies []string, passwordFile string, asJSON bool) error {
	made, err := pipeline.OpenCeremony(path)
	if err != nil {
		return trustExit(err)
	}
	w, now := c.OutOrStdout(), time.Now()
	if !asJSON { // before the password is asked for: people sign what they have read
		printTrust(w, describeTrust(made.Draft, made.Before(), now))
	}
	var others []*transparency.Trust
	for _, p := range copies {
		other, err := pipeline.ReadTrustFile(p)
		if err != nil {
			return trustExit(err)
		}
		others = append(others, other)
	}
	password := passwordSource(passwordFile, c.InOrStdin(), c.ErrOrStderr())
	var signers []note.Signer
	for _, k := range keys {
		key, findings, err := signing.Open(c.Context(), k, password)
		if err != nil {
			return trustExit(err)
		}
		term.Findings(c.ErrOrStderr(), append(findings, signing.OnlineRoot(k)...))
		found, err := rootSigners(c.Context(), key, made)
		if err != nil {
			return &term.Exit{Code: exitFail, Err: fmt.Errorf("%s: %w", k, err)}
		}
		signers = append(signers, found...)
	}
	if err := made.Sign(others, signers...); err != nil {
		return trustExit(err)
	}
	report := describeTrust(made.Draft, made.Before(), now)
	report.File = path
	if asJSON {
		return printTrustJSON(c, report)
	}
	for _, s := range signers {
		fmt.Fprintf(w, "signed by %s\n", term.Escape(s.Name()))
	}
	fmt.Fprintln(w, report.verdict())
	return nil
}

// rootSigners makes a key sign under each name that it has in the draft or in the version before.
func rootSigners(ctx context.Context, key signing.Signer, made *pipeline.Ceremony) ([]note.Signer, error) {
	roots := made.Draft.RootVKeys()
	if before := made.Before(); before != nil {
		roots = append(roots, before.RootVKeys()...)
	}
	var out []note.Signer
	seen := map[string]bool{}
	for _, vkey := range roots {
		name, _, err := notePublic(vkey)
		if err != nil {
			return nil, err
		}
		if own, err := signing.VerifierKey(key, name); err != nil || own != vkey || seen[vkey] {
			continue
		}
		seen[vkey] = true
		signer, err := signing.NoteSigner(ctx, key, name)
		if err != nil {
			return nil, err
		}
		out = append(out, signer)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("this key is not a root key of version %d, nor of the version before it", made.Draft.Version)
	}
	return out, nil
}

const trustPublishLong = `Publish gives a draft its number: from then on every release is made under it, and the next one logs and uploads it. It
refuses until the root thresholds of the version before and of the draft itself have signed. It cannot be taken back:
clients follow every version that they have seen. Have the keys that it names in the configuration before the next
release.

Exit codes: 0 published, 1 refused, 3 usage, 4 internal.`

const trustPublishExample = `  $ starttls-list trust publish mylist/trust/2.draft
  mylist/trust/2 is published: the next release is made under it, logs and uploads it
    fingerprint  …`

func newTrustPublishCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "publish DRAFT", Short: "gives a sufficiently signed draft its number", Long: trustPublishLong, Example: trustPublishExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return publishTrust(c, args[0], asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the version as JSON")
	return c
}

func publishTrust(c *cobra.Command, draft string, asJSON bool) error {
	made, err := pipeline.OpenCeremony(draft)
	if err != nil {
		return trustExit(err)
	}
	before, now := made.Before(), time.Now()
	path, err := made.Publish(now)
	if err != nil {
		return trustExit(err)
	}
	report := describeTrust(made.Draft, before, now)
	report.File = path
	if asJSON {
		return printTrustJSON(c, report)
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s is published: the next release is made under it, logs and uploads it\n  fingerprint  %s\n", path, report.Digest)
	if before != nil && before.Origin != made.Draft.Origin {
		fmt.Fprintf(w, "  new log      %s: its first release writes the whole list again.\n"+
			"    Configure a mirror of its own for it: the old log's tiles stand under the same names.\n", term.Escape(made.Draft.Origin))
	}
	return nil
}
