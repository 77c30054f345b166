package pipeline

import (
	"bytes"
	"sync"

	"github.com/starttls-everywhere/policylist/policy"
)

// shared are the fragments that two versions of a source have alike, each parsed when it is first asked for. Their shape is
// not held against the schema: what it would say, it would say of both versions, and no change is to blame for that. A pull
// request edits one fragment of a thousand, so this is most of its check.
type shared map[string]func() *policy.Fragment

// newShared compares bytes, not Git's names of them: whoever can make two texts of one SHA-1 must not have the one taken
// for the other.
func newShared(before, after tree) shared {
	had := make(map[string][]byte, len(before.rest))
	for _, f := range before.rest {
		had[f.Path] = f.Data
	}
	same := make(shared, len(had))
	for _, f := range after.rest {
		data, ok := had[f.Path]
		if !ok || !bytes.Equal(data, f.Data) {
			continue
		}
		same[f.Path] = sync.OnceValue(func() *policy.Fragment {
			fragment := policy.ParseFragment(f)
			fragment.Forget()
			return fragment
		})
	}
	return same
}
