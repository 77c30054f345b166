package main

import (
	"errors"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// errStateGone is why a list stays in force of which the disk knows nothing any more.
var errStateGone = errors.New("its state is gone from the disk, as if it had never been fetched")

// reload takes up lists whose state has changed since they were read. One that cannot be read is tried again each time: an
// update may be at it, or the disk may come back.
func (s *served) reload() {
	now := s.current.Load()
	if next := s.read(now, now.Lists()); next != nil {
		now.SetLists(next)
		tidy()
	}
}

// garbage is how much memory may lie about between collections, in bytes.
const garbage = 24 << 20

// tidy gives back the list before, a hundred megabytes at a million domains. A list is a few large blocks without pointers
// that cost the collector nothing to look at, and would at its usual pace let as much garbage lie about as they are large.
func tidy() {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(int(min(max(garbage*100/max(m.HeapAlloc, 1), 10), 100)))
}

// read returns the lists as they are on the disk, where that cannot be read as they were before, which was verified when
// it came. It returns nil when nothing has changed.
func (s *served) read(a *answering, before []socketmap.Held) (next []socketmap.Held) {
	next, changed := slices.Clone(before), false
	for i, l := range a.lists {
		mark := l.client.Mark()
		if mark == s.seen[i] {
			continue
		}
		held, err := socketmap.Load(l.name, l.client)
		if err == nil && held.Release == nil && next[i].Release != nil {
			err = errStateGone // somebody's slip, or an attack: what is held was verified, and has its own end
		}
		if err != nil {
			s.complain(l.name, i, next[i].Release != nil, err)
			continue
		}
		s.listReloads.ok.Add(1)
		s.tell(held)
		next[i], s.seen[i], s.failed[i], changed = held, mark, "", true
	}
	if !changed && a.Lists() != nil {
		return nil
	}
	return next
}

// complain logs that a list cannot be read, and counts it, once.
func (s *served) complain(name string, i int, kept bool, err error) {
	text := flat{err}.Error()
	if s.failed[i] == text {
		return
	}
	s.failed[i] = text
	s.listReloads.failed.Add(1)
	if kept {
		s.log.Error("list not read, the one before stays", "list", name, "err", text)
		return
	}
	s.log.Error("list not read, its domains are answered as not listed", "list", name, "err", text)
}

// tell logs a list that is in force now.
func (s *served) tell(h socketmap.Held) {
	if h.Release == nil {
		s.log.Warn("list was never fetched", "list", h.Name)
		return
	}
	s.log.Info("list in force", "list", h.Name, "release", h.Release.Release, "domains", h.Len(), "expires", stamp(h.Release.Expires))
	if pin := h.Outcome.Pin; pin != nil {
		s.log.Warn("an earlier list is in force (rollback)", "list", h.Name, "release", pin.Release, "until", stamp(pin.Until), "reason", pin.Reason)
	}
}
