package discovery_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestNothingStays: fetches leave no goroutine and no socket behind, however they end.
func TestNothingStays(t *testing.T) {
	ca := newAuthority(t)
	endless := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		for _, err := io.WriteString(out, goodPolicy); err == nil; _, err = io.WriteString(out, goodPolicy) {
		}
	})
	hanging := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, goodZone(t), nil)
	before := descriptors(t)
	for _, protocol := range []string{"h2", "http/1.1"} {
		for _, handler := range []http.Handler{endless, hanging, http.NotFoundHandler()} {
			w := &web{protocols: []string{protocol}, handler: handler, certificate: ca.leaf(t, "mta-sts.a.example", nil)}
			f := fetcher(ca, w.start(t))
			f.Deadline = 200 * time.Millisecond
			for range 3 {
				if s := discovery.FindSTS(t.Context(), c, f, domainA(t)); s.Status == discovery.STSOK {
					t.Errorf("%+v", s)
				}
			}
		}
	}
	silent := fetcher(ca, rawServer(t, nil, func(conn net.Conn) { io.Copy(io.Discard, conn) }))
	silent.Deadline = 50 * time.Millisecond
	for range 3 {
		discovery.FindSTS(t.Context(), c, silent, domainA(t))
	}
	const servers = 7 // listening sockets of this test
	left := ""
	for begin := time.Now(); time.Since(begin) < patience; runtime.Gosched() {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = ""
		for _, stack := range strings.Split(string(stacks), "\n\n") {
			if strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "http2ClientConn") || strings.Contains(stack, "discovery.(*Fetcher)") {
				left += stack + "\n\n"
			}
		}
		if left == "" && descriptors(t) <= before+servers {
			return
		}
	}
	t.Errorf("%d descriptors before, %d after, goroutines:\n%s", before, descriptors(t), left)
}

// descriptors counts open files where the system tells.
func descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}
