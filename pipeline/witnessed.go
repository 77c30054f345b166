package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// WitnessResult says what one witness of the trust did for a release.
type WitnessResult struct {
	Name string
	Time time.Time // of its cosignature, by its own clock; zero: it gave none
	Err  error     // why it gave none in this run; an earlier run's cosignature may be there all the same
}

var (
	// ErrQuorum means that a release is logged and signed, but that too few witnesses cosigned it so far. Nobody sees
	// it: the mirrors' pointers stay where they were, and the next run asks again.
	ErrQuorum = errors.New("the witnesses' quorum is not reached")
	// ErrRefused means that a witness has seen another history of this log, or says so. The evidence is in the state.
	ErrRefused = errors.New("a witness refuses this log")
	// ErrWitnesses means that the trust asks for cosignatures and that there is no client to ask for them.
	ErrWitnesses = errors.New("the trust asks for witnesses")
)

// maxSkew is how far a cosignature's time may lie from our clock. Clients take freshness from it: a witness whose clock
// runs ahead would keep a frozen list fresh, one far behind makes a new list stale.
const maxSkew = 10 * time.Minute

// hintsFile remembers the last size that each witness cosigned, by its vkey: a saved request, never more than that.
const hintsFile = "witnesses.json"

// cosign makes the witnessed checkpoint of tree: it signs, asks every witness at once, and keeps what they gave in the
// outbox. The signed note is durable before a witness sees it, and the cosigned one before anybody does.
func (p *Publisher) cosign(ctx context.Context, s Signed, tree tlog.Tree) ([]byte, []WitnessResult, error) {
	trust := p.Trust.Newest()
	if p.Witnesses == nil {
		return nil, nil, fmt.Errorf("%w: version %d has a quorum", ErrWitnesses, trust.Version)
	}
	signed, err := p.signedNote(s, tree)
	if err != nil {
		return nil, nil, err
	}
	lines := map[string][]byte{}
	answers, err := p.ask(ctx, signed, tree)
	if err != nil {
		return nil, nil, err
	}
	results := make([]WitnessResult, len(answers))
	for i, w := range trust.Witnesses.Witnesses() {
		results[i] = WitnessResult{Name: w.Name, Time: signed.Witnesses[w.Name], Err: answers[i].err}
		if old, _, err := w.Cosignature(signed.Note); err == nil {
			lines[w.Name] = old
		}
		if answers[i].err == nil {
			lines[w.Name], results[i].Time = answers[i].Line, answers[i].Time
		}
	}
	note := logLine(signed.Note)
	for _, r := range results {
		note = append(note, lines[r.Name]...)
	}
	merged, quorum, err := trust.OpenSigned(note)
	if err == nil {
		err = p.outbox.add(s.meta.Release, outSigned, merged.Note)
	}
	if err == nil {
		err = p.keepRefusals(s, tree, answers)
	}
	if err != nil {
		return nil, results, err
	}
	if !quorum {
		return nil, results, fmt.Errorf("%w: release %d has %d of %d cosignatures", ErrQuorum, s.meta.Release, len(merged.Witnesses), len(results))
	}
	return merged.Note, results, p.outbox.add(s.meta.Release, outCheckpoint, merged.Note)
}

// signedNote is the checkpoint with the log's signature and the cosignatures that earlier runs got.
func (p *Publisher) signedNote(s Signed, tree tlog.Tree) (transparency.Cosigned, error) {
	trust := p.Trust.Newest()
	note, err := p.outbox.read(s.meta, outSigned)
	if err != nil {
		return transparency.Cosigned{}, err
	}
	if note != nil {
		c, _, err := trust.OpenSigned(note)
		if err == nil && c.Tree != tree {
			err = fmt.Errorf("it is for %d entries with another root", c.Tree.N)
		}
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrState, p.outbox.path(s.meta.Release, outSigned), err)
		}
		return c, err
	}
	if note, err = transparency.SignCheckpoint(transparency.Checkpoint{Origin: trust.Origin, Tree: tree}, p.Keys.Log); err != nil {
		return transparency.Cosigned{}, err
	}
	c, _, err := trust.OpenSigned(note)
	if err != nil {
		return c, fmt.Errorf("%w: the log key: %w", ErrKeys, err)
	}
	return c, p.outbox.add(s.meta.Release, outSigned, c.Note)
}

