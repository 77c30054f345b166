package storetest

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// VersityGW is a running S3 gateway (Versity's, versitygw in tools.txt) over a folder of its own, on loopback.
type VersityGW struct {
	Endpoint  string // http://127.0.0.1:port
	Bucket    string // the one bucket there is
	AccessKey string
	SecretKey string
	Folder    string // where the bucket's objects lie as files, in the form in which they were sent
}

// StartVersityGW starts a gateway and ends it with the test. Without the program the test is skipped, or fails (see
// package tool). The temporary folder must be on a file system with extended attributes: the gateway keeps headers there.
func StartVersityGW(t testing.TB) *VersityGW {
	t.Helper()
	root := t.TempDir()
	g := &VersityGW{Bucket: "mirror", AccessKey: "access", SecretKey: rand.Text(), Folder: filepath.Join(root, "mirror")}
	if err := os.Mkdir(g.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	g.listen(t, root)
	return g
}

// StartRacingPair starts two gateways over one folder that know nothing of each other's locks: a store whose conditional
// writes race, as those of some clusters do.
func StartRacingPair(t testing.TB) (a, b *VersityGW) {
	t.Helper()
	root := t.TempDir()
	a = &VersityGW{Bucket: "mirror", AccessKey: "access", SecretKey: rand.Text(), Folder: filepath.Join(root, "mirror")}
	if err := os.Mkdir(a.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	second := *a
	a.listen(t, root, "--disable-object-lock-file")
	second.listen(t, root, "--disable-object-lock-file")
	return a, &second
}

// Between shares requests out to servers in turn, as the front of a cluster does, and returns its address.
func Between(t testing.TB, endpoints ...string) string {
	t.Helper()
	var n atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		target, err := url.Parse(endpoints[n.Add(1)%int64(len(endpoints))])
		if err != nil {
			t.Error(err)
			return
		}
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// listen starts the program with options for its folder, and fails the test when it does not.
func (g *VersityGW) listen(t testing.TB, root string, options ...string) {
	t.Helper()
	program := tool.Path(t, "versitygw")
	for range 3 { // the port was free a moment ago; another process may have it by now
		if g.start(t, program, root, options) {
			return
		}
	}
	t.Fatal("versitygw does not start: see the log above")
}

// start runs the program on a free port and reports whether it comes to listen.
func (g *VersityGW) start(t testing.TB, program, root string, options []string) bool {
	t.Helper()
	address := tool.FreePort(t)
	args := append([]string{"--port", address, "--region", "us-east-1", "--quiet", "posix"}, options...)
	cmd := exec.Command(program, append(args, root)...)
	cmd.Env = append(environ(), "ROOT_ACCESS_KEY="+g.AccessKey, "ROOT_SECRET_KEY="+g.SecretKey)
	p := tool.Start(t, cmd, os.Kill)
	if !p.Listens(address) {
		p.Stop()
		t.Logf("versitygw on %s said:\n%s", address, p.Said())
		return false
	}
	g.Endpoint = "http://" + address
	return true
}

// URL returns the address of the mirror below prefix, as `starttls-list mirror` and package s3 read it.
func (g *VersityGW) URL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1", g.Bucket, prefix, g.Endpoint)
}

// Env returns the variables that give a program the gateway's credentials, and nothing of this machine's.
func (g *VersityGW) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + g.AccessKey, "AWS_SECRET_ACCESS_KEY=" + g.SecretKey, "AWS_SESSION_TOKEN=",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
	}
}

// environ is the environment without what would configure the gateway otherwise.
func environ() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VGW_") && !strings.HasPrefix(v, "ROOT_") && !strings.HasPrefix(v, "AWS_") {
			kept = append(kept, v)
		}
	}
	return kept
}
