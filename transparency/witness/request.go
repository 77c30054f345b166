package witness

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProof is the most hashes that a request may carry (C2SP tlog-witness: "MUST NOT send more than 63").
const MaxProof = 63

// Request is the body of add-checkpoint.
type Request struct {
	Old        int64       // size of the tree that the witness knows; 0: none
	Proof      []tlog.Hash // RFC 6962 consistency proof from Old; empty from 0 and from the same size
	Checkpoint []byte      // signed note
}

// Format returns the body.
func (r Request) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(r.Checkpoint)
	return b.Bytes()
}
