package policy

import (
	"fmt"
	"slices"
	"strings"
)

// maxOriginLen keeps checkpoint lines short; C2SP sets no limit.
const maxOriginLen = 255

// CheckOrigin says what is wrong with the name of a list and its log, nil for nothing: a lower-case host name with an
// optional path of a-z, 0-9 and - . _ /, "list.example.org/2026", without a scheme (C2SP tlog-checkpoint). It becomes the
// name of a note key, part of URLs and, in other people's tools, of file names: no part of the path may be empty, "."
// or "..".
func CheckOrigin(origin string) error {
	host, path, slash := strings.Cut(origin, "/")
	_, err := ParseDomain(host)
	badPath := func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._/", c) }
	if err != nil || slash && path == "" || strings.IndexFunc(path, badPath) >= 0 || len(origin) > maxOriginLen {
		return fmt.Errorf("the origin %q is not a lower-case host name with an optional path of a-z, 0-9, and - . _ /", origin)
	}
	parts := strings.Split(path, "/")
	if slash && (slices.Contains(parts, "") || slices.Contains(parts, ".") || slices.Contains(parts, "..")) {
		return fmt.Errorf("the origin %q has an empty part, . or .. in its path", origin)
	}
	return nil
}
