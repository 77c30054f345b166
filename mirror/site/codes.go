package site

import (
	"cmp"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// ownCodes are those of the packages that this one may know, sorted.
func ownCodes() []policy.Code {
	codes := slices.Concat(policy.Codes(), gate.Codes(), proof.Codes())
	slices.SortFunc(codes, func(a, b policy.Code) int { return cmp.Compare(a.ID, b.ID) })
	return codes
}

func lookUp(codes []policy.Code) func(string) (policy.Code, bool) {
	table := map[string]policy.Code{}
	for _, c := range codes {
		table[c.ID] = c
	}
	return func(id string) (policy.Code, bool) {
		c, ok := table[id]
		return c, ok
	}
}

// CodeGroup are codes about one thing that the owner of a domain may meet.
type CodeGroup struct {
	Title string
	Kinds []string // what stands before the first dot of such a code
	aims  []gate.Aim
}

// CodeGroups are in the order in which an owner meets them. Codes of other kinds are the operator's, a mirror's or a mail
// administrator's.
func CodeGroups() []CodeGroup {
	always := []gate.Aim{gate.AimJoin, gate.AimChange, gate.AimLeave}
	entry := always[:2]
	return []CodeGroup{
		{"The entry", []string{"domain", "entry", "mode", "mx", "mxs", "alias", "note", "override", "bulk"}, entry},
		{"The domain's DNS", []string{"dns"}, entry},
		{"Mail servers", []string{"smtp", "starttls", "tls", "cert"}, entry},
		{"MTA-STS, DANE and TLSRPT", []string{"sts", "dane", "tlsrpt", "cross"}, entry},
		{"The proof, and what is held", []string{"proof", "gate", "bot", "evidence", "scan", "vantage", "probe"}, always},
		{"What stands in the log", []string{"add", "promote", "demote", "remove", "restore", "change"}, entry},
	}
}

// Has reports whether a code is of the group.
func (g CodeGroup) Has(id string) bool {
	kind, _, _ := strings.Cut(id, ".")
	return slices.Contains(g.Kinds, kind)
}

// aimsOf are the pages that a code of the group belongs on: what the gate says of its own codes and of the reasons of its table,
// else what the group says.
func (g CodeGroup) aimsOf(c policy.Code) []gate.Aim {
	if aims := gate.Aims(c.ID); aims != nil {
		return aims
	}
	for _, r := range gate.Table() {
		if slices.Contains(r.Reasons, c.ID) {
			return []gate.Aim{r.Aim}
		}
	}
	if kind, _, _ := strings.Cut(c.ID, "."); kind == "sts" {
		return []gate.Aim{gate.AimJoin, gate.AimChange, gate.AimLeave} // a policy that says none has to be read, too
	}
	return g.aims
}

// groupView are the codes of a group that may be met on one page.
type groupView struct {
	Title string
	Codes []policy.Code
}

// groups are the codes that an owner with that aim may meet.
func (m *Model) groups(aim gate.Aim) (out []groupView) {
	for _, g := range CodeGroups() {
		v := groupView{Title: g.Title}
		for _, c := range m.extra.Codes {
			if g.Has(c.ID) && slices.Contains(g.aimsOf(c), aim) {
				v.Codes = append(v.Codes, m.Code(c.ID))
			}
		}
		if len(v.Codes) > 0 {
			out = append(out, v)
		}
	}
	return out
}
