package feedback

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	// giveUp is how long after the end of its day a document is still sent: later the operator refuses it.
	giveUp = tlsrpt.MaxContributionAge * 24 * time.Hour
	// An attempt that failed is repeated after firstWait, then after twice as long each time, at most maxWait.
	firstWait = time.Hour
	maxWait   = 12 * time.Hour
)

// Sender sends what is due.
type Sender struct {
	Dir    string // the state folder
	Key    Key
	Target *Target
	// Make makes a day's contribution. ErrLater postpones it to the next run.
	Make func(tlsrpt.Day) (tlsrpt.Contribution, error)
	Now  func() time.Time
}

// ErrLater says that a day's document cannot be made yet.
var ErrLater = errors.New("not yet")

// Run sends what is due and was not sent, oldest first, and returns the book. The error tells what was wrong here; what a
// server did stands in the book. It is one of durable.ErrLocked when another run is at work.
//
// A kill loses nothing and sends nothing twice as two documents: the document is durable before the book names it, the attempt
// is in the book before it is made, and the answer is written down after it. A kill in between sends the same bytes again,
// which the operator knows by contributor and day.
func (s *Sender) Run(ctx context.Context) (*Book, error) {
	unlock, err := durable.Lock(filepath.Join(s.Dir, LockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, damaged := LoadBook(s.Dir)
	today := tlsrpt.DayOf(s.Now())
	if err := b.tidy(today); err != nil {
		return b, err
	}
	var failed []error
	if damaged != nil {
		failed = append(failed, fmt.Errorf("the book of feedback begins anew: %w", damaged))
	}
	if b.Since == 0 {
		b.Since = today + 1 // what was before it was turned on is not told of, nor this morning
	}
	b.Error, b.Ran = "", s.Now().UTC().Truncate(time.Second)
	for i := range b.Days {
		if ctx.Err() != nil {
			break
		}
		if err := s.day(ctx, b, &b.Days[i]); err != nil {
			err = fmt.Errorf("%s: %w", b.Days[i].Day, err)
			failed, b.Error = append(failed, err), err.Error()
		}
	}
	if today >= b.Since && b.Entry(today) == nil {
		b.add(today) // a day on which nothing ran is not told of: it was turned off, or the machine was
	}
	return b, errors.Join(append(failed, b.save())...)
}

// day does for one day what there is to do now.
func (s *Sender) day(ctx context.Context, b *Book, e *Entry) error {
	now := s.Now()
	switch {
	case e.State != Waiting, now.Before(s.Key.Due(e.Day)):
		return nil
	case !now.Before((e.Day + 1).Begin().Add(giveUp)):
		e.State = GivenUp
		return b.save()
	case now.Before(e.Next) && e.Next.Before(now.Add(2*maxWait)): // else the clock was set back
		return nil
	}
	body, err := s.document(b, e)
	if errors.Is(err, ErrLater) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Attempts++
	e.Next = now.Add(backoff(e.Attempts)).UTC().Truncate(time.Second)
	e.Error = "the attempt was cut short"
	if err := b.save(); err != nil {
		return err // without a note of it no attempt is made
	}
	a := s.Target.post(ctx, body)
	if !a.done {
		if e.Error = a.why; a.wait > 0 {
			e.Next = now.Add(max(backoff(e.Attempts), min(a.wait, maxWait))).UTC().Truncate(time.Second)
		}
		return b.save()
	}
	e.State, e.Error, e.Next, e.Notices = Sent, "", time.Time{}, a.notices
	e.Sent = s.Now().UTC().Truncate(time.Second)
	return b.save()
}

// backoff is how long to wait after the n-th attempt.
func backoff(n int) time.Duration {
	if n > 4 {
		return maxWait
	}
	return min(maxWait, firstWait<<(n-1))
}

// document returns what stands in the outbox, or makes it and puts it there. What was made stays, though the source may have
// more by now: a server may have it already.
func (s *Sender) document(b *Book, e *Entry) ([]byte, error) {
	body, err := b.Document(e.Day)
	if err != nil && e.Attempts > 0 {
		e.State, e.Error = GivenUp, "its document is lost, and another one must not be sent: "+err.Error()
		return nil, errors.Join(err, b.save())
	}
	if err != nil {
		if body, err = s.Preview(e.Day); err != nil {
			return nil, err
		}
		if err := durable.WriteFile(b.outbox(e.Day), body, filePermission); err != nil {
			return nil, err
		}
	}
	c, err := tlsrpt.ValidateContribution(body)
	if err != nil {
		return nil, err
	}
	e.Digest, e.Domains = digest(body), domains(c)
	return body, b.save()
}

// Preview is the document of a day as it would be made now. Whatever made it, nothing comes back that the list's own validator
// refuses.
func (s *Sender) Preview(day tlsrpt.Day) ([]byte, error) {
	c, err := s.Make(day)
	if err != nil {
		return nil, err
	}
	return tlsrpt.MarshalContribution(c)
}

func domains(c tlsrpt.Contribution) int {
	n := 0
	for i, e := range c.Entries {
		if i == 0 || c.Entries[i-1].Domain != e.Domain {
			n++
		}
	}
	return n
}
