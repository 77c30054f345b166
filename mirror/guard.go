package mirror

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// The diff guard keeps back a release that touches at least guardMin entries and more than a guardShare-th of the
// held list at once: a stolen key would do that, an honest list hardly ever.
const (
	guardMin   = 20
	guardShare = 5
)

// guard returns why a release should be held, or "". It looks at what could hurt: entries that were removed or
// weakened, that newly enforce, or whose mxs were replaced. list.final passes: the end of a list is announced.
func guard(before policy.List, next *Release) string {
	if before.Len() == 0 || next.Leaf.IsFinal() {
		return ""
	}
	n := 0
	for _, c := range policy.Diff(before.Entries(), next.List.Entries()) {
		enforces := c.Class.Has(policy.Added|policy.Strengthened) && c.New.Mode == policy.Enforce
		if enforces || c.Class.Has(policy.Removed|policy.Weakened|policy.MXsReplaced) {
			n++
		}
	}
	if n < guardMin || n*guardShare <= before.Len() {
		return ""
	}
	return fmt.Sprintf("release %d removes, weakens, newly enforces or moves %d entries of a list of %d", next.Leaf.Release, n, before.Len())
}
