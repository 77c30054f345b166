package main

import (
	"fmt"
	"strings"
)

// configText is the file that join writes: every key with what it means. The result parses to what went in.
func configText(state string, list listConfig, postfix *postfixConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration of starttls-policy. An unknown key is an error.

# Folder for everything that is kept: lists, their proofs, what was last seen of each log.
state = %q
`, state)
	b.WriteString(listText(list))
	if postfix != nil {
		b.WriteString(postfixText(*postfix))
	}
	return b.String()
}

// listText is one [[list]], to be appended to a file as well.
func listText(l listConfig) string {
	quoted := make([]string, len(l.Mirrors))
	for i, m := range l.Mirrors {
		quoted[i] = fmt.Sprintf("%q", string(m))
	}
	return fmt.Sprintf(`
# A list. There may be several; the first that names a domain decides about it.
[[list]]
# Names the list in reports, and its folder in the state: a-z, 0-9, "-" and ".".
name = %q
# Where to fetch it: https:// or http:// URLs, or absolute paths of folders. Everything fetched is verified, so a mirror
# has to be reachable, not trusted. Each update begins with another one.
mirrors = [%s]
# What happens when no mirror has given a newer release before this one expires: "empty" lets go of all its policies,
# "keep" goes on enforcing them, though nobody has confirmed them since.
expired = %q
`, string(l.Name), strings.Join(quoted, ", "), string(l.Expired))
}

// postfixText is the [postfix] table.
func postfixText(p postfixConfig) string {
	return fmt.Sprintf(`
# The table for smtp_tls_policy_maps. Without this part none is written.
[postfix]
# The text of the table. Compiled types stand beside it, with the suffix that Postfix expects.
map = %q
# "texthash" (read as text when a Postfix process starts), or compiled: "lmdb", "cdb", "hash", "btree".
type = %q
# Which attributes a line may have: "legacy" (before Postfix 3.4), "sni" (3.4), "floor" (3.6). A Postfix that meets an
# attribute it does not know defers the mail. "auto" asks postconf, and takes "sni" where there is none.
dialect = %q
# Whether to run postmap for compiled types. With false somebody else has to.
postmap = %t
# true leaves out the domains with a ".suffix" pattern, which a table can only match more widely than the list means.
exact-only = %t
`, string(p.Map), string(p.Type), string(p.Dialect), p.Postmap == nil || *p.Postmap, p.ExactOnly)
}
