package feedback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	// patience bounds one attempt, whatever the server does.
	patience = time.Minute
	// maxReceipt caps an answer, in bytes: a status and a few codes.
	maxReceipt = 4 << 10
	// agent is the same whatever the version: which one a machine runs is nobody's business.
	agent = "starttls-policy"
)

// Target is where documents go, and for whom. Safe for concurrent use.
type Target struct {
	url         *url.URL
	contributor policy.Domain
	key         Key
	client      *http.Client
}

// CheckURL takes an operator's feedback URL: https, or http to a loopback address, with a path that ends with
// tlsrpt.FeedbackPath.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
	case !strings.HasSuffix(u.Path, tlsrpt.FeedbackPath):
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u):
		return u, nil
	}
	return nil, fmt.Errorf("%q is not a feedback URL, such as https://list.example%s", text, tlsrpt.FeedbackPath)
}

// loopback reports whether the URL's host is an address of this machine; a name could be anybody's.
func loopback(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

// Clear reports whether the URL sends in clear text, on this machine.
func Clear(u *url.URL) bool { return u.Scheme != "https" }

// NewTarget takes a URL of CheckURL.
func NewTarget(u *url.URL, contributor policy.Domain, key Key) *Target {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // so that what is shown beforehand is what is sent, to the byte
	return &Target{u, contributor, key, &http.Client{
		Timeout: patience,
		// A redirect would let a server choose who learns all this.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, Protocols: protocols, DisableKeepAlives: true, DisableCompression: true,
			DialContext: (&net.Dialer{Timeout: 15 * time.Second}).DialContext, TLSHandshakeTimeout: 15 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second, MaxResponseHeaderBytes: 16 << 10,
		},
	}}
}

// Request is what sends the body. Its Write shows the bytes; they are the same for the same body and key.
func (t *Target) Request(ctx context.Context, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Close = true
	r.Header.Set("User-Agent", agent)
	r.Header.Set("Content-Type", tlsrpt.ContributionType)
	r.Header.Set(tlsrpt.ContributorHeader, t.contributor.String())
	r.Header.Set(tlsrpt.SignatureHeader, tlsrpt.SignContribution(t.key.private, t.url.Host, t.contributor, body))
	return r, nil
}

// answer is what an attempt came to.
type answer struct {
	done    bool // accepted now, or before
	notices []tlsrpt.Notice
	wait    time.Duration // what the server asks for; 0 for nothing
	why     string        // one line: the status, and no word of the server's
}

// post sends the body once. Only an answer that says so counts as accepted.
func (t *Target) post(ctx context.Context, body []byte) answer {
	r, err := t.Request(ctx, body)
	if err != nil {
		return answer{why: err.Error()}
	}
	resp, err := t.client.Do(r)
	if err != nil {
		return answer{why: plain(err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReceipt+1))
	if err != nil {
		return answer{why: plain(err)}
	}
	a := read(resp.StatusCode, text)
	a.wait = retryAfter(resp.Header)
	return a
}

// read makes of an answer what counts. Nothing of its words is kept.
func read(status int, text []byte) answer {
	a := answer{why: "HTTP " + strconv.Itoa(status)}
	var receipt tlsrpt.Receipt
	if len(text) > maxReceipt {
		a.why += fmt.Sprintf(", an answer of more than %d bytes", maxReceipt)
		return a
	}
	if err := json.Unmarshal(text, &receipt); err != nil {
		a.why += ", an answer that is no receipt"
		return a
	}
	switch {
	case status == http.StatusConflict && receipt.Status == tlsrpt.ReceiptDuplicate:
	case status != http.StatusOK && status != http.StatusCreated:
		return a
	case receipt.Status != tlsrpt.ReceiptAccepted && receipt.Status != tlsrpt.ReceiptDuplicate:
		a.why += ", an answer that does not say that it was accepted"
		return a
	}
	a.done = true
	for _, n := range receipt.Notices {
		if n.Known() && !slices.Contains(a.notices, n) {
			a.notices = append(a.notices, n)
		}
	}
	return a
}

// plain is an error of the HTTP client without the URL, which the reader knows.
func plain(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// retryAfter reads the seconds of Retry-After (RFC 9110 section 10.2.3); its dates are not worth trusting a clock for.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
