package pipeline

import "github.com/starttls-everywhere/policylist/policy"

// Codes of the findings that Import adds to those of the old list itself.
const (
	codeUnsigned     = "import.unsigned"
	codeBadSignature = "import.bad-signature"
)

// Codes explains the codes that this package gives besides those of package policy.
func Codes() []policy.Code {
	return []policy.Code{
		{ID: codeUnsigned, Rules: []string{"R11"}, Severity: policy.Warning, Summary: "an old list has no signature beside it",
			Fix: "put the detached signature beside the file as FILE.asc, or accept that nobody can tell who wrote it"},
		{ID: codeBadSignature, Rules: []string{"R11"}, Severity: policy.Warning, Summary: "the signature beside an old list is not one over its bytes by a key of the keyring",
			Fix: "compare the file with another copy; as history it is imported all the same"},
	}
}
