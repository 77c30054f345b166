package mirror

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

// MaxEvidenceBytes caps an evidence file.
const MaxEvidenceBytes = 1 << 20

// Kinds of evidence files.
const (
	KindFork    = "fork"    // two signed histories
	KindRefusal = "refusal" // one signed history, and a witness that says it knows another: see Refusal
)

// Evidence lets a stranger who has the list's trust confirm that its log signed two histories: the log signed both
// checkpoints, whoever cosigned them, and either they have one size and two roots, or Proof, which belongs to Second,
// shows which root the tree of First's size had in Second's history: not First's.
type Evidence struct {
	Kind   string      `json:"kind"` // "fork"
	Origin string      `json:"origin"`
	First  string      `json:"first"`  // signed note
	Second string      `json:"second"` // signed note, of the same or a larger size
	Proof  []tlog.Hash `json:"proof"`  // RFC 6962 consistency proof of Second's history; empty for one size
	Root   *tlog.Hash  `json:"root"`   // the root that Proof gives First's size; absent for one size
}

// Refusal is what a publisher keeps when a witness refuses its checkpoint. It is half of a fork's proof: First or Second is
// empty, the checkpoint that the witness holds. With that note in its place, and Kind "fork", a file with an empty First
// proves the fork as it stands. With an empty Second the witness knows the larger tree, and the proof has to come from
// where that tree is published.
type Refusal struct {
	Evidence
	Witness string `json:"witness"` // the policy's name for it
	VKey    string `json:"vkey"`
	URL     string `json:"url"`
	Status  int    `json:"status"`         // of its answer
	Old     int64  `json:"old"`            // size of the tree from which the proof led to ours
	Size    int64  `json:"size,omitempty"` // of the larger tree that it says it knows
	Theirs  string `json:"theirs,omitempty"`
}

// Bytes returns the file.
func (r Refusal) Bytes() []byte {
	data, _ := json.MarshalIndent(r, "", " ")
	return append(data, '\n')
}

// ErrNoFork is what Check wraps when the file does not prove a fork.
var ErrNoFork = errors.New("the evidence does not prove a fork")

func newFork(origin, first, second string, proof tlog.TreeProof, root *tlog.Hash) *ForkError {
	return &ForkError{Evidence{"fork", origin, first, second, proof, root}}
}

func (c *Client) keepEvidence(f *ForkError) (string, error) {
	dir := filepath.Join(c.Dir, evidenceDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("fork-%x.json", sum(f.Evidence.Bytes())))
	return path, durable.WriteFile(path, f.Evidence.Bytes(), 0o644)
}

// ParseEvidence reads an evidence file of at most MaxEvidenceBytes, a JSON object. Nothing is verified: see Check. Errors wrap
// ErrNoFork; a Refusal is none yet, and the error says what is missing.
func ParseEvidence(data []byte) (Evidence, error) {
	var e Evidence
	if len(data) > MaxEvidenceBytes {
		return Evidence{}, fmt.Errorf("%w: %d bytes, the most is %d", ErrNoFork, len(data), MaxEvidenceBytes)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return Evidence{}, fmt.Errorf("%w: not an evidence file: %w", ErrNoFork, err)
	}
	if e.Kind == KindRefusal {
		return Evidence{}, fmt.Errorf("%w yet: a witness refused this log. Ask its operator for the checkpoint that it holds and put it into the empty first, with the kind fork", ErrNoFork)
	}
	if e.Kind != KindFork {
		return Evidence{}, fmt.Errorf("%w: evidence of the unknown kind %q", ErrNoFork, e.Kind)
	}
	return e, nil
}

// Bytes returns the file.
func (e Evidence) Bytes() []byte {
	data, _ := json.MarshalIndent(e, "", " ")
	return append(data, '\n')
}

// Check confirms the fork: nil means that the log's key signed two histories.
func (e Evidence) Check(chain *transparency.TrustChain) error {
	first, err := openLogged(chain, e.First)
	if err != nil {
		return fmt.Errorf("%w: first: %w", ErrNoFork, err)
	}
	second, err := openLogged(chain, e.Second)
	if err != nil {
		return fmt.Errorf("%w: second: %w", ErrNoFork, err)
	}
	switch {
	case first.Origin != second.Origin:
		return fmt.Errorf("%w: two logs, %q and %q", ErrNoFork, first.Origin, second.Origin)
	case first.Tree == second.Tree:
		return fmt.Errorf("%w: the checkpoints are the same", ErrNoFork)
	case first.Tree.N == second.Tree.N:
		return nil
	case first.Tree.N > second.Tree.N || e.Root == nil || *e.Root == first.Tree.Hash:
		return fmt.Errorf("%w: no other root for the size %d", ErrNoFork, first.Tree.N)
	}
	if err := tlog.CheckTree(e.Proof, second.Tree.N, second.Tree.Hash, first.Tree.N, *e.Root); err != nil {
		return fmt.Errorf("%w: %w", ErrNoFork, err)
	}
	return nil
}

// openLogged verifies the log's signature under any version of the chain. A quorum is not asked for: a log that signs two
// histories does wrong even where the witnesses saw to it that only one of them came to anything.
func openLogged(chain *transparency.TrustChain, note string) (transparency.Cosigned, error) {
	var errs []error
	for _, t := range chain.Versions() {
		c, _, err := t.OpenSigned([]byte(note))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return transparency.Cosigned{}, errs[len(errs)-1]
}

// openAny verifies a checkpoint by any version of the chain: the log key may have been rotated since.
func openAny(chain *transparency.TrustChain, note string) (transparency.Cosigned, error) {
	var errs []error
	for _, t := range chain.Versions() {
		c, err := t.OpenCheckpoint([]byte(note))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return transparency.Cosigned{}, errs[len(errs)-1]
}

// sum is the SHA-256 of data, in pieces: the runtime cannot interrupt the hashing of one, and a daemon that takes up a list of
// a hundred megabytes would answer nobody meanwhile.
func sum(data []byte) (d [32]byte) {
	h := sha256.New()
	for piece := range slices.Chunk(data, 1<<18) {
		h.Write(piece)
	}
	h.Sum(d[:0])
	return d
}
