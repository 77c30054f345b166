package doctor

import (
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Codes is every code that Examine and History may give, in the order of the examination. They are never renamed.
func Codes() []policy.Code {
	return slices.Concat(serverCodes(), mapCodes(), tlsCodes(), relayCodes(), socketCodes(), listCodes(), machineCodes(), feedbackCodes(), eximCodes(), logCodes())
}

func serverCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.unseen", Severity: policy.Warning, Summary: "something could not be looked at",
			Fix: "run doctor as root, or as a user who may read it"},
		{ID: "doctor.mta.none", Severity: policy.Warning, Summary: "there is no mail server that doctor can look into",
			Fix: "put postconf or exim into PATH; what other servers make of an export only they can tell"},
		{ID: "doctor.mta.unused", Severity: policy.Error, Summary: "the configuration has nothing for this mail server",
			Fix: "join the list with the right --mta, or add [postfix], [serve] or [[export]] to the configuration"},
	}
}

func mapCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.map.type", Severity: policy.Error, Summary: "main.cf names a table type that this Postfix does not have: it defers ALL mail",
			Fix: "install the package for the type, such as postfix-lmdb, or name another type"},
		{ID: "doctor.map.missing", Severity: policy.Error, Summary: "main.cf names a table that is not there: Postfix defers ALL mail",
			Fix: "make the table, or take it out of smtp_tls_policy_maps"},
		{ID: "doctor.map.unused", Severity: policy.Error, Summary: "smtp_tls_policy_maps names neither our table nor our daemon, so nothing is enforced",
			Fix: "add it to smtp_tls_policy_maps; starttls-policy join prints the line"},
		{ID: "doctor.map.transport", Severity: policy.Error, Summary: "a transport of master.cf has other policy maps, and delivers without the list",
			Fix: "take \"-o smtp_tls_policy_maps=…\" out of master.cf, or add the list there"},
		{ID: "doctor.map.order", Severity: policy.Error, Summary: "a socket is asked before our table, and nobody answers there, so ALL mail waits, the listed domains' too",
			Fix: "put the table in front of every socketmap, or start what listens there"},
		{ID: "doctor.map.behind", Severity: policy.Notice, Summary: "another program's socket is asked before our table: its word comes first, and while nobody answers there ALL mail waits",
			Fix: "nothing, if that is a resolver of DANE or MTA-STS whose word is to come first; else put the table in front"},
		{ID: "doctor.map.mixed", Severity: policy.Error, Summary: "table and daemon are both in use: the table answers first, and the domains' own policies are never looked at",
			Fix: "choose one of the two set-ups"},
		{ID: "doctor.map.consumer", Severity: policy.Warning, Summary: "another program's socketmap is asked before our daemon, and decides about the domains that it knows",
			Fix: "keep one of the two: the daemon looks at MTA-STS and DANE as well"},
		{ID: "doctor.map.content", Severity: policy.Error, Summary: "the table is not as the lists have it",
			Fix: "starttls-policy update"},
		{ID: "doctor.map.writable", Severity: policy.Error, Summary: "others may write the table, or the folder that it lies in, and so take policies away",
			Fix: "take the permission away from group and others"},
		{ID: "doctor.dialect.new", Severity: policy.Error, Summary: "the answers have attributes that this Postfix does not know: it defers the mail of every listed domain",
			Fix: "choose the dialect by the version: legacy before 3.4, sni from 3.4, floor from 3.6, tlsrpt from 3.10.5"},
		{ID: "doctor.dialect.old", Severity: policy.Warning, Summary: "this Postfix understands more than it is told, and so protects less than it could",
			Fix: "choose the dialect by the version, or \"auto\""},
	}
}

func tlsCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.level.none", Severity: policy.Warning, Summary: "domains without a policy are delivered to in clear text",
			Fix: "postconf -e 'smtp_tls_security_level = may' && postfix reload"},
		{ID: "doctor.level.strict", Severity: policy.Warning, Summary: "domains without a policy are held to a level that many servers do not meet, and their mail waits",
			Fix: "postconf -e 'smtp_tls_security_level = may' && postfix reload"},
		{ID: "doctor.level.encrypt", Severity: policy.Notice, Summary: "mail to servers without TLS waits, also where no list asks for it",
			Fix: "nothing, if that is meant; else: postconf -e 'smtp_tls_security_level = may' && postfix reload"},
		{ID: "doctor.level.dane", Severity: policy.Notice, Summary: "for listed domains the table counts, not DANE",
			Fix: "nothing, if that is meant; else have update leave out the domains that have DANE ([leave-out] in the configuration), or let \"starttls-policy serve\" with the source \"dane\" ask for DANE first"},
		{ID: "doctor.dnssec.off", Severity: policy.Error, Summary: "DANE is asked for, but Postfix does not ask for DNSSEC: mail to domains with DANE waits, or goes without it",
			Fix: "postconf -e 'smtp_dns_support_level = dnssec' && postfix reload"},
		{ID: "doctor.ca.none", Severity: policy.Error, Summary: "Postfix has no CA certificates, so mail to every listed domain waits",
			Fix: "postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' && postfix reload"},
		{ID: "doctor.ca.missing", Severity: policy.Error, Summary: "there are no CA certificates where main.cf says, so mail to every listed domain waits",
			Fix: "name a file with the system's CA certificates in smtp_tls_CAfile"},
		{ID: "doctor.ca.chroot", Severity: policy.Error, Summary: "a chrooted smtp does not see smtp_tls_CApath, so mail to every listed domain waits",
			Fix: "use smtp_tls_CAfile, which is read before the chroot"},
		{ID: "doctor.sni", Severity: policy.Warning, Summary: "smtp_tls_servername is one name for all: servers with several certificates show the wrong one",
			Fix: "postconf -e 'smtp_tls_servername =' && postfix reload"},
		{ID: "doctor.protocols", Severity: policy.Warning, Summary: "listed domains are delivered to over TLS older than 1.2, which MTA-STS and the list forbid (RFC 8461 section 7.2)",
			Fix: "postconf -e 'smtp_tls_mandatory_protocols = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1' && postfix reload"},
		{ID: "doctor.persite", Severity: policy.Warning, Summary: "smtp_tls_per_site counts for nothing once smtp_tls_policy_maps is set",
			Fix: "move its entries into a table of your own in front of ours, in the form of smtp_tls_policy_maps"},
		{ID: "doctor.loglevel", Severity: policy.Notice, Summary: "the mail log says nothing about certificates",
			Fix: "postconf -e 'smtp_tls_loglevel = 1' && postfix reload"},
	}
}

func relayCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.relay.host", Severity: policy.Warning, Summary: "all mail goes to a relay: Postfix asks about the relay, never about the recipient's domain, so the list has no effect here",
			Fix: "follow the list on the relay instead"},
		{ID: "doctor.relay.transport", Severity: policy.Warning, Summary: "default_transport sends mail past smtp(8), or to a relay, so the list has no effect on it",
			Fix: "follow the list where the mail leaves for its MX hosts"},
		{ID: "doctor.relay.maps", Severity: policy.Notice, Summary: "some mail may go to a relay, about whose destinations the list is not asked",
			Fix: "nothing, if the tables name your own domains only"},
		{ID: "doctor.relay.fallback", Severity: policy.Warning, Summary: "mail that cannot be delivered safely goes to the fallback relay, whose policy counts there, not the recipient's",
			Fix: "postconf -e 'smtp_fallback_relay =' && postfix reload, or a secure policy for the relay, which follows the list itself"},
	}
}

func socketCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.socket.chroot", Severity: policy.Error, Summary: "a chrooted smtp does not see the socket: ALL mail waits",
			Fix: "let the socket lie below Postfix's queue directory, and name it in main.cf relative to that"},
		{ID: "doctor.socket.missing", Severity: policy.Error, Summary: "there is no socket where main.cf says: ALL mail waits",
			Fix: "start the daemon, or take it out of smtp_tls_policy_maps"},
		{ID: "doctor.socket.permission", Severity: policy.Error, Summary: "Postfix may not connect to the socket: ALL mail waits",
			Fix: "mode = \"0660\" and group = \"postfix\" in [serve], and a folder that Postfix may enter"},
		{ID: "doctor.socket.silent", Severity: policy.Error, Summary: "nobody answers at a socket that main.cf names: ALL mail waits",
			Fix: "start the daemon, or take it out of smtp_tls_policy_maps"},
		{ID: "doctor.socket.stranger", Severity: policy.Error, Summary: "where our daemon is expected another program answers",
			Fix: "give one of the two another address"},
		{ID: "doctor.socket.answer", Severity: policy.Error, Summary: "the daemon does not answer as it should",
			Fix: "look at its log: journalctl -u starttls-policy"},
		{ID: "doctor.socket.list", Severity: policy.Warning, Summary: "the daemon gives no policy for a listed domain",
			Fix: "starttls-policy explain DOMAIN; the domain's own policy, an [[override]] or an older list in the daemon may be why"},
		{ID: "doctor.socket.public", Severity: policy.Warning, Summary: "the daemon listens where other machines may reach it",
			Fix: "listen on 127.0.0.1, or on a unix socket"},
		{ID: "doctor.resolver.silent", Severity: policy.Warning, Summary: "the resolver does not answer",
			Fix: "look at /etc/resolv.conf, or at resolver in [serve]"},
		{ID: "doctor.resolver.dane", Severity: policy.Error, Summary: "DANE is asked for, but the resolver does not validate DNSSEC: no domain counts as having DANE",
			Fix: "run a validating resolver on this machine, such as unbound, and name it in /etc/resolv.conf or [serve]"},
		{ID: "doctor.resolver.plain", Severity: policy.Notice, Summary: "the resolver does not validate DNSSEC, so DANE cannot be used here",
			Fix: "nothing; with a validating resolver on this machine DANE could be one of the sources"},
		{ID: "doctor.resolver.remote", Severity: policy.Error, Summary: "answers of a resolver on another machine are believed (trust-ad), though anybody on the way can forge them",
			Fix: "run a validating resolver on this machine and name it, or take \"dane\" and trust-ad out of [serve]"},
		{ID: "doctor.resolver.chroot", Severity: policy.Warning, Summary: "a chrooted smtp has another resolver than the rest of the machine",
			Fix: "copy /etc/resolv.conf into the chroot, as Debian's init script does at each start of Postfix, and run postfix reload"},
	}
}
