package tlsrpt

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/starttls-everywhere/policylist/mirror/visitors"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// HealthPath answers 200 while documents are taken in, else 503.
const HealthPath = "/healthz"

// IntakeOptions of an Intake. Only Host is required.
type IntakeOptions struct {
	Host      string // of the operator's URL, with the port where there is one
	PerSource int    // requests an hour from one IPv4 address or IPv6 /64; 0 means 600
	PerToken  int    // reports an hour about one domain; 0 means 600
	// Proxy says that requests come through a proxy of the operator's: the last address of X-Forwarded-For is the source.
	Proxy bool
	// Keys looks up contributors' keys; nil takes no contributions and no signatures.
	Keys TXTClient
	// Notices is what a contributor is told about what it sent; nil for nothing. See tlsrpt.Receipt.
	Notices func(tlsrpt.Contribution) []tlsrpt.Notice
	Memory  int64 // bytes that bodies in hand may take together; 0 means 64 MiB
	Now     func() time.Time
	Log     *slog.Logger
}

// Intake takes documents over HTTP and answers when they are on disk. A source that waits, lies or floods costs its own
// requests: bodies in hand have a budget, and every name a share of the hour. Safe for concurrent use.
type Intake struct {
	store   *Store
	opts    IntakeOptions
	sources *visitors.Limiter
	tokens  *visitors.Limiter
	pairs   *visitors.Limiter // of a source and a domain
	memory  *semaphore.Weighted
	readers chan struct{} // a place for each document that is being read
	keys    *keyCache

	mu       sync.Mutex
	domains  map[[sha256.Size]byte]Enrolment // by tokenKey
	counts   map[Count]int64                 // not yet in the store
	total    map[Count]int64                 // since the start, with what the store counts itself
	answers  map[int]int64                   // by HTTP status, since the start
	full     bool                            // the last document found no room
	stopping bool
}

// NewIntake knows no address until Refresh.
func NewIntake(store *Store, opts IntakeOptions) *Intake {
	if opts.PerSource == 0 {
		opts.PerSource = 600
	}
	if opts.PerToken == 0 {
		opts.PerToken = 600
	}
	if opts.Memory == 0 {
		opts.Memory = 64 << 20
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Intake{
		store: store, opts: opts, sources: visitors.NewLimiter(opts.PerSource), tokens: visitors.NewLimiter(opts.PerToken), pairs: visitors.NewLimiter(pairRate(opts.PerToken)), memory: semaphore.NewWeighted(opts.Memory),
		readers: make(chan struct{}, maxReaders), keys: newKeyCache(opts.Keys), counts: map[Count]int64{}, total: map[Count]int64{}, answers: map[int]int64{},
	}
}

// pairRate is how many of a domain's reports of an hour one source may send: an eighth, but ten at least. Whoever reads the domain's
// record may post, and would else use up the hour of those who report.
func pairRate(perToken int) int { return max(perToken/8, min(perToken, 10)) }

// Refresh reads who has enrolled since.
func (in *Intake) Refresh(ctx context.Context) error {
	all, err := in.store.Enrolments(ctx)
	if err != nil {
		return err
	}
	domains := make(map[[sha256.Size]byte]Enrolment, len(all))
	for _, e := range all {
		domains[tokenKey(in.store.secret, in.store.Token(e.Domain))] = e
	}
	in.mu.Lock()
	in.domains = domains
	in.mu.Unlock()
	return nil
}

// Flush moves to the store what was counted beside it.
func (in *Intake) Flush(ctx context.Context) error {
	in.mu.Lock()
	counts := in.counts
	in.counts = map[Count]int64{}
	in.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	err := in.store.AddCounts(ctx, counts)
	if err != nil {
		in.mu.Lock()
		defer in.mu.Unlock()
		for name, n := range counts {
			in.counts[name] += n
		}
	}
	return err
}

// Stop makes HealthPath say that no more should come.
func (in *Intake) Stop() {
	in.mu.Lock()
	in.stopping = true
	in.mu.Unlock()
}

// IntakeStats is what an intake has done since its start.
type IntakeStats struct {
	Answers   map[int]int64 // by HTTP status
	Documents map[Count]int64
	Domains   map[EnrolmentState]int
	Full      bool
	Stopping  bool
}

// Stats returns a copy.
func (in *Intake) Stats() IntakeStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := IntakeStats{Answers: maps.Clone(in.answers), Documents: maps.Clone(in.total), Domains: map[EnrolmentState]int{}, Full: in.full, Stopping: in.stopping}
	for _, e := range in.domains {
		s.Domains[e.State]++
	}
	return s
}

// count counts what never reaches the store.
func (in *Intake) count(name Count) {
	in.mu.Lock()
	in.counts[name]++
	in.total[name]++
	in.mu.Unlock()
}

// counted notes what the store has counted itself.
func (in *Intake) counted(counts map[Count]int64) {
	in.mu.Lock()
	for name, n := range counts {
		in.total[name] += n
	}
	in.mu.Unlock()
}

// answer is what a request gets: a status and one line, or a body of its own.
type answer struct {
	status int
	line   string
	kind   string        // media type of line; "" for text
	after  time.Duration // Retry-After; 0 for none
}

// nowhere is the answer for every address that there is not, be its token wrong or its path.
var nowhere = answer{status: http.StatusNotFound, line: "there is nothing at this address"}

