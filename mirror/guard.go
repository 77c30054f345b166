package mirror

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
)

// guard returns why a release should be held, or "". It looks at what could hurt: entries that were removed or
// weakened, that newly enforce, or whose mxs were replaced. list.final passes: the end of a list is announced.
func guard(before policy.List, next *Release) string {
	if before.Len() == 0 || next.Leaf.IsFinal() {
		return ""
	}
	t := policy.Count(before.Len(), before.Diff(next.List))
	if !t.Startles() {
		return ""
	}
	return fmt.Sprintf("release %d removes, weakens, newly enforces or moves %d entries of a list of %d", next.Leaf.Release, t.Touched, t.Listed)
}
