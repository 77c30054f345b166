package witnesstest

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/transparency"
)

// WithPolicy returns a signed trust version that differs from t only in its witness policy (C2SP tlog-policy lines).
func WithPolicy(tb testing.TB, t *transparency.Trust, policy string, root note.Signer) []byte {
	tb.Helper()
	w, err := transparency.ParseWitnessPolicy(policy)
	if err != nil {
		tb.Fatal(err)
	}
	next, err := transparency.NewTrust(t.Version, t.Expires, t.RootK, t.RootVKeys(), t.ReleaseK, t.ReleaseKeys(), t.LogVKey(), w)
	if err != nil {
		tb.Fatal(err)
	}
	msg, err := next.Sign(root)
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}
