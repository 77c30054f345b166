package pipeline

import (
	"bytes"
	"errors"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// recall looks at the evidence of a release again, when what the gate remembers is lost. It was verified when the release
// was made, and the outbox has its bytes.
func (p *Publisher) recall(t *tracks, s Signed) error {
	packed, err := p.outbox.read(s.meta, outEvidence)
	if errors.Is(err, fs.ErrNotExist) || err == nil && packed == nil {
		return nil // none, or recovered or restored without it: there is that much less to go by
	}
	if err != nil {
		return err
	}
	open := func(f func(in io.Reader) error) error {
		z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		return f(z)
	}
	merged := false
	err = open(func(in io.Reader) error {
		r, err := probe.NewReader(in, mirror.MaxObservationsBytes)
		if err != nil || r.Merged() {
			merged = err == nil
			return err
		}
		return t.recallOwn(r)
	})
	if err != nil || !merged {
		return err
	}
	return open(func(in io.Reader) error {
		_, err := probe.VerifyMerged(in, mirror.MaxObservationsBytes, probe.MergeOptions{}, func(m probe.Merged) error {
			tr, err := t.of(m.Domain)
			if err == nil {
				tr.add(lookOfMerged(m, s.leaf.Timestamp))
			}
			return err
		})
		return err
	})
}

// recallOwn reads what the releasing host saw.
func (t *tracks) recallOwn(r *probe.Reader) error {
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		tr, err := t.of(line.Domain)
		if err != nil {
			return err
		}
		tr.add(lookOfResult(probe.Result{Line: line.Raw}))
	}
}
