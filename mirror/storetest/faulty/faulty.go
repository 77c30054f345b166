// Package faulty is what can lie between a client and its S3 store: a proxy before a real gateway that lets requests go
// wrong by a schedule, the same in every run. Only tests import it.
//
//	p := faulty.Start(t, gateway.Endpoint, class)
//	p.Arm(faulty.One(faulty.Request{Method: "PUT", Name: "state.json", Nth: 2}, faulty.AfterReset, 1))
//	…                           // a client whose endpoint is p.URL
//	fired := p.Disarm()
//	p.Land()                    // what is still under way arrives
//
// Requests are known by their method, the sort of object that they are about, and which of those they are, counted from
// 1. Clients that send several at once send them in any order, so that their place in the whole sequence would mean
// nothing.
package faulty

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Request is one request as schedules know it.
type Request struct {
	Method string // LIST for a listing
	Name   string // of the sort of object
	Nth    int    // of its method and name since Arm, from 1
}

// Hit is a request, and what happened to it.
type Hit struct {
	Request
	Fault Kind
}

// Proxy is safe for concurrent use. Bodies are held in memory.
type Proxy struct {
	URL string

	target  *url.URL
	class   func(path string) string
	gateway *http.Transport
	quit    chan struct{}
	hangUp  func() // closes the connections of clients that forgot theirs

	mu       sync.Mutex
	decide   func(Request) Kind
	after    func(path string)
	counts   map[Request]int // Nth is 0
	hits     []Hit
	versions map[string][]version
	held     []*heldRequest
}

// heldRequest is one that arrives late.
type heldRequest struct {
	*http.Request
	body []byte
	kind Kind
}

// answer is what comes back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// Start puts a proxy before a gateway and ends it with the test. class names the sort of object at a path, which begins
// with the bucket.
func Start(t testing.TB, gateway string, class func(path string) string) *Proxy {
	t.Helper()
	target, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, class: class, gateway: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32},
		quit: make(chan struct{}), versions: map[string][]version{}}
	p.Disarm()
	server := httptest.NewServer(p)
	p.URL, p.hangUp = server.URL, server.CloseClientConnections
	t.Cleanup(func() {
		close(p.quit)
		server.Close()
		p.gateway.CloseIdleConnections()
	})
	return p
}

// Arm makes a schedule count from now on.
func (p *Proxy) Arm(decide func(Request) Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide, p.counts, p.hits = decide, map[Request]int{}, nil
}

// Disarm lets everything pass again, and returns what was requested since Arm, in the order of arrival.
func (p *Proxy) Disarm() []Hit {
	p.mu.Lock()
	defer p.mu.Unlock()
	hits := p.hits
	p.decide, p.counts, p.hits = func(Request) Kind { return None }, map[Request]int{}, nil
	return hits
}

// Watch has after called with the path of each object that was written, before the client hears of it; nil for no more.
func (p *Proxy) Watch(after func(path string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = after
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client gave up
	}
	fault := p.admit(r)
	if fault == Overtaken || fault == Forgotten {
		p.hold(r, body, fault)
	}
	var a *answer
	if fault.forwards() {
		if a = p.forward(r, body); a == nil {
			panic(http.ErrAbortHandler)
		}
	}
	if fault == Stale && !isListing(r) {
		a = p.stale(r, a)
	}
	if fault.forwards() {
		p.overtake(r)
	}
	switch {
	case slices.Contains(resets, fault):
		panic(http.ErrAbortHandler)
	case statuses[fault] != 0:
		a = errorAnswer(statuses[fault])
	case fault == ChangedETag && a.header.Get("ETag") != "":
		a.header = a.header.Clone()
		a.header.Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	}
	p.send(w, r, a, fault)
}

// admit counts a request and asks the schedule.
func (p *Proxy) admit(r *http.Request) Kind {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := Request{Method: r.Method, Name: p.class(r.URL.Path)}
	if isListing(r) {
		q = Request{Method: "LIST", Name: p.class(r.URL.Query().Get("prefix"))}
	}
	p.counts[q]++
	q.Nth = p.counts[q]
	fault := p.decide(q)
	if !fault.Applies(q.Method) {
		fault = None
	}
	p.hits = append(p.hits, Hit{q, fault})
	return fault
}

func isListing(r *http.Request) bool { return r.URL.Query().Has("list-type") }

// forward lets the gateway answer; nil when it does not.
func (p *Proxy) forward(r *http.Request, body []byte) *answer {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.target.Scheme, p.target.Host, ""
	out.Host = r.Host // it is signed
	out.Header.Del("Expect")
	out.ContentLength, out.Body = int64(len(body)), http.NoBody
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	in, err := p.gateway.RoundTrip(out)
	if err != nil {
		return nil
	}
	defer in.Body.Close()
	a := &answer{status: in.StatusCode, header: in.Header}
	if a.body, err = io.ReadAll(in.Body); err != nil {
		return nil
	}
	p.record(r, body, a)
	return a
}

// send gives the client the answer, or as much of it as the fault leaves.
func (p *Proxy) send(w http.ResponseWriter, r *http.Request, a *answer, fault Kind) {
	if fault == Mute || fault == Slow && r.Method != http.MethodGet {
		p.untilGone(r)
		panic(http.ErrAbortHandler)
	}
	body := a.body
	switch {
	case fault == Stale && isListing(r):
		body = halfListing(body)
	case fault == Short:
		body = body[:len(body)/2]
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if fault != Truncated && fault != Slow {
		w.Write(body)
		return
	}
	w.Write(body[:len(body)/2])
	http.NewResponseController(w).Flush()
	if fault == Slow {
		p.untilGone(r)
	}
	panic(http.ErrAbortHandler)
}

func (p *Proxy) untilGone(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.quit:
	case <-time.After(time.Minute): // a client that waits longer has no patience set
	}
}

// hold keeps a request for later; the connection on which it came is gone then.
func (p *Proxy) hold(r *http.Request, body []byte, kind Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, &heldRequest{r.Clone(context.Background()), body, kind})
}

// overtake lets arrive what the request that was just carried out has overtaken.
func (p *Proxy) overtake(r *http.Request) {
	p.deliver(func(h *heldRequest) bool {
		return h.kind == Overtaken && h.URL.Path == r.URL.Path && r.Method == h.Method
	})
}

// Land lets everything arrive that is still under way, and returns how many requests those were.
func (p *Proxy) Land() int { return p.deliver(func(*heldRequest) bool { return true }) }

func (p *Proxy) deliver(which func(*heldRequest) bool) int {
	p.mu.Lock()
	var now []*heldRequest
	p.held = slices.DeleteFunc(p.held, func(h *heldRequest) bool {
		if which(h) {
			now = append(now, h)
			return true
		}
		return false
	})
	p.mu.Unlock()
	for _, h := range now {
		p.forward(h.Request, h.body)
	}
	return len(now)
}
