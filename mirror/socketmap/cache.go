package socketmap

import (
	"container/list"
	"sync"

	"github.com/starttls-everywhere/policylist/policy"
)

// cache remembers something about domains, up to a limit. Safe for concurrent use; the zero value is empty.
type cache[V any] struct {
	mu    sync.Mutex
	m     map[policy.Domain]*list.Element // of *remembered[V]
	order list.List                       // what was asked for last is in front
	size  int                             // of all
}

type remembered[V any] struct {
	domain policy.Domain
	value  V
	size   int
}

// limit is how much a cache remembers. Who sends mail chooses which domains are asked about, so what is of use to nobody goes
// first, and then what nobody has asked for the longest.
type limit[V any] struct {
	entries int
	bytes   int          // by size; 0: any number
	size    func(V) int  // nil: nothing has one
	keep    func(V) bool // whether a value is still of use; nil: all are
}

func (c *cache[V]) get(d policy.Domain) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[d]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*remembered[V]).value, true
}

// put remembers v. When it is too much, a sixteenth is forgotten at once, so that looking for it costs little for each.
func (c *cache[V]) put(d policy.Domain, v V, l limit[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.m[d])
	if c.m == nil {
		c.m = make(map[policy.Domain]*list.Element)
	}
	r := &remembered[V]{domain: d, value: v}
	if l.size != nil {
		r.size = l.size(v)
	}
	c.m[d] = c.order.PushFront(r)
	if c.size += r.size; c.within(l, 16) {
		return
	}
	if l.keep != nil {
		for e := c.order.Back(); e != c.order.Front(); {
			before := e.Prev()
			if !l.keep(e.Value.(*remembered[V]).value) {
				c.drop(e)
			}
			e = before
		}
	}
	for !c.within(l, 15) && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

// within reports whether what is remembered is at most so many sixteenths of the limit.
func (c *cache[V]) within(l limit[V], sixteenths int) bool {
	return len(c.m) <= l.entries*sixteenths/16 && (l.bytes == 0 || c.size <= l.bytes*sixteenths/16)
}

func (c *cache[V]) drop(e *list.Element) {
	if e == nil {
		return
	}
	r := c.order.Remove(e).(*remembered[V])
	delete(c.m, r.domain)
	c.size -= r.size
}

func (c *cache[V]) remove(d policy.Domain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.m[d])
}

func (c *cache[V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}

// all returns a copy.
func (c *cache[V]) all() map[policy.Domain]V {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[policy.Domain]V, len(c.m))
	for d, e := range c.m {
		out[d] = e.Value.(*remembered[V]).value
	}
	return out
}

// revise calls f with every value, which it may change, and forgets those for which it returns false.
func (c *cache[V]) revise(f func(v *V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; {
		next := e.Next()
		if !f(&e.Value.(*remembered[V]).value) {
			c.drop(e)
		}
		e = next
	}
}
