package main

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// configText is the file that join writes: every key with what it means. The result parses to what went in.
func configText(state string, list listConfig, postfix *postfixConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration of starttls-policy. An unknown key is an error.

# Folder for everything that is kept: lists, their proofs, what was last seen of each log.
state = %q

# Domains whose "testing" policies this machine enforces, as an early adopter; "*" stands for all.
#early-adopter = ["a.example"]
`, state)
	b.WriteString(listText(list))
	if postfix != nil {
		b.WriteString(postfixText(*postfix))
	}
	b.WriteString(leaveOutText)
	b.WriteString(testingText)
	b.WriteString(serveText)
	b.WriteString(feedbackText(list.Name))
	return b.String()
}

// serveText shows the parts that nobody needs at first, as comments.
const serveText = `
# What this machine's administrator says of a domain, whatever the lists and the domain itself say.
#[[override]]
#domain = "a.example"
# The MX names to demand, or leave it out: then the domain is delivered to as if it had no policy.
#mxs = ["mx.a.example", ".mail.a.example"]
# Why; it is needed. The last day of it, in UTC; without one it stays.
#reason = "they told us on the telephone"
#until = "2027-01-31"

# A file for a mail server other than Postfix, kept up to date by every update: see starttls-policy export --help.
#[[export]]
# "exim", "sendmail-sts", "sendmail", "opensmtpd", "haraka", "json" or "hints".
#format = "exim"
#file = "/var/lib/starttls-policy/exim-tls-policy.cdb"

# The daemon, "starttls-policy serve". Without it the table above is all that a mail server needs.
#[serve]
# Where to listen: "unix:/path" or "ADDRESS:PORT". Not needed where systemd passes the sockets. Below Postfix's queue
# directory a socket can be reached by a chrooted smtp as well.
#listen = ["unix:/var/spool/postfix/starttls-policy/socket", "127.0.0.1:8461"]
# Permission and group of the unix sockets.
#mode = "0660"
#group = "postfix"
# Who is asked, in the order in which they count: "dane", "mta-sts", "list". With ["list"] nobody is asked anything.
# "dane" needs smtp_dns_support_level = dnssec in main.cf.
#sources = ["mta-sts", "list"]
# The resolver, instead of that of /etc/resolv.conf; and whether it validates DNSSEC and is reached over a way that nobody
# can tamper with, such as loopback.
#resolver = "127.0.0.1:53"
#trust-ad = false
# How often it updates the lists, or "off" when a timer does.
#update = "6h"
# Where Prometheus finds /metrics, and others /healthz. Without it, nowhere.
#metrics = "127.0.0.1:9465"

# The same metrics without a daemon, as far as there are any: a file for node_exporter's textfile collector, written by
# every update. Its name ends with ".prom".
#[metrics]
#textfile = "/var/lib/starttls-policy/starttls-policy.prom"
`

// serveSection is what the daemon set-up begins with.
const serveSection = `
# Postfix asks the daemon here. systemd passes this socket where it starts the daemon by its units.
[serve]
listen = ["` + unitSocket + `"]
`

// unitSocket is that of starttls-policy.socket.
const unitSocket = mta.DaemonAddress

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
# "texthash" (read as text when a Postfix process starts), or compiled: "cdb", "lmdb", "hash", "btree". It has to be one
# that "postconf -m" names: over any other Postfix defers all mail. join has chosen this one.
type = %q
# Which attributes a line may have: "legacy" (before Postfix 3.4), "sni" (3.4), "floor" (3.6), "tlsrpt" (3.10.5). A Postfix
# that meets an attribute it does not know defers the mail. "auto" asks postconf, and takes "sni" where there is none.
dialect = %q
# Whether to make the compiled form: cdb by itself, others by postmap. With false somebody else has to.
postmap = %t
# true leaves out the domains with a ".suffix" pattern, which dialects before "tlsrpt" can only match more widely than the
# list means.
exact-only = %t
`, string(p.Map), string(p.Type), string(p.Dialect), p.Postmap == nil || *p.Postmap, p.ExactOnly)
}
