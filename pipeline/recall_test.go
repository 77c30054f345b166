package pipeline_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// tickingClock is a second later each time that somebody asks: every scan takes as long as real ones do.
type tickingClock struct {
	probe.SystemClock
	start time.Time
	asked atomic.Int64
}

func (c *tickingClock) Now() time.Time {
	return c.start.Add(time.Duration(c.asked.Add(1)) * time.Second)
}

// TestLongScanIsRecalled: what the releasing host saw in the course of a scan is evidence that the next release, and the
// bots, read again. A header that was made after the scan would make it a scan that saw what came before it, which nobody
// takes: no release would follow the first.
func TestLongScanIsRecalled(t *testing.T) {
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.AddExample(); err != nil {
		t.Fatal(err)
	}
	roots, err := probe.ParseRoots(l.RootsPEM())
	if err != nil {
		t.Fatal(err)
	}
	o := newOperator(t, "public")
	o.now, o.Gate = time.Now(), &pipeline.Gate{}
	o.Observer, err = probe.New(probe.Options{Resolver: l.Resolver(), Roots: roots, AllowLoopback: true, SMTPPort: l.SMTPPort(),
		HTTPSPort: l.HTTPSPort(), Clock: &tickingClock{start: o.now}})
	if err != nil {
		t.Fatal(err)
	}
	if out := o.release(); out.Leaf().Evidence == nil {
		t.Fatalf("no evidence: %+v", out.Findings)
	}
	if _, err := o.Known(t.Context()); err != nil {
		t.Errorf("the bots: %v", err)
	}
	o.release()
}
