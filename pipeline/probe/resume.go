package probe

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"
)

// maxResumeAge is how old a scan may be that is gone on with: a release takes nothing that began earlier.
const maxResumeAge = 24 * time.Hour

// Partial is what a scan that was cut short left of its evidence file: the header, and lines of its first targets.
type Partial struct {
	Header Header
	Done   int     // targets that need not be looked at again
	Worst  Verdict // of those
	Size   int64   // bytes of the file that stand; what is behind them is to be cut off

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
	if err != nil {
		return nothing, seen.err // whatever else it is, it is not ours
	}
	if r.Merged() || !r.header.goesOn(header) {
		return nothing, nil
	}
	p := Partial{Header: r.header, Worst: Pass, Size: int64(len(r.first)) + 1, sum: sha256.New()}
	p.sum.Write(append(bytes.Clone(r.first), '\n'))
	for p.Done < len(targets) {
		line, err := r.Next()
		if err != nil || !line.about(targets[p.Done]) {
			break
		}
		p.sum.Write(append(bytes.Clone(line.Raw), '\n'))
		p.Size += int64(len(line.Raw)) + 1
		p.Worst = Worse(p.Worst, line.Verdict)
		p.Done++
	}
	if p.Done == 0 {
		return nothing, seen.err
	}
	return p, seen.err
}

// goesOn reports whether the scan that began with h can be gone on with by one that would begin with next.
func (h Header) goesOn(next Header) bool {
	began, err1 := h.started()
	now, err2 := next.started()
	if err1 != nil || err2 != nil || now.Before(began) || now.Sub(began) > maxResumeAge {
		return false
	}
	if h.Canary != nil && !h.Canary.Verdict.good() || (h.Canary == nil) != (next.Canary == nil) ||
		h.Canary != nil && h.Canary.Domain != next.Canary.Domain {
		return false
	}
	next.Started, next.Canary = h.Started, h.Canary
	return h == next
}

// Withdrawn reports whether the canary looked wrong, so that nothing that the vantage sees now counts.
func (h Header) Withdrawn() bool { return h.Canary != nil && !h.Canary.Verdict.good() }

// about reports whether the line is what a look at t would be written as.
func (l Line) about(t Target) bool {
	var pol []byte
	if len(t.Policy.MXs) > 0 {
		pol = t.Policy.AppendJSON(nil)
	}
	return l.Domain == t.Domain && bytes.Equal(l.Policy, pol)
}

// Writer goes on with the file, of which out is the end behind Size bytes.
func (p Partial) Writer(out io.Writer) *EvidenceWriter {
	return &EvidenceWriter{out: out, sum: p.sum, vantage: p.Header.Vantage}
}

// broken remembers why reading failed: a disk that cannot be read is no torn line.
type broken struct {
	in  io.Reader
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if err != nil && err != io.EOF {
		b.err = fmt.Errorf("read evidence: %w", err)
	}
	return n, err
}