// ServeHTTP answers one request.
func (in *Intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := in.serve(w, r)
	in.mu.Lock()
	in.answers[a.status]++
	in.mu.Unlock()
	h := w.Header()
	if a.kind == "" {
		a.kind = "text/plain; charset=utf-8"
		a.line += "\n"
	}
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((a.after+time.Second-1)/time.Second)))
	}
	if a.status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	drain(r)
	w.WriteHeader(a.status)
	io.WriteString(w, a.line)
}

// maxDrained is how much of a body that nobody wants is read all the same: what net/http reads where the connection stays.
const maxDrained = 256 << 10

// drain takes what is left of a small body. A connection that is closed with bytes unread is reset, and the sender sees that in
// place of the answer: starttls-policy feedback, whose connections are for one request, would not learn that it is refused.
func drain(r *http.Request) {
	if r.Header.Get("Expect") == "" { // else it waits for the answer before it sends any
		io.CopyN(io.Discard, r.Body, maxDrained) // who stops sending has no use for an answer
	}
}

func (in *Intake) serve(w http.ResponseWriter, r *http.Request) answer {
	if r.URL.Path == HealthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return in.health()
	}
	from := source(r, in.opts.Proxy)
	if wait, ok := in.sources.Allow(from, in.opts.Now()); !ok && from != "" {
		in.count(CountLimited)
		return answer{status: http.StatusTooManyRequests, line: "too many requests from this address", after: wait}
	}
	if r.URL.Path == tlsrpt.FeedbackPath && in.opts.Keys != nil {
		return in.contribution(w, r)
	}
	e, ok := in.address(r.URL.Path)
	switch {
	case !ok || e.State == Gone:
		in.count(CountUnknownTokens)
		return nowhere
	case r.Method != http.MethodPost:
		return answer{status: http.StatusMethodNotAllowed, line: "reports are posted here (RFC 8460 section 5.4)"}
	}
	if wait, ok := in.pairs.Allow(from+" "+e.Domain.String(), in.opts.Now()); !ok && from != "" {
		in.count(CountLimited)
		return answer{status: http.StatusTooManyRequests, line: "too many reports about this domain from this address", after: wait}
	}
	if wait, ok := in.tokens.Allow(e.Domain.String(), in.opts.Now()); !ok {
		in.count(CountLimited)
		return answer{status: http.StatusTooManyRequests, line: "too many reports about this domain", after: wait}
	}
	if e.State == Waiting {
		return answer{status: http.StatusServiceUnavailable, line: "the record of this domain has not been looked at yet", after: 10 * time.Minute}
	}
	return in.report(w, r, e.Domain)
}

func (in *Intake) health() answer {
	switch s := in.Stats(); {
	case s.Stopping:
		return answer{status: http.StatusServiceUnavailable, line: "stopping"}
	case s.Full:
		return answer{status: http.StatusServiceUnavailable, line: "full"}
	}
	return answer{status: http.StatusOK, line: "ok"}
}

// address finds whose reports are posted to a path.
func (in *Intake) address(path string) (Enrolment, bool) {
	token, ok := strings.CutPrefix(path, ReportPath)
	if !ok {
		token = "" // and go the same way, which takes as long
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	e, found := in.domains[tokenKey(in.store.secret, token)]
	return e, found && ok
}

// source names whom a request comes from: an IPv4 address, or the /64 that one subscriber has of IPv6.
func source(r *http.Request, proxy bool) string {
	text := r.RemoteAddr
	if proxy {
		all := r.Header.Values("X-Forwarded-For")
		if len(all) > 0 {
			last := all[len(all)-1]
			text = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		}
	}
	return visitors.Source(text)
}

// refuse says what an error means to who sent the document. Only what is not the sender's fault is 5xx, and then it may come
// again.
func (in *Intake) refuse(err error) answer {
	line := printable(err.Error(), 300)
	switch {
	case errors.Is(err, tlsrpt.ErrLimit):
		in.count(CountUnreadable)
		return answer{status: http.StatusRequestEntityTooLarge, line: line}
	case errors.Is(err, tlsrpt.ErrFormat), errors.Is(err, ErrNoDay), errors.Is(err, ErrOutOfTime):
		in.count(CountUnreadable)
		return answer{status: http.StatusBadRequest, line: line}
	case errors.Is(err, tlsrpt.ErrForbidden), errors.Is(err, ErrClosed):
		in.count(CountRefused)
		return answer{status: http.StatusBadRequest, line: line}
	case errors.Is(err, ErrSignature):
		in.count(CountRefused)
		return answer{status: http.StatusForbidden, line: line}
	case errors.Is(err, ErrNoAnswer):
		return answer{status: http.StatusServiceUnavailable, line: "the key cannot be looked up at the moment", after: 10 * time.Minute}
	case errors.Is(err, ErrFull):
		in.setFull(true)
		in.opts.Log.Error("no room for a document", "err", err)
		return answer{status: http.StatusServiceUnavailable, line: "no room at the moment", after: time.Hour}
	}
	if !errors.Is(err, context.Canceled) { // who sent it has gone
		in.opts.Log.Error("a document was not stored", "err", err)
	}
	return answer{status: http.StatusServiceUnavailable, line: "it cannot be stored at the moment", after: 5 * time.Minute}
}

func (in *Intake) setFull(full bool) {
	in.mu.Lock()
	in.full = full
	in.mu.Unlock()
}
