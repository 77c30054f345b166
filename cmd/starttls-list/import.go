package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
)

const importLong = `Import moves the history of an existing list into the log: each file in the old 0.1 format becomes one release, in
the order given, with its historic times and the changes against the file before. What is wrong with a file is
reported and the import goes on; names come out in canonical form.

Beside each FILE its signature is expected as FILE.asc; with --keyring it is verified. An interrupted import goes on
where it stopped when it is started again with the same files.

Imported enforce entries are history, not facts about today: the next release from the source publishes as testing
what no probe confirms.

Files that cannot be read, or have no times, are found before anything is released.

Exit codes: 0 all files were imported, 3 usage, 4 nothing or not everything was imported.`

const importExample = `  $ starttls-list import --config mylist/policylist.toml --keyring old.gpg history/*.json
  001-20180330.json  release 1   18 domains, 18 changes
    001-20180330.json: warning: import.unsigned: there is no signature beside it
  …`

// maxOldFile caps a file of an old list; the largest was 120 KB.
const maxOldFile = 256 << 20

func newImportCommand() *cobra.Command {
	var config, keyring string
	var asJSON bool
	c := &cobra.Command{
		Use: "import --config FILE OLD.json…", Short: "moves the history of an old list into the log", Long: importLong, Example: importExample,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, errors.New("name the old lists, oldest first"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runImport(c, config, keyring, args, asJSON) },
	}
	c.Flags().StringVar(&config, "config", configName, "configuration file, as init writes it")
	c.Flags().StringVar(&keyring, "keyring", "", "OpenPGP public keys of those who signed the old list, armored or binary")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a release")
	return c
}

func runImport(c *cobra.Command, config, keyringFile string, names []string, asJSON bool) error {
	files, err := readOldFiles(names)
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "name the old lists themselves, oldest first; signatures are looked for beside them"}
	}
	var keyring *signing.Keyring
	if keyringFile != "" {
		data, err := readFile(keyringFile, maxSmallFile)
		if err == nil {
			keyring, err = signing.ReadKeyring(data)
		}
		if err != nil {
			return &term.Exit{Code: exitUsage, Err: fmt.Errorf("--keyring: %s: %w", keyringFile, err), Hint: "gpg --export writes a keyring"}
		}
	}
	p, err := openPublisher(c, config)
	if err != nil {
		return err
	}
	p.Site = nil // pages of lists that are history: the next release makes those of the list
	n := 0
	show := func(i pipeline.Imported) {
		n++
		printImported(c, i, asJSON)
	}
	if err := p.Import(c.Context(), files, keyring, show); err != nil {
		hint := releaseHint(err)
		switch {
		case errors.Is(err, pipeline.ErrHistory):
			hint = "a history comes before the first release from a source, each file once, oldest first"
		case errors.Is(err, pipeline.ErrImport):
			hint = "correct the file or leave it out, and run the same command again"
		}
		return &term.Exit{Code: exitInternal, Err: err, Hint: hint}
	}
	if n == 0 && !asJSON {
		fmt.Fprintf(c.OutOrStdout(), "nothing to do: %s imported already\n", term.Plural(len(files), "file"))
	}
	return nil
}

func readOldFiles(names []string) ([]pipeline.OldFile, error) {
	var files []pipeline.OldFile
	for _, name := range names {
		data, err := readFile(name, maxOldFile)
		if err != nil {
			return nil, err
		}
		sig, err := readFile(name+".asc", maxSmallFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files = append(files, pipeline.OldFile{File: policy.File{Path: filepath.Base(name), Data: data}, Signature: sig})
	}
	return files, nil
}

func printImported(c *cobra.Command, i pipeline.Imported, asJSON bool) {
	leaf := i.Leaf()
	w := c.OutOrStdout()
	if asJSON {
		json.NewEncoder(w).Encode(map[string]any{
			"file": i.File, "release": leaf.Release, "count": leaf.Count, "changes": leaf.To - leaf.From,
			"timestamp": leaf.Timestamp.Format(policy.TimeFormat), "findings": i.Findings,
		})
		return
	}
	fmt.Fprintf(w, "%s  release %-3d  %s, %s\n", term.Escape(i.File), leaf.Release, term.Plural(int(leaf.Count), "domain"), term.Plural(int(leaf.To-leaf.From), "change"))
	for _, f := range i.Findings {
		fmt.Fprintf(w, "  %s: %s: %s: %s\n", term.Escape(f.Position.String()), f.Severity, f.Code, term.Escape(f.Summary))
	}
}
