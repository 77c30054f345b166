package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// partialSuffix ends the name of a scan's file while --resume may go on with it.
const partialSuffix = ".partial"

// oldSuffix comes behind partialSuffix for what another scan left there.
const oldSuffix = ".old"

// evidenceFile is the file of --out while it is written, under another name, so that what has the name is whole. Without
// --out all methods do nothing.
type evidenceFile struct {
	path   string
	file   *os.File
	to     *probe.EvidenceWriter
	key    ed25519.PrivateKey // nil: unsigned
	done   int                // targets of which an earlier run wrote the lines
	unlock func()             // nil without --resume: then what is not finished is of no use
}

// openEvidence begins the file of a scan, or goes on with the one that a run before this one left.
func (f *probeFlags) openEvidence(ctx context.Context, p *probe.Prober, targets []probe.Target, stderr io.Writer) (*evidenceFile, error) {
	e := &evidenceFile{path: f.out}
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
	var err error
	if f.resume {
		err = e.lock()
	} else {
		e.file, err = createBeside(f.out)
	}
	if err == nil {
		err = e.begin(ctx, p, f, targets, stderr)
	}
	if err != nil {
		e.discard()
		return nil, err
	}
	return e, nil
}

// begin writes the header, or goes on behind what stands.
func (e *evidenceFile) begin(ctx context.Context, p *probe.Prober, f *probeFlags, targets []probe.Target, stderr io.Writer) error {
	header, err := p.Header(ctx, f.shard)
	if err == nil && f.resume {
		err = e.goOn(header, targets, stderr)
	}
	if err == nil && e.to == nil {
		e.to, err = probe.NewEvidence(e.file, header)
	}
	return err
}

// lock opens the file that a killed run may have left, for this process alone.
func (e *evidenceFile) lock() error {
	name := e.path + partialSuffix
	if err := checkOut(name); err != nil {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("--resume: %w", err)}
	}
	unlock, err := durable.Lock(name)
	if errors.Is(err, durable.ErrLocked) {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("--resume: %w", err), Hint: "another scan writes to this --out; wait for it"}
	}
	if err != nil {
		return outError(err)
	}
	before := e.unlock
	e.unlock = func() {
		unlock()
		if before != nil {
			before()
		}
	}
	// Whoever can write to the folder must not have us write through a link of theirs.
	e.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	return outError(err)
}

// goOn cuts the file behind what stands. What is of another scan is kept under another name.
func (e *evidenceFile) goOn(header probe.Header, targets []probe.Target, stderr io.Writer) error {
	name := e.file.Name()
	left, err := probe.ReadPartial(e.file, header, targets)
	if err != nil {
		return err
	}
	if left.Done > 0 && header.Withdrawn() {
		return &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("the canary looks wrong now, so the scan in %s cannot go on", name),
			Hint: "run it again with --resume when the canary is well; the part that stands is kept for a day"}
	}
	if left.Dropped != "" {
		fate := "is dropped"
		if left.Other {
			fate = "is kept as " + name + oldSuffix
			if err := e.setAside(left.Size); err != nil {
				return err
			}
		}
		what := name
		if left.Done > 0 {
			what = fmt.Sprintf("%s behind %s", name, term.Plural(left.Done, "domain"))
		}
		fmt.Fprintf(stderr, "starttls-list: note: --resume does not go on with %s, which %s: %s\n", term.Escape(what), term.Escape(fate), term.Escape(left.Dropped))
	}
	if err := e.file.Truncate(left.Size); err != nil {
		return err
	}
	if _, err := e.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if left.Done > 0 {
		e.to, e.done = left.Writer(e.file), left.Done
	}
	return nil
}

// setAside renames the file and begins a new one with its first bytes. The lock on the old one is held until the end, so
// that nobody who opened it under the former name takes it for the present one.
func (e *evidenceFile) setAside(keep int64) error {
	old, name := e.file, e.file.Name()
	defer old.Close()
	if err := os.Rename(name, name+oldSuffix); err != nil {
		return err
	}
	if err := e.lock(); err != nil {
		return err
	}
	_, err := io.Copy(e.file, io.NewSectionReader(old, 0, keep))
	return err
}

// earlier gives the lines that stand to each.
func (e *evidenceFile) earlier(each func(probe.Line) error) error {
	r, err := probe.NewReader(io.NewSectionReader(e.file, 0, probe.MaxEvidence), probe.MaxEvidence)
	if err != nil {
		return err
	}
	for range e.done {
		line, err := r.Next()
		if err != nil {
			return err
		}
		if err := each(line); err != nil {
			return err
		}
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
