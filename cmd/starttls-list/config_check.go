package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// maxMirrorName keeps the names of a mirror's files in the state folder within what file systems take.
const maxMirrorName = 64

func (c *config) checkMirrors() error {
	names := map[string]bool{}
	for i, m := range c.Mirrors {
		switch {
		case m.Name == "" || m.URL == "" || names[m.Name]:
			return fmt.Errorf("[[mirror]] number %d needs a url and a name of its own", i+1)
		case len(m.Name) > maxMirrorName || strings.ContainsFunc(m.Name, func(r rune) bool { return r < 0x20 || r > 0x7e }):
			return fmt.Errorf("[[mirror]] number %d: its name %q is not 1 to %d characters of printable ASCII", i+1, m.Name, maxMirrorName)
		}
		names[m.Name] = true
	}
	return nil
}

// place is a path that the configuration names, cleaned and absolute, and the key that names it.
type place struct{ key, path string }

// checkFolders keeps what the publisher writes apart from everything else. A state folder in the source would be read
// as part of the list, and a mirror folder around the keys would serve them.
func (c *config) checkFolders() error {
	var written []place
	if !c.remoteState() {
		written = append(written, place{"state", c.path(c.State)})
	}
	for i, m := range c.Mirrors {
		if scheme, folder, err := splitReference(m.URL); err == nil && scheme == "file" {
			written = append(written, place{fmt.Sprintf("url of [[mirror]] number %d", i+1), c.path(folder)})
		}
	}
	if c.TLSRPT.State != "" {
		written = append(written, place{"state in [tlsrpt]", c.path(c.TLSRPT.State)})
	}
	others := []place{{"source", c.path(c.Source)}, {"trust", c.path(c.Trust)}, {"log in [keys]", c.path(c.Keys.Log)}}
	for _, key := range append([]string{c.Keys.OpenPGP, c.Keys.PasswordFile}, c.Keys.Release...) {
		if key != "" && !strings.Contains(key, "://") {
			others = append(others, place{"a key in [keys]", c.path(key)})
		}
	}
	for i, w := range written {
		for _, o := range append(written[i+1:], others...) {
			if within(w.path, o.path) || within(o.path, w.path) {
				return fmt.Errorf("%s (%s) and %s (%s): neither may lie in the other", w.key, w.path, o.key, o.path)
			}
		}
	}
	return nil
}

// within reports whether path is folder or lies below it.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}
