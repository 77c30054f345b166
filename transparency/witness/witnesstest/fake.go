package witnesstest

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/loopback"
)

// Fake is an honest witness of one log in this process; it also serves the monitoring prefix, which neither real one
// does. Its time is the test's.
type Fake = loopback.Witness

// StartFake starts a witness for the log with this vkey; the test ends it.
func StartFake(t testing.TB, name, logVKey string, now func() time.Time) *Fake {
	t.Helper()
	f, err := loopback.New(name, logVKey, now)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// ParseRequest is loopback.ParseRequest.
func ParseRequest(body []byte) (witness.Request, error) { return loopback.ParseRequest(body) }
