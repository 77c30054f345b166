package transparency

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProofBytes caps a tlog-proof file before anything in it is looked at.
const MaxProofBytes = 128 << 10

// maxPath is the longest inclusion path: one hash a level of a tree of at most 2^63 leaves.
const maxPath = 63

const proofHeader = "c2sp.org/tlog-proof@v1"

// ErrProof is what every malformed or wrong proof wraps.
var ErrProof = errors.New("tlog-proof refused")

// Proof is a C2SP tlog-proof: an entry's place in a checkpointed tree, provable offline.
//
//	c2sp.org/tlog-proof@v1
//	extra <base64>
//	index 41
//	<base64 hash>, one a line, from the leaf's sibling up
//
//	<the signed checkpoint, verbatim>
type Proof struct {
	Extra      []byte      // opaque and unauthenticated; here the leaf itself. Nil: no such line
	Index      int64       // of the entry, from 0
	Path       []tlog.Hash // from the leaf's sibling up, at most 63
	Checkpoint []byte      // signed note
}

// Format returns the file's bytes.
func (p Proof) Format() []byte {
	var b bytes.Buffer
	b.WriteString(proofHeader + "\n")
	if p.Extra != nil {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Path {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads a file of at most MaxProofBytes; what it accepts formats back to itself. Nothing in it is verified yet.
// Errors wrap ErrProof and name the line.
func ParseProof(data []byte) (Proof, error) {
	if len(data) > MaxProofBytes {
		return Proof{}, fmt.Errorf("%w: %d bytes, the most is %d", ErrProof, len(data), MaxProofBytes)
	}
	head, checkpoint, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		return Proof{}, fmt.Errorf("%w: no empty line before a checkpoint", ErrProof)
	}
	p := Proof{Checkpoint: checkpoint}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofHeader || len(lines) < 2 {
		return Proof{}, fmt.Errorf("%w: line 1: expected %q", ErrProof, proofHeader)
	}
	n := 1
	if extra, ok := strings.CutPrefix(lines[n], "extra "); ok {
		raw, err := base64.StdEncoding.Strict().DecodeString(extra)
		if err != nil || len(raw) == 0 || n+1 == len(lines) {
			return Proof{}, fmt.Errorf("%w: line 2: extra is not base64, or no index follows", ErrProof)
		}
		p.Extra, n = raw, n+1
	}
	index, ok := strings.CutPrefix(lines[n], "index ")
	i, err := strconv.ParseInt(index, 10, 64)
	if !ok || err != nil || i < 0 {
		return Proof{}, fmt.Errorf("%w: line %d: expected \"index N\"", ErrProof, n+1)
	}
	p.Index = i
	for k, line := range lines[n+1:] {
		h, err := parseHash(line)
		if err != nil || k == maxPath {
			return Proof{}, fmt.Errorf("%w: line %d: not a base64 SHA-256 hash, or more than %d of them", ErrProof, n+2+k, maxPath)
		}
		p.Path = append(p.Path, h)
	}
	if !bytes.Equal(p.Format(), data) {
		return Proof{}, fmt.Errorf("%w: not in its one form", ErrProof)
	}
	return p, nil
}

// Check verifies that the leaf with this hash (tlog.RecordHash of the entry) stands at p.Index in tree, which somebody else
// vouches for (RFC 9162 section 2.1.3.2). Errors wrap ErrProof.
func (p Proof) Check(leaf tlog.Hash, tree tlog.Tree) error {
	if p.Index >= tree.N {
		return fmt.Errorf("%w: index %d in a tree of %d", ErrProof, p.Index, tree.N)
	}
	if err := tlog.CheckRecord(p.Path, tree.N, tree.Hash, p.Index, leaf); err != nil {
		return fmt.Errorf("%w: entry %d is not in the tree of %d: %w", ErrProof, p.Index, tree.N, err)
	}
	return nil
}
