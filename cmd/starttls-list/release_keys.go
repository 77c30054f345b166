package main

import (
	"errors"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

// keyFlags name keys in place of those in [keys]: a job may take its keys from a KMS without a configuration of its own.
type keyFlags struct {
	release []string
	log     string
	dry     bool // nothing is published: without the mirrors that are folders, since to open one makes it
}

func (f *keyFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.release, "release-key", nil, "key that signs releases, a file or a URI, in place of the configuration's; may be repeated")
	flags.StringVar(&f.log, "log-key", "", "key that signs the log's checkpoints, a file or a URI, in place of the configuration's")
}

// errEmptyKey is for a variable of a script that nobody set: the configured keys would sign without a word.
var errEmptyKey = errors.New("--release-key is empty")

// replace puts them into the configuration. A file is one below the working folder, as everywhere on a command line.
func (f *keyFlags) replace(c *config) (err error) {
	if f.dry {
		all := c.Mirrors
		c.Mirrors = nil
		for _, m := range all {
			if scheme, _, err := splitReference(m.URL); err != nil || scheme != "file" {
				c.Mirrors = append(c.Mirrors, m)
			}
		}
	}
	for i, ref := range f.release {
		if ref == "" {
			return errEmptyKey
		}
		if f.release[i], err = absoluteKey(ref); err != nil {
			return err
		}
	}
	if len(f.release) > 0 {
		c.Keys.Release = f.release
	}
	if f.log != "" {
		c.Keys.Log, err = absoluteKey(f.log)
	}
	return err
}

func absoluteKey(ref string) (string, error) {
	if signing.IsURI(ref) {
		return ref, nil
	}
	return filepath.Abs(ref)
}
