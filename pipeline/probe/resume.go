package probe

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// maxResumeAge is how old a scan may be that is gone on with: a release takes nothing that began earlier.
const maxResumeAge = 24 * time.Hour

// Partial is what a scan that was cut short left of its evidence file: the header, and lines of its first targets.
type Partial struct {
	Header  Header
	Done    int     // targets that need not be looked at again
	Worst   Verdict // of those
	Size    int64   // bytes of the file that stand; what is behind them is to be cut off
	Dropped string  // why not all of it stands, for people; "" when all does
	Other   bool    // what does not stand is of another scan, or was never ours: worth keeping, unlike what is torn

	sum hash.Hash // over those bytes
}

// ReadPartial reads what the scan that would begin with header and look at targets left when it was cut short. It keeps
// lines as long as they are whole, canonical, in the order of targets and about the same entries of the list; a torn or
// damaged one and all behind it are done again. Done is 0, without an error, for a file of another scan (other vantage,
// shard, roots, tool or canary), of a vantage that withdrew itself, and for one begun more than a day before header.
func ReadPartial(in io.Reader, header Header, targets []Target) (Partial, error) {
	nothing := Partial{Worst: Pass}
	seen := &broken{in: in}
	r, err := NewReader(seen, MaxEvidence)
	switch {
	case seen.err != nil:
		return nothing, seen.err
	case err != nil && !seen.any:
		return nothing, nil
	case err != nil:
		nothing.Dropped = err.Error() // whatever else it is, it is not ours
	case r.Merged():
		nothing.Dropped = "it is merged evidence"
	default:
		nothing.Dropped = r.header.otherThan(header)
	}
	if nothing.Dropped != "" {
		nothing.Other = true
		return nothing, nil
	}
	p := Partial{Header: r.header, Worst: Pass, Size: int64(len(r.first)) + 1, sum: sha256.New()}
	p.sum.Write(append(bytes.Clone(r.first), '\n'))
	p.keep(r, targets)
	if p.Done == 0 {
		nothing.Dropped, nothing.Other = p.Dropped, p.Other
		p = nothing
	}
	return p, seen.err
}

// keep takes the lines that stand, and says why it stopped before the end.
func (p *Partial) keep(r *Reader, targets []Target) {
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.Dropped = err.Error()
			return
		}
		if p.Dropped = line.otherThan(targets[p.Done:]); p.Dropped != "" {
			p.Other = true
			return
		}
		p.sum.Write(append(bytes.Clone(line.Raw), '\n'))
		p.Size += int64(len(line.Raw)) + 1
		p.Worst = Worse(p.Worst, line.Verdict)
		p.Done++
	}
}

// otherThan says why the scan that began with h cannot be gone on with by one that would begin with next; "" when it can.
func (h Header) otherThan(next Header) string {
	began, err1 := h.started()
	now, err2 := next.started()
	switch {
	case err1 != nil || err2 != nil || now.Before(began):
		return fmt.Sprintf("started: it began at %q, after this scan at %q", h.Started, next.Started)
	case now.Sub(began) > maxResumeAge:
		return fmt.Sprintf("started: it began at %q, more than %s ago", h.Started, maxResumeAge)
	case h.Withdrawn():
		return fmt.Sprintf("canary: %q looked wrong to it, so none of its results counts", h.Canary.Domain)
	}
	for _, m := range []struct{ name, then, now string }{
		{"vantage", h.Vantage, next.Vantage}, {"shard", h.Shard, next.Shard}, {"canary", h.canaryName(), next.canaryName()},
		{"ehlo", h.EHLO, next.EHLO}, {"roots", h.Roots, next.Roots}, {"roots-version", h.RootsVersion, next.RootsVersion},
		{"tool", h.Tool, next.Tool}, {"trust-ad", fmt.Sprint(h.TrustAD), fmt.Sprint(next.TrustAD)},
	} {
		if m.then != m.now {
			return fmt.Sprintf("%s: it has %q, this scan %q", m.name, m.then, m.now)
		}
	}
	next.Started, next.Canary = h.Started, h.Canary
	if h != next { // a member that is not in the table above
		return "its header is another"
	}
	return ""
}

func (h Header) canaryName() string {
	if h.Canary == nil {
		return ""
	}
	return h.Canary.Domain
}

// Withdrawn reports whether the canary looked wrong, so that nothing that the vantage sees now counts.
func (h Header) Withdrawn() bool { return h.Canary != nil && !h.Canary.Verdict.good() }

// otherThan says why the line is not what a look at the first of targets would be written as; "" when it is.
func (l Line) otherThan(targets []Target) string {
	if len(targets) == 0 {
		return fmt.Sprintf("it is about %s, which is not asked for now", l.Domain)
	}
	t := targets[0]
	if l.Domain != t.Domain {
		return fmt.Sprintf("it goes on with %s, this scan with %s", l.Domain, t.Domain)
	}
	var pol []byte
	if len(t.Policy.MXs) > 0 {
		pol = t.Policy.AppendJSON(nil)
	}
	if !bytes.Equal(l.Policy, pol) {
		return fmt.Sprintf("the entry of %s is another now", l.Domain)
	}
	return ""
}

// Writer goes on with the file, of which out is the end behind Size bytes.
func (p Partial) Writer(out io.Writer) *EvidenceWriter {
	return &EvidenceWriter{out: out, sum: p.sum, vantage: p.Header.Vantage}
}

// broken remembers why reading failed: a disk that cannot be read is no torn line.
type broken struct {
	in  io.Reader
	any bool // something was read
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.any = b.any || n > 0
	if err != nil && err != io.EOF {
		b.err = fmt.Errorf("read evidence: %w", err)
	}
	return n, err
}
