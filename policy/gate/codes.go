package gate

import (
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// The codes of what is held.
const (
	codeWaiting      = "gate.waiting"
	codeNeedsSTS     = "gate.needs-sts"
	codeSTSDiffers   = "gate.sts-differs"
	codeSTSShort     = "gate.sts-short"
	codeSTSMode      = "gate.sts-mode"
	codeNeedsPass    = "gate.needs-pass"
	codeNotCovered   = "gate.not-covered"
	codePasses       = "gate.passes"
	codeRecentFail   = "gate.recent-fail"
	codeStale        = "gate.stale"
	codeDisagree     = "gate.disagree"
	codeMaintainers  = "gate.maintainers"
	codeOneStep      = "gate.one-step"
	codeCurated      = "gate.curated"
	codeSingle       = "gate.single-vantage"
	codeBudget       = "gate.budget"
	codeGuard        = "gate.guard"
	codeReregistered = "gate.reregistered"
	codeNoEmergency  = "gate.no-emergency"
	codeNeedsRemoval = "gate.needs-removal"
	codeFeedback     = "gate.feedback"
	codeProofUnseen  = "proof.lookup-failed"
)

// Codes explains every code that the gate gives and package proof does not explain.
func Codes() []policy.Code {
	hold := func(id, rule, summary, fix string) policy.Code {
		return policy.Code{ID: id, Rules: []string{rule}, Severity: policy.Warning, Summary: summary, Fix: fix}
	}
	waiting := hold(codeWaiting, "R33", "all is as it should be, and the time of the change table is not over yet",
		"nothing: keep things as they are until then")
	waiting.Severity = policy.Notice
	return []policy.Code{
		waiting,
		hold(codeNeedsSTS, "R31", "no vantage sees a valid MTA-STS policy, and the entry is to follow one",
			"publish an MTA-STS policy, or let the entry be managed by its owner and prove control in the DNS"),
		hold(codeSTSDiffers, "R34", "the MTA-STS policy allows other MX hosts than the entry does",
			"let the entry say what the MTA-STS policy says, or the policy what the entry is to say; a maintainer's \"override\" with a reason settles what must differ"),
		hold(codeSTSShort, "R31", "the MTA-STS policy's max_age is too short for the policy to be taken as the owner's word",
			"set max_age to 10886400 seconds or more, or to 86400 or more and publish the proof in the DNS besides"),
		hold(codeSTSMode, "R38", "the MTA-STS policy's mode does not say what the change says",
			"change the mode of the MTA-STS policy; the list follows it"),
		hold(codeNeedsPass, "R33", "the newest look does not show that mail arrives at every live MX host",
			"see what the probe says of the domain and put it right; the next scan decides anew"),
		hold(codeNotCovered, "R42", "a live MX host is not allowed by the entry that is wanted",
			"add the host to mxs, or remove its MX record"),
		hold(codePasses, "R33", "mail arrived on too few of the last days",
			"nothing, if the scans go on; days without a look, and inconclusive ones, do not count"),
		hold(codeRecentFail, "R33", "one of the last three looks shows a failure",
			"put right what failed; three looks in a row must be without"),
		hold(codeStale, "R36", "no look younger than 24 hours shows what the change rests on",
			"look why the vantages do not scan every day"),
		hold(codeDisagree, "R36", "some vantages see what asks for the change, and others do not",
			"compare what the vantages saw: name servers that differ, or a vantage that is lied to"),
		hold(codeMaintainers, "R49", "the change takes two maintainers and a reason",
			"let two maintainers review the commit, and say why in \"note\" or \"override\""),
		hold(codeOneStep, "R52", "mode and mxs would change in one step",
			"change the mxs first and the mode in a later release"),
		hold(codeCurated, "R33", "an entry that the operator added can never enforce",
			"let the domain's owner take it over: by proof in the DNS, or by MTA-STS"),
		hold(codeSingle, "R36", "mail cannot arrive as the only vantage sees it, and one vantage alone demotes nobody: automatic demotion is off",
			"let a second vantage look, and name it in list.json; until then a maintainer has to act"),
		hold(codeBudget, "R52", "the releases of a day carry no more changes of this kind by themselves",
			"wait for a later release, or let two maintainers accept the whole: starttls-list release --accept-budget"),
		hold(codeGuard, "R52", "with this change clients would take the releases of a day for those of a thief, and keep them back",
			"wait for a later release; --accept-budget makes it now, and then every client waits for its administrator: starttls-policy update --accept RELEASE"),
		hold(codeReregistered, "R48", "the domain was registered anew after the list took on its entry, so its owner may be another, whose word nobody has",
			"let the owner say so: by the proof for the entry as it stands, or by an MTA-STS policy that says the same; a maintainer who knows better writes the day of the registration into the entry's note"),
		hold(codeNoEmergency, "R37", "the owner's emergency stands in the DNS, and the vantages do not see that mail fails",
			"ask for the entry in mode testing instead, with a proof of its own: that takes 48 hours"),
		hold(codeNeedsRemoval, "R35", "the source drops the domain, and its owner has not asked for that",
			"publish the proof \"remove\" in the DNS, or set the mode of its MTA-STS policy to none where the entry follows it; till then the list keeps the domain"),
		hold(codeFeedback, "R33", "mail servers report that TLS fails on the way to the domain, and the probe does not see it",
			"look at what differs on the way: other addresses or names of the MX hosts in other places, a filter, a certificate that not all trust; the table of a later week without the fault lets it pass, and so do two maintainers to whom the reports are false"),
	}
}

// finding explains code for a domain.
func finding(code string, d policy.Domain, format string, args ...any) policy.Finding {
	detail := fmt.Sprintf(format, args...)
	for _, c := range slices.Concat(Codes(), proof.Codes(), proofFaults()) {
		if c.ID == code {
			f := policy.Finding{Code: code, Severity: c.Severity, Domain: d.String(), Summary: c.Summary, Fix: c.Fix}
			if detail != "" {
				f.Summary = detail + ": " + f.Summary
			}
			return f
		}
	}
	return policy.Finding{Code: code, Severity: policy.Error, Domain: d.String(), Summary: detail}
}

// proofFaults are explained by package probe, which sees them first; here they hold a change.
func proofFaults() []policy.Code {
	fix := "publish the one record that starttls-list propose prints, and remove others"
	return []policy.Code{
		{ID: codeProofUnseen, Severity: policy.Warning, Summary: "no vantage could find out whether there is a proof of control",
			Fix: "check that all name servers of the domain answer questions for TXT at _starttls-policy; the next scan decides anew"},
		{ID: "proof.many", Severity: policy.Warning, Summary: "there are several proofs of control, so none counts", Fix: fix},
		{ID: "proof.invalid", Severity: policy.Warning, Summary: "the proof of control is broken, so it does not count", Fix: fix},
		{ID: "proof.expired", Severity: policy.Warning, Summary: "the proof of control has expired", Fix: fix},
		{ID: "proof.too-far", Severity: policy.Warning, Summary: "the proof of control expires more than 60 days from now, so it does not count", Fix: fix},
	}
}
