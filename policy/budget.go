package policy

// budgetFloor is how many changes of one kind any release may carry, however short the list is (rule R52).
const budgetFloor = 20

// Tally counts the changes of one release by the kinds that have a budget.
type Tally struct {
	Listed   int // domains before the changes
	Removed  int
	Weakened int // enforce to testing, or more mxs allowed
	Hardened int // newly enforcing, or with replaced mxs: where a mistake stops mail
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
		if c.Class.Has(Strengthened|MXsReplaced) || c.Class.Has(Added) && c.New.Mode == Enforce {
			t.Hardened++
		}
	}
	return t
}

// Plus adds the changes of u to those of t.
func (t Tally) Plus(u Tally) Tally {
	t.Removed, t.Weakened, t.Hardened = t.Removed+u.Removed, t.Weakened+u.Weakened, t.Hardened+u.Hardened
	return t
}

// Excess is a kind of change of which there are more than a release carries by itself.
type Excess struct {
	Kind           string // "removed", "weakened", "newly enforcing or with replaced mxs"
	Count, Allowed int
}

// Over returns the budgets that t exceeds: 5 % removed, 2 % weakened, 10 % newly enforcing or with replaced mxs, and 20
// of each in any case.
func (t Tally) Over() []Excess {
	var over []Excess
	for _, b := range []struct {
		kind           string
		count, percent int
	}{
		{"removed", t.Removed, 5},
		{"weakened", t.Weakened, 2},
		{"newly enforcing or with replaced mxs", t.Hardened, 10},
	} {
		if allowed := max(budgetFloor, t.Listed*b.percent/100); b.count > allowed {
			over = append(over, Excess{b.kind, b.count, allowed})
		}
	}
	return over
}
