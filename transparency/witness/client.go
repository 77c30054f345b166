package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

const (
	// Witnesses answer from one small table; one that needs longer is as good as away.
	patience = 20 * time.Second
	// attempts bounds the questions about one checkpoint: what we remember, what the witness told, and once more when
	// somebody else asked in between.
	attempts = 3
	// headerLimit caps the answer's headers.
	headerLimit = 16 << 10
)

// ErrUnavailable means that a witness gave no cosignature, and that nothing speaks against the log: it is down, slow,
// answers nonsense, or does not know the log.
var ErrUnavailable = errors.New("no cosignature")

// Client asks witnesses over http or https. Safe for concurrent use.
type Client struct {
	// Patience bounds everything that is asked of one witness for one checkpoint; New sets 20 seconds.
	Patience time.Duration

	client *http.Client
	agent  string
}

// New returns a client; agent is sent as User-Agent.
func New(agent string) *Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: patience / 2}).DialContext,
		TLSHandshakeTimeout:    patience / 2,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: headerLimit,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	return &Client{
		Patience: patience,
		agent:    agent,
		client: &http.Client{
			Transport: transport,
			// The trust names the witness's place; an answer must not name another.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Tree is the checkpoint to be cosigned.
type Tree struct {
	Note []byte // signed by the log
	Size int64
	// Prove returns the consistency proof from a smaller size, or the same, to Size.
	Prove func(old int64) (tlog.TreeProof, error)
}

// AddCheckpoint asks one witness to cosign t. known is the size of the tree that it is believed to know, 0 for no idea:
// a wrong one costs a request. The error is a *Refusal, wraps ErrUnavailable, or comes from t.Prove.
func (c *Client) AddCheckpoint(ctx context.Context, w transparency.WitnessURL, t Tree, known int64) (Cosignature, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Patience, fmt.Errorf("not within %v", c.Patience))
	defer cancel()
	asked := map[int64]bool{}
	old := min(max(known, 0), t.Size)
	for range attempts {
		asked[old] = true
		r := Request{Old: old, Checkpoint: t.Note}
		if old > 0 {
			proof, err := t.Prove(old)
			if err != nil {
				return Cosignature{}, fmt.Errorf("proof from %d to %d: %w", old, t.Size, err)
			}
			r.Proof = proof
		}
		answer, err := c.post(ctx, w.URL, r)
		if err != nil {
			return Cosignature{}, unavailable(ctx, w, err)
		}
		v, err := r.judge(w, t.Size, answer)
		switch {
		case err != nil:
			return Cosignature{}, unavailable(ctx, w, err)
		case v.refused:
			return Cosignature{}, &Refusal{Witness: w, Request: r, Response: answer, Size: v.size, Theirs: c.theirs(ctx, w, t.Note)}
		case v.size < 0:
			return v.cosignature, nil
		case asked[v.size]:
			return Cosignature{}, unavailable(ctx, w, fmt.Errorf("it says that its tree has %d entries, and does not take a proof from there", v.size))
		}
		old = v.size
	}
	return Cosignature{}, unavailable(ctx, w, errors.New("its tree changes from answer to answer"))
}

func unavailable(ctx context.Context, w transparency.WitnessURL, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause // the transport only knows that it was cancelled
	}
	return fmt.Errorf("%w of %s: %w", ErrUnavailable, w.Name, err)
}

// post sends one request.
func (c *Client) post(ctx context.Context, prefix string, r Request) (Response, error) {
	target, err := join(prefix, "add-checkpoint")
	if err != nil {
		return Response{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(r.Format()))
	if err != nil {
		return Response{}, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	return c.do(req)
}

func (c *Client) do(req *http.Request) (Response, error) {
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return Response{}, err
	}
	if len(body) > maxResponse {
		return Response{}, fmt.Errorf("its answer is longer than %d bytes", maxResponse)
	}
	return Response{resp.StatusCode, resp.Header.Get("Content-Type"), body}, nil
}

// theirs asks a refusing witness for the checkpoint that it holds, nil when it does not say: the monitoring prefix may
// be another than the submission prefix, and not every witness has one.
func (c *Client) theirs(ctx context.Context, w transparency.WitnessURL, note []byte) []byte {
	origin, _, _ := bytes.Cut(note, []byte("\n"))
	target, err := join(w.URL, fmt.Sprintf("%x/checkpoint", sha256.Sum256(origin)))
	if err != nil {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil
	}
	answer, err := c.do(req)
	if err != nil || answer.Status != http.StatusOK {
		return nil
	}
	return answer.Body
}

func join(prefix, path string) (string, error) {
	if prefix == "" {
		return "", errors.New("the trust gives no URL for it")
	}
	u, err := url.Parse(prefix)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not the URL of a witness, such as https://witness.example/", prefix)
	}
	return strings.TrimSuffix(prefix, "/") + "/" + path, nil
}
