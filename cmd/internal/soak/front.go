package soak

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// manner is how a mirror behaves towards its readers.
type manner string

const (
	honest     manner = ""
	down       manner = "down"       // 503 to everything
	slow       manner = "slow"       // bytes come in pieces, with pauses
	truncating manner = "truncating" // bodies end early, every second one with headers that agree
	old        manner = "old"        // what clients begin with is older than the rest
)

// front is a mirror's web server on loopback. Safe for concurrent use.
type front struct {
	url    string
	reader mirror.Reader
	server *http.Server

	mu     sync.Mutex // guards what follows
	manner manner
	served map[string][]byte // with the manner old: instead of what is there
	n      int
}

// maxServed is the longest object that a front serves.
const maxServed = 64 << 20

// pause is what lies between the pieces of a slow answer.
const pause = 10 * time.Millisecond

func serve(r mirror.Reader) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{url: "http://" + l.Addr().String() + "/", reader: r}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go f.server.Serve(l)
	return f, nil
}

// behave changes the manner. served are the objects that the manner old shows.
func (f *front) behave(m manner, served map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manner, f.served = m, served
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	f.mu.Lock()
	m, forged := f.manner, f.served[path]
	f.n++
	n := f.n
	f.mu.Unlock()
	if m == down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	data := forged
	if data == nil {
		var err error
		data, err = f.reader.Get(r.Context(), path, maxServed)
		switch {
		case mirror.IsAbsent(err):
			http.NotFound(w, r)
			return
		case err != nil:
			http.Error(w, "the store does not answer", http.StatusBadGateway)
			return
		}
	}
	o := mirror.NewObject(path, data)
	w.Header().Set("Content-Type", o.ContentType)
	w.Header().Set("Cache-Control", o.CacheControl)
	switch {
	case m == slow:
		drip(r.Context(), w, data)
	case m == truncating && n%2 == 0:
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Write(data[:len(data)/2]) // the server then breaks the connection
	case m == truncating:
		w.Write(data[:len(data)/2])
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// drip writes data in a few pieces with a pause before each.
func drip(ctx context.Context, w http.ResponseWriter, data []byte) {
	const pieces = 4
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	for size := len(data)/pieces + 1; len(data) > 0; data = data[min(size, len(data)):] {
		if !sleep(ctx, pause) {
			return
		}
		w.Write(data[:min(size, len(data))])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
}

// sleep waits for d, and reports false where ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
