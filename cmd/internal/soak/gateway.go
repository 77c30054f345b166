package soak

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// FindGateway looks for versitygw in PATH, and where the checks of this project keep their tools. "" means that there is none.
func FindGateway() string {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	tools := os.Getenv("POLICYLIST_TOOLS")
	if cache, err := os.UserCacheDir(); tools == "" && err == nil {
		tools = filepath.Join(cache, "policylist", "tools")
	}
	found, err := filepath.Glob(filepath.Join(tools, "versitygw@*", "versitygw"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// gateway is a running S3 gateway over a folder, and a proxy before it that lets the publisher's requests go wrong.
type gateway struct {
	address        // as the publisher sees it: the proxy
	behind  string // its own address
	process *exec.Cmd
	ended   chan struct{}
	proxy   *http.Server

	mu   sync.Mutex
	deal func() s3Fault // nil: nothing goes wrong
}

// s3Fault is what happens to a request.
type s3Fault int

const (
	s3Fine   s3Fault = iota
	s3Busy           // 503, and nothing done
	s3Broken         // the connection breaks, and nothing done
	s3Unsure         // done, and 500
	s3Gone           // done, and the connection breaks
	s3Faults
)

// startGateway starts the program over a folder, which needs a file system with extended attributes.
func startGateway(ctx context.Context, program, folder string) (*gateway, error) {
	if err := os.MkdirAll(filepath.Join(folder, bucket), 0o755); err != nil {
		return nil, err
	}
	g := &gateway{address: address{Access: "access", Secret: rand.Text()}}
	var err error
	for range 3 { // the port was free a moment ago; another process may have it by now
		if err = g.start(ctx, program, folder); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.listen(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// start runs the program on a free port, and waits until it takes connections.
func (g *gateway) start(ctx context.Context, program, folder string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at := l.Addr().String()
	l.Close()
	said := &head{}
	cmd := exec.Command(program, "--port", at, "--region", "us-east-1", "--quiet", "posix", folder)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "ROOT_ACCESS_KEY=" + g.Access, "ROOT_SECRET_KEY=" + g.Secret}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	g.process, g.ended, g.behind = cmd, ended, "http://"+at
	const tries, between = 200, 50 * time.Millisecond
	for range tries {
		if c, err := net.DialTimeout("tcp", at, time.Second); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("versitygw ended: %s", said)
		case <-time.After(between):
		case <-ctx.Done():
			g.close()
			return context.Cause(ctx)
		}
	}
	g.close()
	return fmt.Errorf("versitygw does not listen on %s", at)
}

// listen puts the proxy before it.
func (g *gateway) listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	target, err := url.Parse(g.behind)
	if err != nil {
		return err
	}
	pass := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	g.proxy = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.meet(g.next(), pass, w, r)
	})}
	g.Endpoint = "http://" + l.Addr().String()
	go g.proxy.Serve(l)
	return nil
}

// meet lets a request meet a fault.
func (g *gateway) meet(f s3Fault, pass http.Handler, w http.ResponseWriter, r *http.Request) {
	switch f {
	case s3Fine:
		pass.ServeHTTP(w, r)
	case s3Busy:
		http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
	case s3Broken:
		panic(http.ErrAbortHandler)
	default:
		pass.ServeHTTP(&nowhere{header: http.Header{}}, r)
		if f == s3Gone {
			panic(http.ErrAbortHandler)
		}
		http.Error(w, "<Error><Code>InternalError</Code></Error>", http.StatusInternalServerError)
	}
}

// next is the fault of the next request.
func (g *gateway) next() s3Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deal == nil {
		return s3Fine
	}
	return g.deal()
}

// disturb lets requests meet what deal says; nil: nothing.
func (g *gateway) disturb(deal func() s3Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deal = deal
}

func (g *gateway) close() {
	if g.proxy != nil {
		g.proxy.Close()
	}
	g.process.Process.Kill()
	<-g.ended
}

// direct is the gateway without the proxy.
func (g *gateway) direct() address {
	a := g.address
	a.Endpoint = g.behind
	return a
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}
