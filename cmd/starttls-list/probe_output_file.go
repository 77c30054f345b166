package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// partialSuffix ends the name of a scan's file while --resume may go on with it.
const partialSuffix = ".partial"

// evidenceFile is the file of --out while it is written, under another name, so that what has the name is whole. Without
// --out all methods do nothing.
type evidenceFile struct {
	path   string
	file   *os.File
	to     *probe.EvidenceWriter
	key    ed25519.PrivateKey // nil: unsigned
	done   int                // targets of which an earlier run wrote the lines
	worst  probe.Verdict      // of those
	unlock func()             // nil without --resume: then what is not finished is of no use
}

// openEvidence begins the file of a scan, or goes on with the one that a run before this one left.
func (f *probeFlags) openEvidence(ctx context.Context, p *probe.Prober, targets []probe.Target) (*evidenceFile, error) {
	e := &evidenceFile{path: f.out, worst: probe.Pass}
	if f.out == "" {
		return e, nil
	}
	if f.vantageKey != "" {
		key, err := readVantageKey(f.vantageKey)
		if err != nil {
			return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("--vantage-key: %w", err)}
		}
		e.key = key
	}
	header, err := p.Header(ctx, f.shard)
	if err != nil {
		return nil, err
	}
	if f.resume {
		err = e.goOn(header, targets)
	} else {
		e.file, err = os.CreateTemp(filepath.Dir(f.out), filepath.Base(f.out)+".*.tmp")
	}
	if err == nil && e.to == nil {
		e.to, err = probe.NewEvidence(e.file, header)
	}
	if err != nil {
		e.discard()
		return nil, err
	}
	return e, nil
}

// goOn opens the file that a killed run may have left, for this process alone, and cuts it behind what stands.
func (e *evidenceFile) goOn(header probe.Header, targets []probe.Target) error {
	name := e.path + partialSuffix
	unlock, err := durable.Lock(name)
	if errors.Is(err, durable.ErrLocked) {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("--resume: %w", err), Hint: "another scan writes to this --out; wait for it"}
	}
	if err != nil {
		return err
	}
	e.unlock = unlock
	if e.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	left, err := probe.ReadPartial(e.file, header, targets)
	if err != nil {
		return err
	}
	if left.Done > 0 && header.Withdrawn() {
		return &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("the canary looks wrong now, so the scan in %s cannot go on", name),
			Hint: "run it again with --resume when the canary is well; the part that stands is kept for a day"}
	}
	if err := e.file.Truncate(left.Size); err != nil {
		return err
	}
	if _, err := e.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if left.Done > 0 {
		e.to, e.done, e.worst = left.Writer(e.file), left.Done, left.Worst
	}
	return nil
}

func (e *evidenceFile) add(r probe.Result) error {
	if e.file == nil {
		return nil
	}
	return e.to.Add(r)
}

// finish signs, makes the file durable and gives it its name.
func (e *evidenceFile) finish() error {
	if e.file == nil {
		return nil
	}
	if e.key != nil {
		if err := e.to.Sign(e.key); err != nil {
			return err
		}
	}
	err := errors.Join(e.file.Chmod(0o644), e.file.Sync(), e.file.Close())
	if err == nil {
		err = os.Rename(e.file.Name(), e.path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(e.path))
	}
	return err
}

// worthless removes what was written even where --resume would keep it: the vantage could not be believed.
func (e *evidenceFile) worthless() {
	if e.file != nil {
		os.Remove(e.file.Name())
	}
}

// discard removes what was not finished, unless --resume is to go on with it; after finish there is nothing to remove.
func (e *evidenceFile) discard() {
	if e.file != nil {
		e.file.Close()
		if e.unlock == nil {
			os.Remove(e.file.Name())
		}
	}
	if e.unlock != nil {
		e.unlock()
		e.unlock = nil
	}
}
