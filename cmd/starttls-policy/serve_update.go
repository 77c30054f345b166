package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// defaultUpdate is how often lists are updated: a release is renewed at least daily, and one update in four may be lost.
const defaultUpdate = 6 * time.Hour

// updatePatience is how long an update that is to end may take to do so.
const updatePatience = 10 * time.Second

// update runs "update" now and then, in a process of its own: what it takes to verify a large list is given back when it
// ends, and whatever may go wrong there does not touch the answers.
func (s *served) update(ctx context.Context) error {
	period := time.Duration(s.config.Serve.Update)
	if period == 0 {
		period = defaultUpdate
	}
	nowAndThen(ctx, period, rand.Int64N, s.runUpdate)
	return nil
}

// nowAndThen calls do within a minute, and then about once a period, until ctx ends: up to a tenth of the period sooner or
// later, so that a thousand machines that came back together do not stay together. random(n) is in [0, n).
func nowAndThen(ctx context.Context, period time.Duration, random func(n int64) int64, do func(context.Context)) {
	wait := mirror.FirstWait(random)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		do(ctx)
		wait = mirror.NextWait(period, random)
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
		cmd.WaitDelay = updatePatience
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