// logLine cuts a note that OpenSigned rebuilt behind the log's own line, which comes first.
func logLine(note []byte) []byte {
	end := bytes.Index(note, []byte("\n\n")) + 2
	return bytes.Clone(note[:end+bytes.IndexByte(note[end:], '\n')+1])
}

// answer is what one witness said; err nil means a cosignature.
type answer struct {
	witness.Cosignature
	err error
}

// ask asks all witnesses of the trust at once; the client bounds how long each may take. Results are in the policy's
// order.
func (p *Publisher) ask(ctx context.Context, signed transparency.Cosigned, tree tlog.Tree) ([]answer, error) {
	witnesses := p.Trust.Newest().Witnesses.Witnesses()
	hints := p.hints()
	answers := p.askAll(ctx, witnesses, witness.Tree{Note: logLine(signed.Note), Size: tree.N, Prove: func(old int64) (tlog.TreeProof, error) {
		return tlog.ProveTree(tree.N, old, p.log)
	}}, hints)
	for i, w := range witnesses {
		if off := answers[i].Time.Sub(p.Now()); answers[i].err == nil && off.Abs() > maxSkew {
			answers[i].err = fmt.Errorf("%w of %s: its clock and ours are %v apart", witness.ErrUnavailable, w.Name, off.Abs().Round(time.Second))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	next := map[string]int64{}
	for i, w := range witnesses {
		var refusal *witness.Refusal
		switch err := answers[i].err; {
		case err == nil:
			next[w.VKey] = tree.N
		case errors.Is(err, witness.ErrUnavailable), errors.As(err, &refusal):
			next[w.VKey] = hints[w.VKey]
		default: // the log could not prove: nothing that a witness did
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	p.keepHints(next)
	return answers, nil
}

// askAll asks witnesses at once. Results are in their order.
func (p *Publisher) askAll(ctx context.Context, witnesses []transparency.WitnessURL, t witness.Tree, hints map[string]int64) []answer {
	var mu sync.Mutex // the log is read by one at a time
	prove := t.Prove
	t.Prove = func(old int64) (tlog.TreeProof, error) {
		mu.Lock()
		defer mu.Unlock()
		return prove(old)
	}
	answers := make([]answer, len(witnesses))
	var wg sync.WaitGroup
	for i, w := range witnesses {
		wg.Go(func() {
			c, err := p.Witnesses.AddCheckpoint(ctx, w, t, hints[w.VKey])
			answers[i] = answer{c, err}
		})
	}
	wg.Wait()
	return answers
}

// hints reads what is remembered of the witnesses. Nothing depends on it, so a damaged file is no file.
func (p *Publisher) hints() map[string]int64 {
	hints := map[string]int64{}
	data, err := os.ReadFile(filepath.Join(p.State, hintsFile))
	if err != nil || json.Unmarshal(data, &hints) != nil {
		return map[string]int64{}
	}
	return hints
}

func (p *Publisher) keepHints(hints map[string]int64) {
	data, err := json.MarshalIndent(hints, "", " ")
	if err == nil {
		err = durable.WriteFile(filepath.Join(p.State, hintsFile), append(data, '\n'), 0o644)
	}
	if err != nil {
		p.Log.Warn("what the witnesses know is not remembered", "path", hintsFile, "err", err)
	}
}

// witnessTimes lists the policy's witnesses with the times under a checkpoint.
func witnessTimes(trust *transparency.Trust, c transparency.Cosigned) []WitnessResult {
	var out []WitnessResult
	for _, w := range trust.Witnesses.Witnesses() {
		out = append(out, WitnessResult{Name: w.Name, Time: c.Witnesses[w.Name]})
	}
	return out
}
