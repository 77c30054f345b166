package socketmap

import "github.com/starttls-everywhere/policylist/policy"

// Alive comes back when a question could be answered: it goes the way of one, to the lists and to the locks of what is
// cached, but asks no domain and counts nothing. A watchdog waits for it.
func (r *Decider) Alive() {
	now, c := r.Now(), Decision{brief: true}
	r.Off()
	r.Overrides.Find(policy.Domain{}, now)
	r.byLists(policy.Domain{}, now, &c)
	if r.Live != nil {
		r.Live.Cached()
	}
}
