package feedback

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	must(t, err)
	return d
}

// listing is a list: domain, pattern; those that begin with "t." are testing.
func listing(t testing.TB, policies map[string]string) func(policy.Domain) (policy.Policy, bool) {
	t.Helper()
	out := map[policy.Domain]policy.Policy{}
	for name, pattern := range policies {
		m, err := policy.ParseMXPattern(pattern)
		must(t, err)
		mode := policy.Enforce
		if strings.HasPrefix(name, "t.") {
			mode = policy.Testing
		}
		p, err := policy.NewPolicy(mode, []policy.MXPattern{m})
		must(t, err)
		out[domain(t, name)] = p
	}
	return func(d policy.Domain) (policy.Policy, bool) {
		p, ok := out[d]
		return p, ok
	}
}

func testKey(t testing.TB, seed byte) Key {
	t.Helper()
	k, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	must(t, err)
	return k
}

// operator is a server of the list's operator: what it was sent, in order, and what it says.
type operator struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex // guards bodies and headers
	bodies  [][]byte
	headers []http.Header
	answer  func(w http.ResponseWriter, body []byte) // nil: it accepts, each day once
	at      func()                                   // called while a request is in hand; nil: nothing is
}

func newOperator(t *testing.T) *operator {
	o := &operator{t: t}
	days := map[tlsrpt.Day]bool{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != tlsrpt.FeedbackPath {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		o.mu.Lock()
		o.bodies, o.headers = append(o.bodies, body), append(o.headers, r.Header.Clone())
		o.mu.Unlock()
		if o.at != nil {
			o.at()
		}
		if o.answer != nil {
			o.answer(w, body)
			return
		}
		c, err := tlsrpt.ValidateContribution(body)
		switch {
		case err != nil:
			t.Errorf("the operator would refuse it: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		case days[c.Day]:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":"duplicate"}`)
		default:
			days[c.Day] = true
			fmt.Fprint(w, `{"status":"accepted","notices":["canary-delivered","\u001b[2J"]}`)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// sent is what it was sent, in order.
func (o *operator) sent() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.bodies)
}

// sender has a clock that tests move, and contributions that have more sessions each time they are made.
type sender struct {
	Sender
	t    *testing.T
	at   time.Time
	made int
}

func newSender(t *testing.T, o *operator) *sender {
	t.Helper()
	u, err := CheckURL(o.URL + tlsrpt.FeedbackPath)
	must(t, err)
	s := &sender{t: t, at: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	key := testKey(t, 1)
	s.Sender = Sender{Dir: t.TempDir(), Key: key, Target: NewTarget(u, domain(t, "sender.example"), key), Now: func() time.Time { return s.at }}
	s.Make = func(day tlsrpt.Day) (tlsrpt.Contribution, error) {
		s.made++
		e := tlsrpt.Contributed{Domain: domain(t, "a.example"), Type: tlsrpt.STS, Successful: []int64{20, 50, 100, 500}[s.made%4]}
		return tlsrpt.Contribution{ID: reportID(key, day), Day: day, Entries: []tlsrpt.Contributed{e}}, nil
	}
	return s
}

func (s *sender) run() *Book {
	s.t.Helper()
	b, err := s.Run(s.t.Context())
	must(s.t, err)
	return b
}

// until runs every few hours, as the timer does more often, until the time.
func (s *sender) until(end time.Time) *Book {
	s.t.Helper()
	b := s.run()
	for s.at.Before(end) {
		s.at = s.at.Add(min(4*time.Hour, end.Sub(s.at)))
		b = s.run()
	}
	return b
}

const march2 = tlsrpt.Day(20514) // 2026-03-02

func TestMarch2(t *testing.T) {
	if march2.String() != "2026-03-02" {
		t.Fatal(march2)
	}
}
