package doctor

import (
	"path/filepath"
	"strings"
)

// Map is one entry of smtp_tls_policy_maps.
type Map struct {
	Type string // "hash", "socketmap"
	Name string // a path; for socketmap "inet:127.0.0.1:8461:floor"
	// Proxied says that proxymap(8) is asked instead, "proxy:hash:…", which Debian does not run chrooted.
	Proxied bool
}

// String returns the entry as in main.cf.
func (m Map) String() string {
	if m.Proxied {
		return "proxy:" + m.Type + ":" + m.Name
	}
	return m.Type + ":" + m.Name
}

// ParseMaps takes the value of smtp_tls_policy_maps apart, as Postfix does: at commas and white space outside of braces
// (postconf(5), DATABASE_README).
func ParseMaps(value string) []Map {
	var out []Map
	depth, start := 0, -1
	for i := 0; i <= len(value); i++ {
		end := i == len(value)
		if !end && (depth > 0 || !strings.ContainsRune(", \t\r\n", rune(value[i]))) {
			if start < 0 {
				start = i
			}
			switch value[i] {
			case '{':
				depth++
			case '}':
				depth = max(0, depth-1)
			}
			continue
		}
		if start >= 0 {
			rest, proxied := strings.CutPrefix(value[start:i], "proxy:")
			kind, name, _ := strings.Cut(rest, ":")
			out = append(out, Map{kind, name, proxied})
			start = -1
		}
	}
	return out
}

// MapName is the last part of a socketmap, which the daemon is asked for.
func (m Map) MapName() string { return m.Name[strings.LastIndexByte(m.Name, ':')+1:] }

// Socket takes the address of a socketmap (socketmap_table(5)); ok is false for other types. A unix path may be relative to
// Postfix's queue directory.
func (m Map) Socket() (network, address string, ok bool) {
	if m.Type != "socketmap" {
		return "", "", false
	}
	kind, rest, ok := strings.Cut(m.Name, ":")
	last := strings.LastIndexByte(rest, ':')
	switch {
	case !ok || last <= 0:
		return "", "", false
	case kind == "inet":
		return "tcp", rest[:last], true
	case kind == "unix":
		return "unix", rest[:last], true
	}
	return "", "", false
}

// Place is where a unix socket lies on the disk for a process that works in queue, and, if chrooted, sees nothing else.
func Place(path, queue string, chrooted bool) string {
	if chrooted || !filepath.IsAbs(path) {
		return filepath.Join(queue, path)
	}
	return filepath.Clean(path)
}

// fileTypes are the table types whose name is a path, with what Postfix appends to it. Over one that is missing it defers
// all mail (measured, 3.7).
var fileTypes = map[string]string{
	"hash": ".db", "btree": ".db", "dbm": ".pag", "sdbm": ".pag", "cdb": ".cdb", "lmdb": ".lmdb", "texthash": "",
	"pcre": "", "regexp": "", "cidr": "",
}

// File is the file that Postfix opens; ok is false for tables without one.
func (m Map) File() (path string, ok bool) {
	suffix, ok := fileTypes[m.Type]
	if !ok || !filepath.IsAbs(m.Name) {
		return "", false
	}
	return m.Name + suffix, true
}
