package s3_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

// act is what happens to a request on its way to the gateway. What answer returns is sent back instead of the gateway's
// answer; 0 sends the gateway's, and reset closes the connection.
type act struct {
	forward bool // whether the gateway sees the request
	answer  int
	code    string // of the XML error document that goes with answer
	body    string // instead of that document
	header  map[string]string
	drop    []string // headers taken from the request before it is forwarded
}

const reset = -1

var pass = act{forward: true}

// through puts a proxy between a store and the gateway: the network, or a store with other habits. decide is called for
// each request, never twice at once. The second result counts requests by method.
func through(t *testing.T, o s3.Options, decide func(*http.Request) act) (s3.Options, func(method string) int) {
	t.Helper()
	target, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	var mu sync.Mutex
	counts := map[string]int{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		counts[r.Method]++
		a := decide(r)
		mu.Unlock()
		for _, name := range a.drop {
			r.Header.Del(name)
		}
		if a.forward && a.answer == 0 {
			forward.ServeHTTP(w, r)
			return
		}
		if a.forward {
			forward.ServeHTTP(httptest.NewRecorder(), r)
		}
		a.send(w)
	}))
	t.Cleanup(proxy.Close)
	o.Endpoint = proxy.URL
	return o, func(method string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[method]
	}
}

func (a act) send(w http.ResponseWriter) {
	if a.answer == reset {
		panic(http.ErrAbortHandler)
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	body := a.body
	if a.code != "" {
		w.Header().Set("Content-Type", "application/xml")
		body = "<Error><Code>" + a.code + "</Code><Message>as the test wants it</Message></Error>"
	}
	w.WriteHeader(a.answer)
	w.Write([]byte(body))
}

// options are for servers that look at no signature.
var options = s3.Options{
	Bucket: "mirror", Prefix: "list", Region: "us-east-1", PathStyle: true,
	Credentials: credentials.NewStaticCredentialsProvider("access", "secret", ""),
}

// answering returns the options of a store that gives one answer to everything.
func answering(t *testing.T, a act) s3.Options {
	t.Helper()
	o := options
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.send(w) }))
	t.Cleanup(server.Close)
	o.Endpoint = server.URL
	return o
}

// head returns the headers that anybody gets for an object, asked for with an SDK client that is not ours.
func head(t *testing.T, g *storetest.VersityGW, o s3.Options, p string) http.Header {
	t.Helper()
	client := awss3.New(awss3.Options{
		BaseEndpoint: &g.Endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: o.Credentials,
	})
	signed, err := awss3.NewPresignClient(client).PresignGetObject(t.Context(),
		&awss3.GetObjectInput{Bucket: &o.Bucket, Key: aws.String(path.Join(o.Prefix, p))})
	if err != nil {
		t.Fatal(err)
	}
	// Like a client that asks for gzip itself: then net/http decodes nothing and hides no header.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, signed.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", p, answer.Status)
	}
	return answer.Header
}

// silent listens, sends head to whoever asks something, and then nothing more.
func silent(t *testing.T, head string) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 1<<16)); err == nil {
					c.Write([]byte(head))
				}
				io.Copy(io.Discard, c) // until the client gives up
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return "http://" + l.Addr().String()
}
