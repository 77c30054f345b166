package witness

import (
	"fmt"
	"net/http"

	"github.com/starttls-everywhere/policylist/transparency"
)

// Refusal means that a witness has seen another history of this log than the one it was shown, or says so: a state that
// fell behind, a second publisher with the same key, or a witness that lies. The log must stop until somebody knows which.
type Refusal struct {
	Witness  transparency.WitnessURL
	Request  Request
	Response Response
	Size     int64  // of the tree that the witness knows, where it told one above ours; else -1
	Theirs   []byte // the checkpoint that it holds, unverified; nil when it does not serve it
}

func (r *Refusal) Error() string {
	switch {
	case r.Size >= 0:
		return fmt.Sprintf("witness %s has seen this log with %d entries, more than there are here", r.Witness.Name, r.Size)
	case r.Response.Status == http.StatusConflict:
		return fmt.Sprintf("witness %s refuses this log's checkpoint and does not say which size it knows (409)", r.Witness.Name)
	}
	return fmt.Sprintf("witness %s has seen another history of this log: it cosigned a tree of %d entries that is no prefix of this one", r.Witness.Name, r.Request.Old)
}
