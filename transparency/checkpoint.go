package transparency

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpointBytes caps a checkpoint before anything in it is looked at.
const MaxCheckpointBytes = 64 << 10

// ErrCheckpoint is what every malformed or wrongly signed checkpoint wraps.
var ErrCheckpoint = errors.New("checkpoint refused")

// Checkpoint is a log's statement "my tree of this size has this root" (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string    // of the log, the name of its key: policylist.example/list
	Tree   tlog.Tree // N leaves, RFC 6962 root
}

// String returns the note text: origin, size and base64 root, one a line, no extension lines.
func (c Checkpoint) String() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Tree.N, c.Tree.Hash)
}

// ParseCheckpoint reads a note text, the lines before the signatures. Extension lines are refused: nobody could audit them.
// Errors wrap ErrCheckpoint.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("%w: it takes three lines: origin, size, root", ErrCheckpoint)
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: line 2: %q is not a tree size", ErrCheckpoint, lines[1])
	}
	h, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: line 3: %w", ErrCheckpoint, err)
	}
	return Checkpoint{lines[0], tlog.Tree{N: n, Hash: h}}, nil
}

// parseHash reads the one base64 form of a hash; tlog.ParseHash would accept others, such as stray trailing bits.
func parseHash(s string) (tlog.Hash, error) {
	var h tlog.Hash
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) || base64.StdEncoding.EncodeToString(b) != s {
		return h, fmt.Errorf("%q is not a base64 SHA-256 hash", s)
	}
	copy(h[:], b)
	return h, nil
}

// SignCheckpoint returns the signed note, with the log's line alone. The signer's name must be the origin. Call it only once
// the tree is durable: a signature cannot be taken back.
func SignCheckpoint(c Checkpoint, log note.Signer) ([]byte, error) {
	if log.Name() != c.Origin {
		return nil, fmt.Errorf("the log key is named %q, the origin is %q", log.Name(), c.Origin)
	}
	return note.Sign(&note.Note{Text: c.String()}, log)
}

// signedBy returns the keys whose signature on the note is good, in the order given, with their signature lines.
// A wrong signature of a key does not count, and neither does it hide the good ones: whoever serves the note can
// add lines. One line that is none makes it no note (C2SP signed-note), wherever it stands.
func signedBy(msg []byte, keys []noteKey) (text string, signers []noteKey, lines []note.Signature) {
	for _, k := range keys {
		n, err := note.Open(msg, note.VerifierList(k))
		var bad *note.InvalidSignatureError
		if errors.As(err, &bad) && isNote(msg) {
			n, err = openLine(msg, k)
		}
		if err == nil {
			text, signers, lines = n.Text, append(signers, k), append(lines, n.Sigs[0])
		}
	}
	return text, signers, lines
}

// isNote reports whether all lines of a note are in their form: note.Open stops at the first wrong signature of a key that it
// knows, and looks at none behind it.
func isNote(msg []byte) bool {
	var unverified *note.UnverifiedNoteError
	_, err := note.Open(msg, note.VerifierList())
	return errors.As(err, &unverified)
}

// openLine tries the signature lines of one key one by one: note.Open stops at the first wrong one. msg is a note.
func openLine(msg []byte, k noteKey) (*note.Note, error) {
	split := bytes.LastIndex(msg, []byte("\n\n")) + 2
	for line := range bytes.Lines(msg[split:]) {
		if !bytes.HasPrefix(line, []byte("— "+k.name+" ")) {
			continue
		}
		if n, err := note.Open(append(bytes.Clone(msg[:split]), line...), note.VerifierList(k)); err == nil {
			return n, nil
		}
	}
	return nil, &note.InvalidSignatureError{Name: k.name, Hash: k.hash}
}

// rebuildNote writes a note that carries only the given, verified lines: forged ones are not passed on or stored.
func rebuildNote(text string, lines []note.Signature) ([]byte, error) {
	return note.Sign(&note.Note{Text: text, Sigs: lines})
}

// Cosigned is a checkpoint that the log signed and that satisfies the witness policy.
type Cosigned struct {
	Checkpoint
	Note       []byte               // the signed note, reduced to verified lines
	QuorumTime time.Time            // see WitnessPolicy.QuorumTime; zero where no witness is asked for
	Witnesses  map[string]time.Time // when each cosigned, by the policy's name for it; those with a good line only
}

// OpenCheckpoint verifies a signed note of at most MaxCheckpointBytes: the log's signature, the origin, and the witness policy.
// Errors wrap ErrCheckpoint.
func (t *Trust) OpenCheckpoint(msg []byte) (Cosigned, error) {
	out, quorum, err := t.OpenSigned(msg)
	if err == nil && !quorum {
		err = fmt.Errorf("%w: %d cosignatures do not make the quorum %s", ErrCheckpoint, len(out.Witnesses), t.Witnesses.quorum)
	}
	if err != nil {
		return Cosigned{}, err
	}
	return out, nil
}

// OpenSigned is OpenCheckpoint without the quorum: it verifies the log's signature and the origin, and keeps the good
// cosignatures of the policy's witnesses, whether or not they make the quorum. That is enough to hold a log to its own
// words, and not enough to take a list from it.
func (t *Trust) OpenSigned(msg []byte) (out Cosigned, quorum bool, err error) {
	if len(msg) > MaxCheckpointBytes {
		return Cosigned{}, false, fmt.Errorf("%w: %d bytes, the most is %d", ErrCheckpoint, len(msg), MaxCheckpointBytes)
	}
	text, _, lines := signedBy(msg, []noteKey{t.log})
	if len(lines) == 0 {
		return Cosigned{}, false, fmt.Errorf("%w: no good signature of the log key %s", ErrCheckpoint, t.log.name)
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return Cosigned{}, false, err
	}
	if c.Origin != t.Origin {
		return Cosigned{}, false, fmt.Errorf("%w: its origin is %q, this list's is %q", ErrCheckpoint, c.Origin, t.Origin)
	}
	out = Cosigned{Checkpoint: c, Witnesses: map[string]time.Time{}}
	for _, w := range t.Witnesses.witnesses {
		at, line, err := w.key.cosignature(msg)
		if err != nil {
			return Cosigned{}, false, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
		if line != nil {
			out.Witnesses[w.name] = at
			lines = append(lines, *line)
		}
	}
	out.QuorumTime, quorum = t.Witnesses.QuorumTime(out.Witnesses)
	out.Note, err = rebuildNote(text, lines)
	return out, quorum, err
}
