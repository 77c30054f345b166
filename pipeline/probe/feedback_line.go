package probe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// feedbackPrefix begins the line that a release may put behind those of the vantages: the newest feedback table.
const feedbackPrefix = `{"feedback":`

// AppendFeedback appends that line, with its end, for a table in canonical JSON.
func AppendFeedback(b, table []byte) []byte {
	b = append(append(b, feedbackPrefix...), table...)
	return fmt.Appendf(b, `,"kind":"feedback","sha256":"%x"}`+"\n", sha256.Sum256(table))
}

// parseFeedback takes the table out of the line. What is in it is not this package's to judge.
func parseFeedback(line []byte) ([]byte, error) {
	members, err := namedMembers(line)
	if err != nil {
		return nil, err
	}
	table := bytes.Clone(members.raw("feedback"))
	sum := sha256.Sum256(table)
	if !bytes.Equal(bytes.TrimSuffix(AppendFeedback(nil, table), []byte("\n")), line) {
		return nil, fmt.Errorf("%w: feedback: it is not as it was written, or the table's digest is %s", ErrEvidence, hex.EncodeToString(sum[:]))
	}
	return table, nil
}
