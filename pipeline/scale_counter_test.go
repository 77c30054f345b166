//go:build linux

package pipeline_test

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

// counter is a mirror on loopback that counts what it is asked and what it answers.
type counter struct {
	url      string
	requests atomic.Int64
	bytes    atomic.Int64 // of bodies as they go over the network
}

func (c *counter) reset() { c.requests.Store(0); c.bytes.Store(0) }

func (c *counter) said() (bytes, requests float64) {
	return float64(c.bytes.Load()), float64(c.requests.Load())
}

// serve starts it over a handler.
func (c *counter) serve(t testing.TB, h http.Handler) *counter {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		h.ServeHTTP(&countedResponse{w, c}, r)
	}))
	t.Cleanup(s.Close)
	c.url = s.URL + "/"
	return c
}

type countedResponse struct {
	http.ResponseWriter
	counter *counter
}

func (w *countedResponse) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.counter.bytes.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController through.
func (w *countedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// newCounter serves a folder, as any web server does.
func newCounter(t testing.TB, public fs.FS) *counter {
	return new(counter).serve(t, http.FileServerFS(public))
}

// newSigningCounter serves a bucket to everybody, in the form in which its objects are kept: real buckets have a policy for
// that, the gateway knows none, so each request is signed on its way.
func newSigningCounter(t testing.TB, g *storetest.VersityGW) *counter {
	t.Helper()
	target, err := url.Parse(g.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	// SHA-256 of nothing: there are no bodies.
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	keys := aws.Credentials{AccessKeyID: g.AccessKey, SecretAccessKey: g.SecretKey}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		accept := r.In.Header.Get("Accept-Encoding")
		r.Out.Header = http.Header{"X-Amz-Content-Sha256": {empty}}
		r.Out.URL = &url.URL{Scheme: target.Scheme, Host: target.Host, Path: "/" + g.Bucket + r.In.URL.Path}
		r.Out.Host, r.Out.Body = target.Host, nil
		if err := signer.NewSigner().SignHTTP(context.Background(), keys, r.Out, empty, "s3", "us-east-1", time.Now()); err != nil {
			t.Error(err)
		}
		r.Out.Header.Set("Accept-Encoding", accept) // what is set is not asked for behind the client's back
	}}
	return new(counter).serve(t, proxy)
}
