package doctor

import (
	"strings"
	"time"
)

// row is a machine with one fault, and what is found. Everything else about it is healthy.
type row struct {
	base  func() Facts
	spoil func(f *Facts)
	codes string // of all findings, in order
	says  string // in the first one: what was found, or the fix
}

var rows = map[string]row{
	"canary":              {healthy, func(f *Facts) { f.Feedback = &Feedback{Canary: true} }, "doctor.feedback.canary", "canary-delivered"},
	"no key of feedback":  {healthy, func(f *Facts) { f.Feedback = &Feedback{NoKey: "open /x: no such file"} }, "doctor.feedback.key", "/x"},
	"feedback not run":    {healthy, func(f *Facts) { f.Feedback = &Feedback{Idle: "it never ran"} }, "doctor.feedback.idle", "it never ran"},
	"feedback refused":    {healthy, func(f *Facts) { f.Feedback = &Feedback{Overdue: 2, Why: "HTTP 502"} }, "doctor.feedback.overdue", "2 of the last 14 days: HTTP 502"},
	"unseen":              {healthy, func(f *Facts) { f.Unseen = []string{"/x: permission denied"} }, "doctor.unseen", "/x: permission denied"},
	"no mail server":      {healthy, func(f *Facts) { f.Postfix, f.OtherMTA = nil, "no postconf" }, "doctor.mta.none", "no postconf"},
	"nothing for postfix": {healthy, func(f *Facts) { f.Table = nil }, "doctor.mta.unused", "3.7.11"},
	"nothing for exim":    {withExim, func(f *Facts) { f.Exports = nil }, "doctor.mta.unused", "4.96"},
	"type":                {healthy, func(f *Facts) { f.Postfix.Types = []string{"hash"} }, "doctor.map.type", "apt install postfix-cdb"},
	"type of an override": {healthy, func(f *Facts) { f.override("smtp_tls_policy_maps", "cdb:"+ourTable+" lmdb:/mine") }, "doctor.map.type", "lmdb:/mine"},
	"missing":             {healthy, func(f *Facts) { f.Postfix.Files[ourTable+".cdb"] = File{Missing: true} }, "doctor.map.missing", "postmap 'cdb:" + ourTable + "'"},
	"missing pcre": {healthy, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "regexp:/x cdb:"+ourTable)
		f.Postfix.Types = nil
		f.Postfix.Files["/x"] = File{Missing: true}
	}, "doctor.map.missing", "make the table"},
	"unused":                {healthy, func(f *Facts) { f.set("smtp_tls_policy_maps", "") }, "doctor.map.unused", "postconf -e 'smtp_tls_policy_maps = cdb:" + ourTable + "' && postfix reload"},
	"unused, with a socket": {healthy, func(f *Facts) { f.set("smtp_tls_policy_maps", "hash:/mine, socketmap:inet:127.0.0.1:8642:QUERY") }, "doctor.map.unused", "postconf -e 'smtp_tls_policy_maps = hash:/mine, socketmap:inet:127.0.0.1:8642:QUERY, cdb:" + ourTable + "'"},
	"unused daemon":         {withDaemon, func(f *Facts) { f.set("smtp_tls_policy_maps", ""); f.Sockets = nil }, "doctor.map.unused", "socketmap:inet:127.0.0.1:8461:floor"},
	"unused unix daemon": {withDaemon, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "")
		f.Sockets = nil
		f.Daemon.Listen = []string{"unix:/var/spool/postfix/p/s"}
	}, "doctor.map.unused", "socketmap:unix:p/s:floor"},
	"order": {healthy, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8642:QUERY cdb:"+ourTable)
		f.Sockets = []Socket{{Entry: "socketmap:inet:127.0.0.1:8642:QUERY", Place: "127.0.0.1:8642", Silent: "refused"}}
	}, "doctor.map.order doctor.socket.silent", "postconf -e 'smtp_tls_policy_maps = cdb:" + ourTable + ", socketmap:inet:127.0.0.1:8642:QUERY' && postfix reload"},
	"order, out of reach": {healthy, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "socketmap:unix:/run/s:QUERY cdb:"+ourTable)
		f.Sockets = []Socket{{Entry: "socketmap:unix:/run/s:QUERY", Place: "/run/s", Blocked: "mode 0600"}}
	}, "doctor.map.order doctor.socket.permission", "'smtp_tls_policy_maps = cdb:" + ourTable + ", socketmap:unix:/run/s:QUERY'"},
	"behind": {healthy, func(f *Facts) { f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8642:QUERY cdb:"+ourTable) }, "doctor.map.behind", "else: postconf -e 'smtp_tls_policy_maps = cdb:" + ourTable + ", socketmap:inet:127.0.0.1:8642:QUERY'"},
	"mixed": {withDaemon, func(f *Facts) {
		f.Table = healthy().Table
		f.set("smtp_tls_policy_maps", "cdb:"+ourTable+" socketmap:inet:127.0.0.1:8461:floor")
	}, "doctor.map.mixed", "'smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:floor'"},
	"consumer": {withDaemon, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8642:QUERY socketmap:inet:127.0.0.1:8461:floor")
	}, "doctor.map.consumer", "127.0.0.1:8642:QUERY is in front"},
	"other type": {healthy, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "hash:"+ourTable)
		f.Postfix.Files[ourTable+".db"] = File{}
	}, "doctor.map.content", "cdb:" + ourTable + "'"},
	"content":     {healthy, func(f *Facts) { f.Table.Right, f.Table.State = false, "is OUT OF DATE" }, "doctor.map.content", "is OUT OF DATE"},
	"writable":    {healthy, func(f *Facts) { f.Table.Writable = "/it's" }, "doctor.map.writable", `chmod go-w '/it'\''s'`},
	"transport":   {healthy, func(f *Facts) { f.override("smtp_tls_policy_maps", "") }, "doctor.map.transport", "postconf -PX relay/unix/smtp_tls_policy_maps"},
	"new dialect": {healthy, func(f *Facts) { f.Postfix.Version = "3.5.25" }, "doctor.dialect.new", "Postfix 3.5.25 understands sni"},
	"old dialect": {healthy, func(f *Facts) {
		f.Table.Dialect, f.Table.Fixed = "sni", true
		f.set("smtp_tls_mandatory_protocols", ">=TLSv1.2")
	}, "doctor.dialect.old", "auto"},
	"new map name": {withDaemon, func(f *Facts) { f.Postfix.Version = "3.5.25" }, "doctor.dialect.new", "'smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:sni'"},
	"newer map name": {withDaemon, func(f *Facts) {
		f.Postfix.Version = "3.1.4"
		f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8461:tlsrpt")
		f.Sockets[0].Entry = "socketmap:inet:127.0.0.1:8461:tlsrpt"
	}, "doctor.dialect.new", "'smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:legacy'"},
	"old map name":          {withDaemon, func(f *Facts) { f.Postfix.Version = "3.10.5" }, "doctor.dialect.old", "'smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:tlsrpt'"},
	"level none":            {healthy, func(f *Facts) { f.set("smtp_tls_security_level", "") }, "doctor.level.none", "transport smtp, relay"},
	"level none of one":     {healthy, func(f *Facts) { f.override("smtp_tls_security_level", "none") }, "doctor.level.none", "none, transport relay"},
	"level strict":          {healthy, func(f *Facts) { f.set("smtp_tls_security_level", "secure") }, "doctor.level.strict", "secure"},
	"level encrypt":         {healthy, func(f *Facts) { f.set("smtp_tls_security_level", ""); f.set("smtp_enforce_tls", "yes") }, "doctor.level.encrypt", "encrypt"},
	"level dane":            {healthy, func(f *Facts) { f.set("smtp_tls_security_level", "dane"); f.set("smtp_dns_support_level", "dnssec") }, "doctor.level.dane", "dane"},
	"dane without dnssec":   {healthy, func(f *Facts) { f.set("smtp_tls_security_level", "dane") }, "doctor.dnssec.off doctor.level.dane", "smtp_dns_support_level = "},
	"daemon without dnssec": {withDaemon, func(f *Facts) { f.Daemon.DANE = true }, "doctor.dnssec.off", "transport smtp, relay"},
	"no ca":                 {healthy, func(f *Facts) { f.set("smtp_tls_CAfile", "") }, "doctor.ca.none", "postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' && postfix reload"},
	"ca of one":             {healthy, func(f *Facts) { f.override("smtp_tls_CAfile", "") }, "doctor.ca.none", "transport relay"},
	"empty ca":              {healthy, func(f *Facts) { f.Postfix.Files["/ca.pem"] = File{} }, "doctor.ca.missing", "/ca.pem has no certificate"},
	"missing ca":            {healthy, func(f *Facts) { f.Postfix.Files["/ca.pem"] = File{Missing: true} }, "doctor.ca.missing", "/ca.pem"},
	"empty ca folder": {healthy, func(f *Facts) {
		f.set("smtp_tls_CAfile", "")
		f.set("smtp_tls_CApath", "/certs")
		f.Postfix.Files["/certs"] = File{}
	}, "doctor.ca.missing", "5ed36f99.0"},
	"ca out of the chroot": {healthy, func(f *Facts) {
		f.set("smtp_tls_CAfile", "")
		f.set("smtp_tls_CApath", "/certs")
		f.Postfix.Files["/certs"] = File{Certs: 9}
		f.Postfix.Files["/var/spool/postfix/certs"] = File{Missing: true}
	}, "doctor.ca.chroot", "/var/spool/postfix/certs"},
	"sni": {healthy, func(f *Facts) {
		f.Table.Dialect = "legacy"
		f.set("smtp_tls_servername", "mx.example")
		f.set("smtp_tls_mandatory_protocols", "TLSv1.2")
	}, "doctor.sni", "mx.example"},
	"protocols":         {healthy, func(f *Facts) { f.Table.Dialect, f.Postfix.Version = "sni", "3.5.25" }, "doctor.protocols", ">=TLSv1"},
	"per site":          {healthy, func(f *Facts) { f.set("smtp_tls_per_site", "hash:/old") }, "doctor.persite", "hash:/old"},
	"log level":         {healthy, func(f *Facts) { f.set("smtp_tls_loglevel", "0") }, "doctor.loglevel", "smtp_tls_loglevel = 1"},
	"relayhost":         {healthy, func(f *Facts) { f.set("relayhost", "[relay.example]:587") }, "doctor.relay.host", "[relay.example]:587"},
	"default transport": {healthy, func(f *Facts) { f.set("default_transport", "smtp:[relay.example]") }, "doctor.relay.transport", "smtp:[relay.example]"},
	"other transport":   {healthy, func(f *Facts) { f.set("default_transport", "uucp") }, "doctor.relay.transport", "uucp"},
	"transport maps": {healthy, func(f *Facts) {
		f.set("transport_maps", "hash:/t")
		f.set("sender_dependent_relayhost_maps", "hash:/s")
	}, "doctor.relay.maps", "transport_maps = hash:/t; sender_dependent_relayhost_maps = hash:/s"},
	"fallback": {healthy, func(f *Facts) { f.override("smtp_fallback_relay", "[b.example]") }, "doctor.relay.fallback", "transport relay"},
	"socket out of reach": {withDaemon, func(f *Facts) {
		f.Sockets[0].Missing, f.Sockets[0].Chrooted, f.Sockets[0].Elsewhere = true, true, "/run/s"
	}, "doctor.socket.chroot", "/run/s is out of its reach"},
	"our socket out of reach": {withDaemon, func(f *Facts) {
		f.Daemon.Listen = []string{"unix:/run/s"}
		f.set("smtp_tls_policy_maps", "socketmap:unix:/run/s:floor")
		f.Sockets = []Socket{{Entry: "socketmap:unix:/run/s:floor", Chrooted: true, Missing: true, Place: "/var/spool/postfix/run/s", Elsewhere: "/run/s"}}
	}, "doctor.socket.chroot", "below Postfix's queue directory"},
	"our socket by its whole path": {withDaemon, func(f *Facts) {
		f.Daemon.Listen = []string{"unix:/var/spool/postfix/p/s"}
		f.set("smtp_tls_policy_maps", "hash:/mine socketmap:unix:/var/spool/postfix/p/s:floor")
		f.Sockets = []Socket{{Entry: "socketmap:unix:/var/spool/postfix/p/s:floor", Chrooted: true, Missing: true, Place: "/var/spool/postfix/var/spool/postfix/p/s", Elsewhere: "/var/spool/postfix/p/s"}}
	}, "doctor.socket.chroot", "postconf -e 'smtp_tls_policy_maps = hash:/mine, socketmap:unix:p/s:floor'"},
	"their socket": {healthy, func(f *Facts) {
		f.set("smtp_tls_policy_maps", "cdb:"+ourTable+", socketmap:inet:127.0.0.1:8642:QUERY")
		f.Sockets = []Socket{{Entry: "socketmap:inet:127.0.0.1:8642:QUERY", Place: "127.0.0.1:8642", Silent: "refused"}}
	}, "doctor.socket.silent", "or: postconf -e 'smtp_tls_policy_maps = cdb:" + ourTable + "'"},
	"socket missing":       {withDaemon, func(f *Facts) { f.Sockets[0].Missing = true }, "doctor.socket.missing", "127.0.0.1:8461"},
	"socket forbidden":     {withDaemon, func(f *Facts) { f.Sockets[0].Blocked = "mode 0600" }, "doctor.socket.permission", "mode 0600"},
	"socket silent":        {withDaemon, func(f *Facts) { f.Sockets[0].Silent = "connection refused" }, "doctor.socket.silent", "systemctl start starttls-policy.socket"},
	"stranger":             {withDaemon, func(f *Facts) { f.Sockets[0].Ours = false }, "doctor.socket.stranger", "127.0.0.1:8461"},
	"temporary":            {withDaemon, func(f *Facts) { f.Sockets[0].Unlisted.Reply = "TEMP disk" }, "doctor.socket.answer", "TEMP disk"},
	"temporary for a list": {withDaemon, func(f *Facts) { f.Sockets[0].Listed.Reply = "TEMP disk" }, "doctor.socket.answer", "a.example"},
	"listed is not found":  {withDaemon, func(f *Facts) { f.Sockets[0].Listed.Reply = "NOTFOUND" }, "doctor.socket.list", "starttls-policy explain a.example"},
	"public":               {withDaemon, func(f *Facts) { f.Daemon.Listen = append(f.Daemon.Listen, "192.0.2.1:8461") }, "doctor.socket.public", "192.0.2.1:8461"},
	"private is public":    {withDaemon, func(f *Facts) { f.Daemon.Listen = append(f.Daemon.Listen, "10.0.0.1:8461") }, "doctor.socket.public", "10.0.0.1:8461"},
	"resolver silent":      {healthy, func(f *Facts) { f.Resolvers[0].Failed = "SERVFAIL" }, "doctor.resolver.silent", "SERVFAIL"},
	"resolver for dane": {withDaemon, func(f *Facts) {
		f.Daemon.DANE, f.Resolvers[0].Secure = true, false
		f.set("smtp_dns_support_level", "dnssec")
	}, "doctor.resolver.dane", "127.0.0.1:53"},
	"resolver for a level": {healthy, func(f *Facts) {
		f.Resolvers[0].Secure = false
		f.set("smtp_tls_security_level", "dane")
		f.set("smtp_dns_support_level", "dnssec")
	}, "doctor.resolver.dane doctor.level.dane", "127.0.0.1:53"},
	"second resolver": {healthy, func(f *Facts) {
		f.Resolvers = append(f.Resolvers, Resolver{Address: "192.0.2.53:53", Failed: "timeout"})
	}, "doctor.resolver.silent", "192.0.2.53:53"},
	"resolver plain": {healthy, func(f *Facts) { f.Resolvers[0].Secure = false }, "doctor.resolver.plain", "127.0.0.1:53"},
	"resolver remote": {withDaemon, func(f *Facts) {
		f.Daemon.TrustAD, f.Resolvers[0].Loopback, f.Resolvers[0].Address = true, false, "192.0.2.53:53"
		f.set("smtp_dns_support_level", "dnssec")
	}, "doctor.resolver.remote", "192.0.2.53:53"},
	"resolver remote and silent": {withDaemon, func(f *Facts) {
		f.Daemon.TrustAD, f.Resolvers[0].Loopback, f.Resolvers[0].Address, f.Resolvers[0].Failed = true, false, "192.0.2.53:53", "timeout"
		f.set("smtp_dns_support_level", "dnssec")
	}, "doctor.resolver.remote doctor.resolver.silent", "192.0.2.53:53"},
	"resolver in chroot": {healthy, func(f *Facts) { f.Postfix.ChrootResolver = "/x differs" }, "doctor.resolver.chroot", "/x differs"},
	"list unreadable":    {healthy, func(f *Facts) { f.Lists[0].Error = "permission denied" }, "doctor.list.unreadable", "permission denied"},
	"list damaged":       {healthy, func(f *Facts) { f.Lists[0].Damaged = "checksum" }, "doctor.list.damaged", "checksum"},
	"list none":          {healthy, func(f *Facts) { f.Lists[0] = List{Name: "example"} }, "doctor.list.none", "example"},
	"list expired":       {healthy, func(f *Facts) { f.Lists[0].Freshness = "expired" }, "doctor.list.expired", "release 7"},
	"list kept":          {healthy, func(f *Facts) { f.Lists[0].Freshness, f.Lists[0].Kept = "expired", true }, "doctor.list.kept", "release 7"},
	"list stale":         {healthy, func(f *Facts) { f.Lists[0].Freshness = "stale" }, "doctor.list.stale", "2026-03-15T13:00:00Z"},
	"list ended":         {healthy, func(f *Facts) { f.Lists[0].Ended = true }, "doctor.list.ended", "example"},
	"list pinned":        {healthy, func(f *Facts) { f.Lists[0].Pinned = "since yesterday" }, "doctor.list.pinned", "rollback --undo --list example"},
	"list held":          {healthy, func(f *Facts) { f.Lists[0].Held, f.Lists[0].HeldRelease = "half of it", 8 }, "doctor.list.held", "--list example --accept 8"},
	"evidence":           {healthy, func(f *Facts) { f.Lists[0].Evidence = "/e" }, "doctor.list.evidence", "--evidence '/e'"},
	"trust expired":      {healthy, func(f *Facts) { f.Lists[0].TrustExpires = now.Add(-time.Hour) }, "doctor.trust.expired", "trust version 1"},
	"trust ends":         {healthy, func(f *Facts) { f.Lists[0].TrustExpires = now.AddDate(0, 0, 29) }, "doctor.trust.ends", "2026-03-30"},
	"unwitnessed":        {healthy, func(f *Facts) { f.Lists[0].Witnessed = false }, "doctor.trust.unwitnessed", "no witness"},
	"clock":              {healthy, func(f *Facts) { f.Lists[0].ClockBehind = time.Hour }, "doctor.clock.behind", "1h0m0s"},
	"export":             {withExim, func(f *Facts) { f.Exports[0].Right, f.Exports[0].State = false, "is MISSING" }, "doctor.export.content", "is MISSING"},
	"disabled":           {healthy, func(f *Facts) { f.Off = "outage" }, "doctor.disabled", "outage"},
	"override":           {healthy, func(f *Facts) { f.Overrides = []string{"a.example, until 2026-02-28"} }, "doctor.override.ended", "a.example"},
	"never updated":      {healthy, func(f *Facts) { f.Update.Last = time.Time{} }, "doctor.update.never", "/var/lib/starttls-policy/update.json"},
	"updated long ago":   {healthy, func(f *Facts) { f.Update.Last = now.Add(-25 * time.Hour) }, "doctor.update.old", "2026-02-28T12:00:00Z"},
	"update failed":      {healthy, func(f *Facts) { f.Update.Failed = "no space" }, "doctor.update.failed", "no space"},
	"no unit":            {healthy, func(f *Facts) { f.Update.Active, f.Update.Asked = nil, []string{"a.timer"} }, "doctor.update.unit", "a.timer"},
	"no socket unit":     {withDaemon, func(f *Facts) { f.Update.Active = f.Update.Active[1:] }, "doctor.update.socket", "starttls-policy.service"},
	"no state":           {healthy, func(f *Facts) { f.State.Missing = true }, "doctor.state.missing", "/var/lib/starttls-policy"},
	"state writable":     {healthy, func(f *Facts) { f.State.Writable = "/s" }, "doctor.state.writable", "chmod go-w '/s'"},
	"state of others":    {healthy, func(f *Facts) { f.State.Owners = strings.Fields("a b c d e f g") }, "doctor.state.owner", "a, b, c, d, e and 2 more"},
	"left":               {healthy, func(f *Facts) { f.State.Left = []string{".tmp-1"} }, "doctor.state.left", ".tmp-1"},
	"exim mute":          {withExim, func(f *Facts) { f.Exim.Refused = "permission denied" }, "doctor.exim.unseen", "permission denied"},
	"exim without cdb":   {withExim, func(f *Facts) { f.Exim.Lookups = []string{"lsearch"} }, "doctor.exim.cdb", "lsearch"},
	"exim unused":        {withExim, func(f *Facts) { f.Exim.Routers[1].Options["domains"] = "" }, "doctor.exim.unused", "exim-tls-policy.cdb"},
	"exim order":         {withExim, func(f *Facts) { r := f.Exim.Routers; r[1], r[2] = r[2], r[1] }, "doctor.exim.router", "move the router list in front of others"},
	"exim smarthost":     {withExim, func(f *Facts) { f.Exim.Routers[0].Options["domains"] = "" }, "doctor.exim.router", "hubbed (manualroute)"},
	"exim transport":     {withExim, func(f *Facts) { f.Exim.Routers[1].Options["transport"] = "other" }, "doctor.exim.transport", `"other"`},
	"exim without tls":   {withExim, func(f *Facts) { f.Exim.Transports[0].Options["hosts_require_tls"] = "" }, "doctor.exim.transport", "hosts_require_tls = "},
	"exim without names": {withExim, func(f *Facts) { f.Exim.Transports[0].Options["event_action"] = "" }, "doctor.exim.transport", "event_action"},
	"exim shares":        {withExim, func(f *Facts) { f.Exim.Transports[0].Options["multi_domain"] = "true" }, "doctor.exim.transport", "several domains"},
}
