package socketmap

import (
	"cmp"
	"context"
	"sync"

	"github.com/starttls-everywhere/policylist/policy"
)

// confirmers is how many policies are confirmed at once while nobody waits for it.
const confirmers = 16

// underWay is what is being looked at, at most so many domains at once and each once.
type underWay struct {
	mu sync.Mutex
	m  map[policy.Domain]bool
}

func (u *underWay) begin(d policy.Domain, most int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m[d] || len(u.m) >= most {
		return false
	}
	if u.m == nil {
		u.m = make(map[policy.Domain]bool)
	}
	u.m[d] = true
	return true
}

func (u *underWay) end(d policy.Domain) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.m, d)
}

// confirm asks for a policy that is valid, and returns at once. Where a domain is asked already, or many are, nothing
// happens: the policy stays due, and a later question asks.
func (l *Live) confirm(ctx context.Context, d policy.Domain) {
	if !l.confirming.begin(d, confirmers) {
		return
	}
	l.behind.Go(func() {
		defer l.confirming.end(d)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(l.Patience, livePatience))
		defer cancel()
		l.search(ctx, d)
	})
}
