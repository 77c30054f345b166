package policy

func changeCodes() []Code {
	return []Code{
		{"change.alias", []string{"R17"}, Warning, "an edit of an alias changes this domain",
			"each member of the alias is probed again and needs the consent that its own row of the change table asks for"},
		{"change.mode-and-mxs", []string{"R52"}, Error, "mode and mxs change in one step",
			"change the mxs first and the mode in a later release, so that a failure shows which of the two caused it"},
		{"change.budget", []string{"R52"}, Warning, "more changes of one kind than a release carries by itself",
			"split the change over several releases, or let two maintainers accept it: a release holds what is over its budget"},
		{"change.override", []string{"R54"}, Warning, "a maintainer's override is dropped or changed",
			"keep the override, or let a maintainer confirm in review that its reason has gone; bots may not do this"},
	}
}

// reasonCodes are what a change leaf's reason, and a release leaf's override, may say (FORMATS section 4; the change
// table in RULES.md says what each needs).
func reasonCodes() []Code {
	return []Code{
		{"add.testing", []string{"R33"}, Reason, "a domain joins the list in mode testing",
			"after one pass, with MTA-STS, the owner's proof in DNS, or two maintainers"},
		{"add.enforce", []string{"R33"}, Reason, "a domain joins the list in mode enforce",
			"after as much evidence as promote.evidence needs"},
		{"promote.evidence", []string{"R33"}, Reason, "testing becomes enforce",
			"after 14 days of passes with MTA-STS, 28 with the owner's proof"},
		{"demote.owner", []string{"R37"}, Reason, "enforce becomes testing at the owner's wish",
			"by MTA-STS for 24 hours or the owner's proof for 48"},
		{"demote.emergency", []string{"R37"}, Reason, "enforce becomes testing because mail cannot arrive now",
			"by the owner's signal and a hard fail by quorum, or by two maintainers"},
		{"demote.auto", []string{"R36"}, Reason, "enforce becomes testing after two days of hard fails",
			"by a quorum of at least two vantages"},
		{"restore.auto", []string{"R36"}, Reason, "a domain that demote.auto or remove.auto changed is back as it was",
			"by passes of the quorum within 30 days"},
		{"mxs.narrowed", []string{"R34"}, Reason, "fewer MX names are allowed",
			"while every live MX stays covered"},
		{"mxs.widened", []string{"R37"}, Reason, "more MX names are allowed",
			"while every live MX passes"},
		{"mxs.replaced", []string{"R37"}, Reason, "other MX names are allowed than before",
			"while every live MX passes"},
		{"remove.owner", []string{"R35"}, Reason, "the owner takes the domain off the list",
			`by MTA-STS "none" for 48 hours or the proof "remove" in DNS for 72`},
		{"remove.auto", []string{"R36"}, Reason, "a domain leaves after 30 days of hard fails",
			"by a quorum of at least two vantages; the site keeps a tombstone"},
		{"remove.gone", []string{"R48"}, Reason, "a domain leaves that has not existed for 30 days",
			"by a quorum of at least two vantages; whoever registers it anew begins anew"},
		{"remove.curated", []string{"R35"}, Reason, "the operator takes off a domain that the operator had added",
			"by two maintainers"},
		{"import.history", []string{"R7"}, Reason, "a change that an old list made before the log began",
			"by starttls-list import"},
		{"import.unproven", []string{"R33"}, Reason, "an imported enforce entry goes on as testing, for nothing shows that it works today",
			"by the first release from a source after an import"},
		{"change.source", []string{"R49"}, Reason, "the source changed in a way that no other reason names",
			"by a reviewed commit"},
		{"log.restart", []string{"R49"}, Reason, "an unchanged entry is written again at the start of a new log",
			"by the first release under a new origin"},
		{"budget.accepted", []string{"R52"}, Reason, "two maintainers let a release exceed its budget",
			"as the override of a release leaf"},
		{"probe.off", []string{"R36"}, Reason, "nobody looked at the mail servers of what this release changes",
			"as the override of a release leaf, where the operator's configuration switches probing off"},
		{"list.final", []string{"R49"}, Reason, "the operator ends the list: clients drop every policy",
			"as the override of the last release leaf, by release --final; also the reason of its removals"},
	}
}
