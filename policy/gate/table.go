package gate

import (
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// Aim is what the owner of a domain is about.
type Aim string

const (
	AimJoin   Aim = "join"   // to the list, and on it to enforce
	AimChange Aim = "change" // its policy
	AimLeave  Aim = "leave"  // the list
)

// Row is a row of the change table in words, with the times that Decide goes by. In README.md beside this file it is a line
// of a table; marks as `these` are around what a machine reads.
type Row struct {
	Change              string
	STS, Owner, Curated string   // what it needs where the entry follows MTA-STS, is its owner's, or is another's domain; "-" for never
	Reasons             []string // by which the log knows it; none: those of each member
	Aim                 Aim
}

// Table is the change table, in the order of a domain's life.
func Table() []Row {
	promote := "the same"
	return []Row{
		{"add as `testing`", "valid policy, one pass: next release", "proof, one pass: next release", "two maintainers: next release",
			[]string{"add.testing"}, AimJoin},
		{"`testing` to `enforce`",
			fmt.Sprintf("policy says enforce for %d days, passes on %d of them, no failure in the last %d looks", promoteSTSDays, promoteSTSPasses, recentLooks),
			fmt.Sprintf("proof for `enforce` for %d days, passes on %d, no failure in the last %d looks", promoteProofDays, promoteProofPasses, recentLooks),
			"never", []string{"promote.evidence"}, AimJoin},
		{"add as `enforce`", promote, promote, "never", []string{"add.enforce"}, AimJoin},
		{"fewer MX names", "policy for " + hours(mxsDelay) + ", every live MX stays allowed", "proof for " + hours(mxsDelay) + ", every live MX stays allowed",
			"two maintainers", []string{"mxs.narrowed"}, AimChange},
		{"more MX names, or others", "policy for " + hours(mxsDelay) + ", every live MX passes", "proof for " + hours(mxsDelay) + ", every live MX passes",
			"two maintainers", []string{"mxs.widened", "mxs.replaced"}, AimChange},
		{"`enforce` to `testing`", "policy says testing for " + hours(demoteSTSDelay) + ", with or without a commit", "proof for " + hours(demoteProofDelay),
			"-", []string{"demote.owner"}, AimChange},
		{"remove", fmt.Sprintf("policy says none for %s, or proof `remove` for %d, with or without a commit", hours(removeSTSDelay), removeProofDelay/time.Hour),
			"proof `remove` for " + hours(removeProofDelay) + ", with or without a commit", "two maintainers, or proof `remove`",
			[]string{"remove.owner", "remove.curated"}, AimLeave},
		{"emergency", "policy says testing or none, or proof `emergency`, and a hard fail by quorum: next release",
			"proof `emergency` and a hard fail by quorum: next release", "-", []string{"demote.emergency"}, AimChange},
		{"operator's emergency", "two maintainers and a reason, `enforce` to `testing`: next release", "the same", "-", []string{"demote.emergency"}, AimChange},
		{"automatic demotion", "hard fails by two vantages or more for " + hours(stuckDemote), "the same", "-", []string{"demote.auto"}, AimChange},
		{"removal of what was demoted", "for " + hours(stuckRemove) + ", once the entry is `testing`", "the same", "the same", []string{"remove.auto"}, AimLeave},
		{"restoration of what was demoted", fmt.Sprintf("passes for %s that began within %s of that, and the source still wants the entry", hours(restoreDelay), hours(restoreWindow)),
			"the same", "the same", []string{"restore.auto"}, AimChange},
		{"domain does not exist", "for " + hours(goneRemove) + ", by two vantages or more", "the same", "the same", []string{"remove.gone"}, AimLeave},
		{"edit of an alias", "a change of each member, each by its own row", "the same", "the same", nil, AimChange},
	}
}

// Markdown is the row as README.md has it.
func (r Row) Markdown() string {
	reasons := "the member's"
	if len(r.Reasons) > 0 {
		reasons = "`" + strings.Join(r.Reasons, "`, `") + "`"
	}
	return "| " + strings.Join([]string{r.Change, r.STS, r.Owner, r.Curated, reasons}, " | ") + " |\n"
}

// Aim is what the owner is about whose change is held.
func (w Wait) Aim() Aim {
	switch class := w.Change.Class; {
	case class.Has(policy.Removed):
		return AimLeave
	case !w.Automatic && class.Has(policy.Added|policy.Strengthened):
		return AimJoin
	}
	return AimChange
}

// Aims are those whose change may be held with a code, of Codes or of package proof, in the order of a domain's life; nil for
// another code. Every one has its case in testdata/table.txt, but for the budget and the guard of clients, which hold any change.
func Aims(code string) []Aim {
	switch code {
	case codeWaiting, codeDisagree, codeMaintainers, codeBudget, codeGuard:
		return []Aim{AimJoin, AimChange, AimLeave}
	case codeNeedsSTS, codeSTSDiffers, codeSTSMode, codeNeedsPass, codeNotCovered, codeStale, codeOneStep, proof.CodeMissing, proof.CodeOther, proof.CodeReplayed:
		return []Aim{AimJoin, AimChange}
	case codeSTSShort, codePasses, codeRecentFail, codeCurated, codeFeedback:
		return []Aim{AimJoin}
	case codeReregistered, codeNoEmergency:
		return []Aim{AimChange}
	case codeSingle:
		return []Aim{AimChange, AimLeave}
	case codeNeedsRemoval:
		return []Aim{AimLeave}
	}
	return nil
}
