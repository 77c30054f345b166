package doctor

import "github.com/starttls-everywhere/policylist/policy"

func listCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.list.unreadable", Severity: policy.Error, Summary: "a list cannot be read",
			Fix: "starttls-policy update, as the user who owns the state"},
		{ID: "doctor.list.damaged", Severity: policy.Warning, Summary: "files of a list are damaged",
			Fix: "starttls-policy update repairs them"},
		{ID: "doctor.list.none", Severity: policy.Error, Summary: "a list was never fetched, so nothing of it is in force",
			Fix: "starttls-policy update"},
		{ID: "doctor.list.expired", Severity: policy.Error, Summary: "a list has expired, and nothing of it is in force",
			Fix: "starttls-policy update, and look at what it says about the mirrors"},
		{ID: "doctor.list.kept", Severity: policy.Warning, Summary: "a list has expired and is enforced all the same (expired = \"keep\"): nobody has confirmed it since",
			Fix: "starttls-policy update, and look at what it says about the mirrors"},
		{ID: "doctor.list.stale", Severity: policy.Warning, Summary: "a list is older than two days; it stays in force until it expires",
			Fix: "starttls-policy update, and look at what it says about the mirrors"},
		{ID: "doctor.list.ended", Severity: policy.Warning, Summary: "the operator has ended a list, and every policy with it",
			Fix: "take the [[list]] out of the configuration"},
		{ID: "doctor.list.held", Severity: policy.Warning, Summary: "a release is held back, for it changes much at once",
			Fix: "starttls-policy update --accept RELEASE, if the operator confirms it"},
		{ID: "doctor.list.pinned", Severity: policy.Warning, Summary: "this machine was put back to an earlier list, and the newest waits",
			Fix: "starttls-policy rollback --undo"},
		{ID: "doctor.list.evidence", Severity: policy.Error, Summary: "the log has signed two histories",
			Fix: "starttls-policy verify --evidence FILE, and tell the operator and others who follow the list"},
		{ID: "doctor.trust.expired", Severity: policy.Warning, Summary: "the trust has expired: no release made since counts",
			Fix: "nothing here: the operator has to sign a new trust version"},
		{ID: "doctor.trust.ends", Severity: policy.Notice, Summary: "the trust expires within a month",
			Fix: "nothing here: the operator has to sign a new trust version"},
		{ID: "doctor.trust.unwitnessed", Severity: policy.Notice, Summary: "no witness vouches for the list, so a copy made for you alone would go unnoticed",
			Fix: "nothing here: the operator chooses the witnesses"},
		{ID: "doctor.clock.behind", Severity: policy.Error, Summary: "this machine's clock is behind: lists would be believed for too long, and certificates may count as not valid yet",
			Fix: "set the clock, and let chrony or systemd-timesyncd keep it"},
		{ID: "doctor.export.content", Severity: policy.Error, Summary: "a mail server's file is not as the lists have it",
			Fix: "starttls-policy update"},
		{ID: "doctor.disabled", Severity: policy.Warning, Summary: "all policies are switched off",
			Fix: "starttls-policy enable"},
		{ID: "doctor.override.ended", Severity: policy.Warning, Summary: "an [[override]] has come to its last day and does nothing any more",
			Fix: "take it out of the configuration, or give it another \"until\""},
	}
}

func machineCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.update.never", Severity: policy.Error, Summary: "no update has ever run",
			Fix: "starttls-policy update"},
		{ID: "doctor.update.old", Severity: policy.Error, Summary: "no update has run for a day, so nothing would let go of a list that expires",
			Fix: "systemctl enable --now starttls-policy-update.timer, or start the daemon"},
		{ID: "doctor.update.failed", Severity: policy.Error, Summary: "the last update failed",
			Fix: "starttls-policy update, and do what it says"},
		{ID: "doctor.update.unit", Severity: policy.Warning, Summary: "systemd starts neither updates nor the daemon",
			Fix: "systemctl enable --now starttls-policy-update.timer, or, with the daemon, starttls-policy.socket"},
		{ID: "doctor.update.socket", Severity: policy.Warning, Summary: "systemd does not hold the daemon's socket: while the daemon is restarted, Postfix defers mail",
			Fix: "systemctl enable --now starttls-policy.socket"},
		{ID: "doctor.state.missing", Severity: policy.Error, Summary: "the state folder is not there",
			Fix: "starttls-policy join, or mend state in the configuration"},
		{ID: "doctor.state.writable", Severity: policy.Error, Summary: "others may write the state, and so switch policies off",
			Fix: "take the permission away from group and others"},
		{ID: "doctor.state.owner", Severity: policy.Warning, Summary: "files in the state folder belong to another user than the folder, so an update may fail to replace them",
			Fix: "chown them to the folder's owner; run starttls-policy update as that user only"},
		{ID: "doctor.state.left", Severity: policy.Notice, Summary: "temporary files were left by something that was killed",
			Fix: "the next update removes its own; remove the others"},
	}
}

func eximCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.exim.unseen", Severity: policy.Warning, Summary: "Exim does not show its configuration",
			Fix: "run doctor as root"},
		{ID: "doctor.exim.cdb", Severity: policy.Error, Summary: "this Exim has no lookup of the type cdb: it would defer all mail that the settings concern",
			Fix: "install an Exim with cdb, as Debian's are"},
		{ID: "doctor.exim.unused", Severity: policy.Error, Summary: "Exim's configuration does not name the list's file, so nothing is enforced",
			Fix: "put into Exim's configuration what this prints: starttls-policy export exim --settings"},
		{ID: "doctor.exim.router", Severity: policy.Error, Summary: "a router in front of the list's takes mail to other hosts, so the list is not asked about it",
			Fix: "move the list's router in front of all that send to other hosts"},
		{ID: "doctor.exim.transport", Severity: policy.Error, Summary: "the list's transport does not demand what the list means",
			Fix: "take the transport whole from what this prints: starttls-policy export exim --settings"},
	}
}

func logCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.log.empty", Severity: policy.Warning, Summary: "the log has no delivery by Postfix's smtp(8)",
			Fix: "give the mail log, or \"-\" and what journalctl -o short -u 'postfix*' prints"},
		{ID: "doctor.log.silent", Severity: policy.Warning, Summary: "the log says nothing about TLS, so nobody can tell what would have changed",
			Fix: "postconf -e 'smtp_tls_loglevel = 1' && postfix reload, and look again in a few days"},
		{ID: "doctor.log.ca", Severity: policy.Warning, Summary: "in the whole log no certificate was found good: Postfix seems to have had no CA certificates",
			Fix: "postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' && postfix reload, and look again in a few days"},
		{ID: "doctor.log.relay", Severity: policy.Warning, Summary: "all mail went to one server, whatever its domain: to a relay, on which the list would have to be",
			Fix: "follow the list on the relay instead"},
		{ID: "doctor.log.waits", Severity: policy.Warning, Summary: "mail that was delivered to a listed domain would have waited",
			Fix: "starttls-policy explain DOMAIN; ask the domain's administrator, or write an [[override]]"},
		{ID: "doctor.log.configuration", Severity: policy.Error, Summary: "Postfix deferred mail over its own TLS configuration: a table or a socket of smtp_tls_policy_maps failed",
			Fix: "starttls-policy doctor, without --log"},
	}
}
