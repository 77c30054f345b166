package pipeline

import (
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Codes of the findings that Import adds to those of the old list itself.
const (
	codeUnsigned     = "import.unsigned"
	codeBadSignature = "import.bad-signature"
)

// Codes of releases that rest on evidence of vantages.
const (
	codeEvidenceRefused = "evidence.refused"
	codeEvidenceStale   = "evidence.stale"
	codeEvidenceVantage = "evidence.vantage"
	codeEvidenceAbsent  = "evidence.absent"
	codeEvidenceOther   = "evidence.other-policy"
	codeScanFailed      = "scan.failed"
	codeScanPartial     = "scan.incomplete"
	codeScanLeftOut     = "scan.left-out"
)

func evidenceCodes() []policy.Code {
	return []policy.Code{
		{ID: codeStartles, Rules: []string{"R52"}, Severity: policy.Warning, Summary: "clients keep the release back, as they would a thief's, until their administrators accept it",
			Fix: "tell them what happened, and its number: starttls-policy update --accept RELEASE; those who do nothing keep the list that they have until it expires"},
		{ID: codeScanFailed, Rules: []string{"R36"}, Severity: policy.Error, Summary: "the releasing host could not look at the domains, so this release lets nothing new in",
			Fix: "look at its resolver, its network and its canary; the next release looks again"},
		{ID: codeScanPartial, Rules: []string{"R36"}, Severity: policy.Error, Summary: "the scan was not of the whole list, so this release lets nothing new in and nothing ask for more",
			Fix: "look which shards or vantages are missing, and whether a canary looked wrong; the next whole scan puts it right"},
		{ID: codeScanLeftOut, Rules: []string{"R36"}, Severity: policy.Warning, Summary: "the scan left out a few domains of the list, of which nothing can be said: their changes wait, and nobody else's",
			Fix: "let the vantages scan what the list has besides the source (probe --published), and look at what they say of these domains"},
		{ID: codeEvidenceRefused, Rules: []string{"R36"}, Severity: policy.Error, Summary: "the evidence cannot be used, so this release lets nothing new in",
			Fix: "run starttls-list probe merge --source LIST on the files, which says what is wrong, and have the vantages scan again"},
		{ID: codeEvidenceStale, Rules: []string{"R36"}, Severity: policy.Error, Summary: "the evidence is older than 24 hours or from the future, so this release lets nothing new in",
			Fix: "look why the vantages do not scan every day, and at their clocks"},
		{ID: codeEvidenceVantage, Rules: []string{"R36"}, Severity: policy.Error, Summary: "the file is no evidence of today, so its vantage counts as absent and the others decide",
			Fix: "look at that vantage: its key, its clock, and whether somebody else holds it or writes where the evidence lies; starttls-list probe merge --source LIST says what is wrong with a file"},
		{ID: codeEvidenceAbsent, Rules: []string{"R36"}, Severity: policy.Warning, Summary: "no vantage has looked at the domain yet",
			Fix: "wait for the next scan, or have the vantages scan the newest revision of the list"},
		{ID: codeEvidenceOther, Rules: []string{"R36"}, Severity: policy.Warning, Summary: "the vantages held the domain against another entry than the list has now",
			Fix: "wait for the next scan, or have the vantages scan the newest revision of the list"},
	}
}

// Codes explains the codes that this package gives besides those of package policy.
func Codes() []policy.Code {
	return append(slices.Concat(evidenceCodes(), botCodes(), bulkCodes(), feedbackCodes(), registrationCodes(), siteCodes()), []policy.Code{
		{ID: codeUnsigned, Rules: []string{"R11"}, Severity: policy.Warning, Summary: "an old list has no signature beside it",
			Fix: "put the detached signature beside the file as FILE.asc, or accept that nobody can tell who wrote it"},
		{ID: codeBadSignature, Rules: []string{"R11"}, Severity: policy.Warning, Summary: "the signature beside an old list is not one over its bytes by a key of the keyring",
			Fix: "compare the file with another copy; as history it is imported all the same"},
	}...)
}
