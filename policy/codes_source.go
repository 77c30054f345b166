package policy

func fileCodes() []Code {
	return []Code{
		{"json.syntax", []string{"R1"}, Error, "the file is not JSON",
			"write strict JSON (RFC 8259): double quotes, no comments, no comma after the last item"},
		{"json.encoding", []string{"R1"}, Error, "the file is not plain UTF-8",
			"save the file as UTF-8 without a byte order mark"},
		{"json.duplicate-key", []string{"R2"}, Error, "an object has the same name twice",
			"keep one of the two: JSON decoders silently drop all but the last"},
		{"source.unknown-key", []string{"R3"}, Error, "a name that the format does not have",
			"correct the spelling or remove the member; policy/RULES.md shows the whole format"},
		{"source.retired-key", []string{"R44"}, Error, "a member that the format had once and has no more",
			"remove it: nothing reads it any longer"},
		{"source.shape", []string{"R3"}, Error, "a value of the wrong type, or a required member is missing",
			"give the value the type that policy/RULES.md shows for it"},
		{"source.order", []string{"R45"}, Warning, "the names in a file are not sorted",
			"run starttls-list fmt: in sorted files two changes seldom touch the same line"},
	}
}

func incidentCodes() []Code {
	return []Code{
		{"incident.name", []string{"R3"}, Error, "the file of an incident has another name than it should",
			"name it by the day on which it began and a few words: incidents/2026-03-02-witness-down.json"},
		{"incident.time", []string{"R5"}, Error, "a time of an incident is none, or its end comes before its begin",
			`write "began" and, once it is over, "ended" as YYYY-MM-DDTHH:MM:SSZ`},
		{"incident.text", []string{"R3"}, Error, "a part of an incident is empty, too long, or holds characters that cannot be shown",
			"give a title of at most 120 bytes and 1 to 40 paragraphs of at most 2000, each one line of plain text"},
	}
}

func listCodes() []Code {
	return []Code{
		{"list.missing", []string{"R3"}, Error, "the source directory has no list.json",
			`add list.json with at least "author" and "origin"`},
		{"list.author", []string{"R3"}, Error, "the author line cannot be published",
			"use 1 to 256 characters of printable ASCII: a name and where to reach the operator"},
		{"list.origin", []string{"R3"}, Error, "the origin cannot name a log",
			"use a host name that you control and a path, without scheme: policylist.example/main"},
		{"list.lifetime", []string{"R8"}, Error, "the lifetime of a release is out of bounds",
			"give whole days from 7 to 30; left out, it is 14"},
		{"list.vantage", []string{"R36"}, Error, "a probing host is not usable",
			`give each vantage a unique "name" of a-z, 0-9 and hyphens and a unique "key", the base64 of its 32-byte Ed25519 public key`},
		{"list.quorum", []string{"R36"}, Error, "the quorum cannot be met, or asks for nothing",
			"give a number from 1 to the number of vantages; left out, all vantages but one must agree, and at least one"},
		{"list.version", []string{"R4"}, Error, "the format version is not \"0.1\"",
			`write "version": "0.1", a string; it is the format's version, not the number of a release`},
	}
}

func domainCodes() []Code {
	return []Code{
		{"domain.syntax", []string{"R13"}, Error, "not a mail domain's name",
			"write the domain as in an address after the @: letters, digits and hyphens, at least two labels, at most 253 bytes"},
		{"domain.wildcard", []string{"R12"}, Error, "a pattern stands where a domain should",
			"list each mail domain by itself: a policy holds for exactly one domain and never for its subdomains"},
		{"domain.form", []string{"R13"}, Warning, "a domain is not in its published spelling",
			"run starttls-list fmt: it writes lower case and A-labels (xn--…), without a trailing dot"},
		{"domain.public-suffix", []string{"R13"}, Error, "a domain under which others register names",
			"list the registered domain itself, such as example.co.uk and not co.uk"},
		{"domain.duplicate", []string{"R2"}, Error, "a domain is listed twice",
			"keep one of the two entries; names that differ only in case or in IDNA spelling are the same domain"},
	}
}

