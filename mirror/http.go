package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
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

var (
	// errSlow is why a transfer was given up.
	errSlow = errors.New("the mirror is too slow")
	// errCondition is why a request with an entity tag failed that may do without: servers, and what stands before them, are
	// seen to refuse what they do not know, or to answer 412, which RFC 9110 section 13.1.2 has for writers alone.
	errCondition = errors.New("the mirror takes no request with a condition")
)

// HTTP reads a mirror over http or https. Redirects are not followed: data must not name hosts that a client then
// talks to. Safe for concurrent use.
type HTTP struct {
	base   string
	client *http.Client
	window time.Duration // slowWindow; shorter in tests
}

// NewHTTP takes the mirror's URL, http or https, with or without a path, without query and fragment; anything else is an error.
// agent is sent as User-Agent. Nothing is asked yet.
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
		base:   strings.TrimSuffix(base, "/") + "/",
		window: slowWindow,
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
	data, _, err := h.GetHeaders(ctx, path, limit)
	return data, err
}

// GetHeaders implements HeaderReader.
func (h *HTTP) GetHeaders(ctx context.Context, path string, limit int64) ([]byte, Headers, error) {
	data, header, err := h.get(ctx, path, limit, "")
	return data, Headers{header.Get("Content-Type"), header.Get("Cache-Control")}, err
}

// GetUnless implements Conditional.
func (h *HTTP) GetUnless(ctx context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	data, header, err := h.get(ctx, path, limit, tag)
	return data, header.Get("ETag"), err
}

// get asks for an object unless it has the entity tag, which may be "". The headers are those of an object that came.
func (h *HTTP) get(ctx context.Context, path string, limit int64, tag string) ([]byte, http.Header, error) {
	if err := CheckPath(path); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, objectDeadline)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept-Encoding", "gzip, identity")
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusNotModified && tag != "":
		return nil, nil, ErrUnchanged
	case code == http.StatusForbidden || code == http.StatusNotFound || code == http.StatusGone:
		return nil, nil, fmt.Errorf("%s%s: %s: %w", h.base, path, resp.Status, fs.ErrNotExist)
	case tag != "" && (code/100 == 4 && code != http.StatusTooManyRequests || code == http.StatusNotImplemented):
		return nil, nil, fmt.Errorf("%s%s: %s: %w", h.base, path, resp.Status, errCondition)
	default:
		return nil, nil, fmt.Errorf("%s%s: %s", h.base, path, resp.Status)
	}
	body := newSlowGuard(resp.Body, h.window, giveUp)
	defer body.timer.Stop()
	data, err := readBody(body, resp.Header.Get("Content-Encoding"), limit)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) { // the read itself only knows that it was cancelled
			err = fmt.Errorf("%w: less than %d bytes a second for %s", errSlow, minRate, h.window)
		}
		return nil, nil, fmt.Errorf("%s%s: %w", h.base, path, err)
	}
	return data, resp.Header, nil
}

func readBody(body io.Reader, encoding string, limit int64) ([]byte, error) {
	switch encoding {
	case "", "identity":
		return ReadLimited(body, limit)
	case "gzip":
		// What does not compress grows by a few bytes a block.
		encoded, err := ReadLimited(body, packedLimit(limit))
		if err != nil {
			return nil, err
		}
		return Gunzip(encoded, limit)
	}
	return nil, fmt.Errorf("content encoding %q was not asked for", encoding)
}

// packedLimit is how long the compressed form of at most limit bytes may be; a limit near the largest integer stays one.
func packedLimit(limit int64) int64 {
	limit = min(limit, math.MaxInt64/2)
	return limit + limit/8 + 1024
}

// slowGuard gives a transfer up that takes longer than a window for what minRate brings in one.
type slowGuard struct {
	body   io.Reader
	timer  *time.Timer
	window time.Duration
	since  float64 // bytes in this window
}

func newSlowGuard(body io.Reader, window time.Duration, giveUp context.CancelCauseFunc) *slowGuard {
	return &slowGuard{body: body, window: window, timer: time.AfterFunc(window, func() { giveUp(errSlow) })}
}

func (g *slowGuard) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	if g.since += float64(n); g.since >= minRate*g.window.Seconds() {
		g.since = 0
		g.timer.Reset(g.window)
	}
	return n, err
}
