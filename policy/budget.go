package policy

// budgetFloor is how many changes of one kind any release may carry, however short the list is (rule R52).
const budgetFloor = 20

// The guard of clients keeps back a release that touches at least guardMin entries and more than a guardShare-th of the list
// that they hold at once: a stolen key would do that, an honest list hardly ever.
const (
	guardMin   = 20
	guardShare = 5
)

// Tally counts the changes of one release by the kinds that have a budget.
type Tally struct {
	Listed   int // domains before the changes
	Removed  int
	Weakened int // enforce to testing, or more mxs allowed
	Hardened int // newly enforcing, or with replaced mxs: where a mistake stops mail
	Touched  int // what the guard of clients counts: removed, weakened, newly enforcing, or with replaced mxs
}

// Count tallies changes to a list of listed domains.
func Count(listed int, changes []Change) Tally {
	t := Tally{Listed: listed}
	for _, c := range changes {
		if c.Class.Has(Removed) {
			t.Removed++
		}
		if c.Class.Has(Weakened | MXsWidened) {
			t.Weakened++
		}
		hardened := c.Class.Has(Strengthened|MXsReplaced) || c.Class.Has(Added) && c.New.Mode == Enforce
		if hardened {
			t.Hardened++
		}
		if hardened || c.Class.Has(Removed|Weakened) {
			t.Touched++
		}
	}
	return t
}

// Plus adds the changes of u to those of t.
func (t Tally) Plus(u Tally) Tally {
	t.Removed, t.Weakened, t.Hardened = t.Removed+u.Removed, t.Weakened+u.Weakened, t.Hardened+u.Hardened
	t.Touched += u.Touched
	return t
}

// Startles reports whether a client that holds the list before the changes keeps back the one with them, until its
// administrator accepts it. Who holds an empty list takes everything.
func (t Tally) Startles() bool { return t.Listed > 0 && t.Touched > Unstartling(t.Listed) }

// Unstartling is how many entries of a list of listed domains may be touched at once without startling any client.
func Unstartling(listed int) int { return max(guardMin-1, listed/guardShare) }

// Excess is a kind of change of which there are more than a release carries by itself.
type Excess struct {
	Kind           string // "removed", "weakened", "newly enforcing or with replaced mxs"
	Count, Allowed int
}

// Over returns the budgets that t exceeds: 5 % removed, 2 % weakened, 10 % newly enforcing or with replaced mxs, and 20
// of each in any case.
func (t Tally) Over() []Excess {
	var over []Excess
	for _, b := range budgets {
		if count, allowed := t.Of(b.kind), max(budgetFloor, t.Listed*b.percent/100); count > allowed {
			over = append(over, Excess{b.kind, count, allowed})
		}
	}
	return over
}

// budgets are the kinds that have one, in percent of the listed domains.
var budgets = []struct {
	kind    string
	percent int
}{{kindRemoved, 5}, {kindWeakened, 2}, {kindHardened, 10}}

const (
	kindRemoved  = "removed"
	kindWeakened = "weakened"
	kindHardened = "newly enforcing or with replaced mxs"
)

// Of is how many changes of an Excess's kind there are.
func (t Tally) Of(kind string) int {
	switch kind {
	case kindRemoved:
		return t.Removed
	case kindWeakened:
		return t.Weakened
	case kindHardened:
		return t.Hardened
	}
	return 0
}