func entryCodes() []Code {
	return []Code{
		{"entry.alias-and-policy", []string{"R14"}, Error, "an entry has an alias and a policy of its own",
			`keep either "policy-alias" or "mode" with "mxs"`},
		{"alias.unknown", []string{"R15"}, Error, "an entry names an alias that does not exist",
			`define the alias under "policy-aliases" in any fragment, or correct its name`},
		{"alias.duplicate", []string{"R2"}, Error, "an alias is defined twice",
			"keep one definition; all fragments of a source share their aliases"},
		{"alias.unused", []string{"R15"}, Warning, "no entry uses this alias",
			"remove it, or let the entries that it was made for refer to it"},
		{"alias.name", []string{"R16"}, Error, "not an alias name",
			"use 1 to 32 characters of a-z, 0-9 and hyphen"},
		{"alias.nested", []string{"R15"}, Error, "an alias refers to an alias",
			`give the alias "mode" and "mxs" of its own`},
		{"alias.repeated", []string{"R46"}, Warning, "an entry repeats what an alias says",
			`write {"policy-alias": …}, so that one edit reaches all members`},
		{"mode.missing", []string{"R18"}, Error, "a policy has no mode",
			`say "mode": "testing" or "mode": "enforce"; there is no default`},
		{"mode.unknown", []string{"R19"}, Error, "not a mode",
			`use "testing" or "enforce"; to leave the list, remove the entry ("none" exists only in MTA-STS)`},
		{"entry.managed-by", []string{"R34"}, Error, "not a way in which an entry is managed",
			`use "mta-sts", "owner" or "curated"; left out, it is "owner"`},
		{"entry.curated-enforce", []string{"R33"}, Error, "a curated entry enforces",
			`use "testing" until the domain's owner takes over by proof: only the owner may ask others to stop delivering`},
		{"override.empty", []string{"R54"}, Error, "an override gives no reason",
			"say in a few words why the maintainers' value must survive the next automatic update"},
		{"note.email", []string{"R40"}, Warning, "a note seems to hold an e-mail address",
			"leave out addresses of people: the source is public and keeps its history"},
	}
}

func mxCodes() []Code {
	return []Code{
		{"mxs.missing", []string{"R22"}, Error, "a policy allows no MX",
			`give at least one host name or ".suffix" in "mxs"`},
		{"mxs.too-many", []string{"R41"}, Error, "a policy has more than 16 mxs",
			`use a suffix pattern such as ".mail.example.org" for hosts under one name`},
		{"mxs.duplicate", []string{"R22"}, Error, "an MX pattern stands twice in a policy",
			"keep one: spellings are compared in lower case and as A-labels"},
		{"mx.syntax", []string{"R13", "R22"}, Error, "neither a host name nor a suffix",
			`write the name that the MX record has, "mx.example.org", or ".example.org" for all names one label below it`},
		{"mx.address", []string{"R13", "R27", "R28"}, Error, "an IP address stands where an MX name should",
			"write the MX host's name: its certificate is checked for that name, in the subject alternative names"},
		{"mx.wildcard", []string{"R23", "R24"}, Error, "a pattern for more or less than one whole label",
			`write ".example.org": the dot stands for exactly one label, so neither for example.org nor for a.b.example.org`},
		{"mx.form", []string{"R22", "R25"}, Warning, "an MX pattern is not in its published spelling",
			`run starttls-list fmt: it writes lower case, A-labels, no trailing dot, and ".example.org" for the "*.example.org" of MTA-STS`},
		{"mx.null", []string{"R47"}, Error, "a null MX: the domain takes no mail",
			"remove the entry: a domain without mail service needs no policy (RFC 7505)"},
		{"mx.public-suffix", []string{"R26"}, Error, "a suffix that anybody can register a name under",
			"name the hosts, or a suffix below a registered domain"},
		{"mx.shared-base", []string{"R26"}, Warning, "a suffix under which any customer of a provider gets a name",
			"name the hosts that serve this domain; if the provider offers no narrower names, a maintainer has to agree"},
		{"mx.redundant", []string{"R46"}, Warning, "a suffix of the same policy already covers this name",
			"run starttls-list fmt: it drops what another pattern covers"},
		{"mx.foreign", []string{"R53"}, Warning, "one of the mxs lies under a domain unrelated to the others",
			"check the name: a wrong one lets a stranger's server take the mail; a person has to agree to it"},
		{"mx.foreign-unused", []string{"R53"}, Warning, "a foreign MX pattern that no MX record uses",
			"remove it, or publish the MX record that it is for; a maintainer who agrees to it names it in the entry's note, and says why"},
	}
}

func oldListCodes() []Code {
	return []Code{
		{"time.form", []string{"R5"}, Error, "not a time",
			"write YYYY-MM-DDTHH:MM:SSZ; old lists may also have an offset, fractions, or whole seconds since 1970"},
		{"time.lifetime", []string{"R8"}, Error, "the list expires before it begins, or lives outside 7 to 30 days",
			"let expires be 7 to 30 days after timestamp"},
		{"time.not-later", []string{"R7"}, Error, "a changed list has a timestamp that is not later than the last one's",
			"sign again with the current time: clients tell old lists from new ones by it"},
		{"time.lapsed", []string{"R9"}, Warning, "the list before had expired when this one came",
			"publish before the last list expires, from a timer: clients without a valid list protect nobody"},
	}
}
