package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// objectDeadline bounds one object whatever its size.
	objectDeadline = 10 * time.Minute
	// A mirror slower than minRate over a slowWindow is given up, so that one byte a second cannot hold a client.
	minRate    = 1 << 10 // bytes a second
	slowWindow = 30 * time.Second
)

// HTTP reads a mirror over http or https. Redirects are not followed: data must not name hosts that a client then
// talks to. Safe for concurrent use.
type HTTP struct {
	base   string
	client *http.Client
}

// NewHTTP takes the mirror's URL. agent is sent as User-Agent.
func NewHTTP(base, agent string) (*HTTP, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of a mirror, such as https://list.example/", base)
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // decoded below, under the limit
		ForceAttemptHTTP2:      true,
	}
	return &HTTP{
		base: strings.TrimSuffix(base, "/") + "/",
		client: &http.Client{
			Transport:     agentTransport{transport, agent},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

type agentTransport struct {
	next  http.RoundTripper
	agent string
}

func (a agentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", a.agent)
	return a.next.RoundTrip(r)
}

// Get implements Reader.
func (h *HTTP) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, objectDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "gzip, identity")
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s%s: %s: %w", h.base, path, resp.Status, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s%s: %s", h.base, path, resp.Status)
	}
	slow := newSlowGuard(resp.Body, cancel)
	defer slow.stop()
	data, err := readBody(slow, resp.Header.Get("Content-Encoding"), limit)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", h.base, path, errors.Join(err, slow.err()))
	}
	return data, nil
}

func readBody(body io.Reader, encoding string, limit int64) ([]byte, error) {
	switch encoding {
	case "", "identity":
		return ReadLimited(body, limit)
	case "gzip":
		// What does not compress grows by a few bytes a block.
		encoded, err := ReadLimited(body, limit+limit/8+1024)
		if err != nil {
			return nil, err
		}
		return Gunzip(encoded, limit)
	}
	return nil, fmt.Errorf("content encoding %q was not asked for", encoding)
}

// slowGuard cancels a transfer that stays below minRate for a whole slowWindow.
type slowGuard struct {
	body   io.Reader
	timer  *time.Timer
	cancel func()
	since  int // bytes in this window
}

func newSlowGuard(body io.Reader, cancel func()) *slowGuard {
	return &slowGuard{body: body, timer: time.AfterFunc(slowWindow, cancel), cancel: cancel}
}

func (g *slowGuard) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	if g.since += n; g.since >= minRate*int(slowWindow/time.Second) {
		g.since = 0
		g.timer.Reset(slowWindow)
	}
	return n, err
}

// stop ends the guard.
func (g *slowGuard) stop() { g.timer.Stop() }

// err says why a read failed when the guard was the reason.
func (g *slowGuard) err() error {
	if !g.timer.Stop() {
		return fmt.Errorf("slower than %d bytes a second for %s", minRate, slowWindow)
	}
	return nil
}
