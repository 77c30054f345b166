package keyless

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// maxAnswer caps what a server may answer, in bytes: a chain of certificates has some 3,000, a timestamp with its
// certificates 6,000.
const maxAnswer = 64 << 10

// requestTimeout bounds one request, within Patience.
const requestTimeout = 15 * time.Second

// NewClient follows no redirects: a token goes to the server that was named, and to no other.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       requestTimeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CheckURL refuses a server that a token must not be sent to: all but https, and http on this machine.
func CheckURL(ref string) error {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return fmt.Errorf("not a URL: %w", err)
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%q is not a URL of the form https://HOST/PATH", ref)
	case u.Scheme == "https":
		return nil
	}
	address, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && address.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%q: https is needed for all but this machine", ref)
}

var errStatus = errors.New("an answer that is no success")

// do sends a request and returns the capped body of a success.
func do(client *http.Client, r *http.Request) ([]byte, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	case answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated:
		const most = 300 // enough for the reason that a server gives
		return nil, fmt.Errorf("%w: %s: %q", errStatus, answer.Status, body[:min(len(body), most)])
	}
	return body, nil
}

func post(ctx context.Context, client *http.Client, url, contentType string, body []byte) ([]byte, error) {
	if err := CheckURL(url); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	return do(client, r)
}
