package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// looksFile is what the gate remembers: a header line, then one line a domain, sorted, zstd. Without it the gate begins
// anew from what the outbox has: the log, and the evidence of releases.
const looksFile = "looks.jsonl.zst"

const (
	looksFormat = "policylist/looks/v1"
	// maxLooks caps the unpacked file: a million domains at 2 KB.
	maxLooks = 2 << 30
)

// looksHeader is the first line.
type looksHeader struct {
	Format  string `json:"format"`
	Release int64  `json:"release"` // up to which the log is in the lines
}

// tracks are what the gate remembers of all domains.
type tracks struct {
	release int64
	lines   map[string][]byte // as they stand in the file
	open    map[string]*track // decoded, and perhaps changed
}

// loadTracks reads the file, and adds what the log says since.
func (p *Publisher) loadTracks(last *Published) (*tracks, error) {
	t := &tracks{lines: map[string][]byte{}, open: map[string]*track{}}
	data, err := os.ReadFile(filepath.Join(p.State, looksFile))
	if err == nil {
		err = t.read(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, looksFile, err)
	}
	if last == nil {
		return t, nil
	}
	if t.release > last.leaf.Release {
		return nil, fmt.Errorf("%w: %s knows of release %d, the newest is %d; without the file the gate begins anew", ErrState, looksFile, t.release, last.leaf.Release)
	}
	return t, p.catchUp(t, last.leaf.Release)
}

func (t *tracks) read(packed []byte) error {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	data, err := io.ReadAll(io.LimitReader(z, maxLooks+1))
	if err != nil {
		return err
	}
	if len(data) > maxLooks {
		return fmt.Errorf("more than %d bytes", maxLooks)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var h looksHeader
	if err := json.Unmarshal(first, &h); err != nil || h.Format != looksFormat || h.Release < 0 {
		return fmt.Errorf("the first line is not that of %s (%v)", looksFormat, err)
	}
	t.release = h.Release
	for line := range bytes.Lines(rest) {
		var name struct {
			Domain string `json:"domain"`
		}
		if err := json.Unmarshal(line, &name); err != nil {
			return err
		}
		if _, err := policy.ParseDomain(name.Domain); err != nil {
			return err
		}
		t.lines[name.Domain] = bytes.TrimSuffix(line, []byte("\n"))
	}
	return nil
}

// of is what is remembered of d; what the caller changes in it is kept.
func (t *tracks) of(d policy.Domain) (*track, error) {
	name := d.String()
	if have := t.open[name]; have != nil {
		return have, nil
	}
	have := &track{Domain: name}
	if line, ok := t.lines[name]; ok {
		if err := json.Unmarshal(line, have); err != nil {
			return nil, fmt.Errorf("%w: %s: %s: %w", ErrState, looksFile, name, err)
		}
	}
	t.open[name] = have
	return have, nil
}

// domains are all of which anything is remembered, sorted.
func (t *tracks) domains() []string {
	names := make(map[string]bool, len(t.lines)+len(t.open))
	for name := range t.lines {
		names[name] = true
	}
	for name := range t.open {
		names[name] = true
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.SortFunc(sorted, strings.Compare)
	return sorted
}

// bytes is the file, without what is too old by now.
func (t *tracks) bytes(now time.Time) ([]byte, error) {
	sorted := t.domains()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	w := json.NewEncoder(z)
	err = w.Encode(looksHeader{looksFormat, t.release})
	for _, name := range sorted {
		d, e := policy.ParseDomain(name)
		if e != nil {
			return nil, e
		}
		tr, e := t.of(d)
		if e != nil {
			return nil, e
		}
		if tr.forget(now); !tr.idle() {
			err = errors.Join(err, w.Encode(tr))
		}
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// keepTracks makes them as durable as the rest of the state, before the release that goes by them.
func (p *Publisher) keepTracks(t *tracks) error {
	if t == nil {
		return nil
	}
	data, err := t.bytes(p.Now())
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(p.State, looksFile), data, 0o644); err != nil {
		return err
	}
	return p.outbox.kept()
}

// catchUp reads the changes of releases that the tracks do not know yet from the outbox; with tracks that know none,
// the evidence too.
func (p *Publisher) catchUp(t *tracks, newest int64) error {
	lost := t.release == 0
	for n := t.release + 1; n <= newest; n++ {
		if _, err := os.Stat(p.outbox.path(n, outMeta)); errors.Is(err, fs.ErrNotExist) {
			continue // older than what the outbox keeps: nothing will be restored by it
		}
		s, err := p.loadSigned(n)
		if err != nil {
			return err
		}
		entries, err := p.entriesOf(s)
		if err != nil {
			return err
		}
		for _, e := range entries {
			leaf, err := mirror.ParseLeaf(e)
			if err != nil || leaf.Change == nil || leaf.Change.Release != n {
				continue // no change of this release, and of no effect
			}
			tr, err := t.of(leaf.Change.Domain)
			if err != nil {
				return err
			}
			tr.note(*leaf.Change, s.leaf.Timestamp)
		}
		if lost && p.Now().Sub(s.leaf.Timestamp) < gate.Keep {
			if err := p.recall(t, s); err != nil {
				return err
			}
		}
	}
	t.release = newest
	return nil
}

// note adds a change of the log.
func (t *track) note(c mirror.ChangeLeaf, at time.Time) {
	after := policyJSON(c.Policy)
	if c.Reason != codeRestart {
		t.Log = append(t.Log, loggedLine{At: at.UTC(), Before: t.Listed, After: after, Reason: c.Reason})
	}
	t.Listed = after
}

func policyJSON(p *policy.Policy) json.RawMessage {
	if p == nil {
		return nil
	}
	return p.AppendJSON(nil)
}

func policyOfJSON(data json.RawMessage) (*policy.Policy, error) {
	if data == nil {
		return nil, nil
	}
	s := canonical.NewScanner(data)
	p := policy.ScanPolicy(s, nil)
	return &p, s.Done()
}

// history is what the gate wants to know.
func (t *track) history() (looks []gate.Look, log []gate.Logged, err error) {
	for _, s := range t.Spans {
		l, err := s.looks()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %s: %w", ErrState, looksFile, t.Domain, err)
		}
		looks = append(looks, l...)
	}
	log, err = t.logged(time.Time{})
	return looks, log, err
}

// logged are the changes after a time; the zero time asks for all.
func (t *track) logged(since time.Time) (log []gate.Logged, err error) {
	for _, l := range t.Log {
		if !since.IsZero() && !l.At.After(since) {
			continue
		}
		before, err1 := policyOfJSON(l.Before)
		after, err2 := policyOfJSON(l.After)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%w: %s: %s: %w", ErrState, looksFile, t.Domain, err)
		}
		log = append(log, gate.Logged{At: l.At, Before: before, After: after, Reason: l.Reason})
	}
	return log, nil
}
