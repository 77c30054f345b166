package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// policiesFile keeps the domains' own MTA-STS policies over a restart of "serve".
const policiesFile = "mta-sts.jsonl"

// defaultUpdate is how often lists are updated: a release is renewed at least daily, and one update in four may be lost.
const defaultUpdate = 6 * time.Hour

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

// update runs "update" now and then, in a process of its own: what it takes to verify a large list is given back when it
// ends, and whatever may go wrong there does not touch the answers.
func (s *served) update(ctx context.Context) error {
	period := time.Duration(s.config.Serve.Update)
	if period == 0 {
		period = defaultUpdate
	}
	wait := time.Duration(rand.Int64N(int64(time.Minute)))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		s.runUpdate(ctx)
		// A fifth of the period apart, so that a thousand machines that came back together do not stay together.
		wait = period - period/10 + time.Duration(rand.Int64N(int64(period/5)))
	}
}

// runUpdate logs what "update" said. The reload sees what it did, and its own report counts how it ended; one that leaves
// none is counted here.
func (s *served) runUpdate(ctx context.Context) {
	report := filepath.Join(s.config.State, lastUpdate)
	before, _ := os.Stat(report)
	self, err := exec.LookPath(s.program)
	var out []byte
	if err == nil {
		cmd := exec.CommandContext(ctx, self, "update", "--config", s.app.configPath)
		cmd.WaitDelay = 10 * time.Second
		out, err = cmd.CombinedOutput()
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	s.log.Warn("update", "result", err.Error(), "output", string(out))
	if after, errStat := os.Stat(report); errStat != nil || before != nil && os.SameFile(before, after) {
		s.unreported.Add(1) // each report is a new file
	}
}
