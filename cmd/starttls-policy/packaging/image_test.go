package packaging

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// builder is buildah with a store of its own.
type builder struct {
	t    *testing.T
	args []string
}

func newBuilder(t *testing.T) builder {
	t.Helper()
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { asRoot(t, "", "rm", "-rf", dir) })
	return builder{t, []string{"env", "BUILDAH_ISOLATION=chroot", tool.Path(t, "buildah"), "--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}}
}

func (b builder) run(args ...string) string {
	b.t.Helper()
	return strings.TrimSpace(asRoot(b.t, "", append(slices.Clone(b.args), args...)...))
}

// The image is built from nothing but its context, and what is in it joins a list, answers, and says that it is healthy,
// as its own user.
func TestImage(t *testing.T) {
	b := newBuilder(t)
	b.run("bud", "--isolation", "chroot", "--format", "docker", "--tag", "policy", filepath.Join(release(t, "v1.2.3"), "image", runtime.GOARCH))
	container := b.run("from", "policy")
	image := b.run("mount", container)
	t.Cleanup(func() { b.run("umount", container) })
	config := imageConfig(t, b.run("inspect", "--type", "image", "policy"))
	roots(t, asRoot(t, "", "cat", filepath.Join(image, "etc/ssl/certs/ca-certificates.crt")))

	fingerprint, mirror := served(t)
	etc := filepath.Join(image, "etc/starttls-policy")
	asUser := append(tool.AsRoot(t.Context(), t), append([]string{"env", "-i"}, config.Env...)...)
	asUser = append(asUser, "chroot", "--userspec="+config.User, image, config.Entrypoint[0])
	asRoot(t, "", "install", "-d", "-o", "65532", "-g", "65532", etc)
	inside := func(args ...string) *exec.Cmd {
		args = append(slices.Clone(asUser), args...)
		return exec.CommandContext(t.Context(), args[0], args[1:]...)
	}
	if out, err := inside("join", mirror, "--fingerprint", fingerprint, "--mta", "none", "--name", "example").CombinedOutput(); err != nil {
		t.Fatalf("join: %v\n%s", err, out)
	}
	address := tool.FreePort(t)
	asRoot(t, fmt.Sprintf("[serve]\nlisten = [%q]\nsources = [\"list\"]\n", address), "tee", "-a", filepath.Join(etc, "config.toml"))
	if out, err := inside(config.Healthcheck.Test[2:]...).CombinedOutput(); err == nil {
		t.Errorf("healthy before it runs:\n%s", out)
	}
	daemon := tool.Start(t, inside(config.Cmd...), syscall.SIGTERM)
	if !daemon.Listens(address) {
		t.Fatalf("serve does not listen\n%s", daemon.Said())
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if reply, err := socketmap.Ask(c, "sni", "a.example"); err != nil || reply.Value != "secure match=mx.a.example servername=hostname" {
		t.Errorf("%q, %v", reply, err)
	}
	if out, err := inside(config.Healthcheck.Test[2:]...).CombinedOutput(); err != nil {
		t.Errorf("not healthy: %v\n%s", err, out)
	}
}

// containerConfig is what a container is started by.
type containerConfig struct {
	User            string
	Env             []string
	Entrypoint, Cmd []string
	Volumes         map[string]any
	Healthcheck     struct{ Test []string }
}

func imageConfig(t *testing.T, inspected string) containerConfig {
	t.Helper()
	var out struct {
		Docker struct {
			Config containerConfig `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(inspected), &out); err != nil {
		t.Fatal(err)
	}
	c := out.Docker.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/starttls-policy"}) || !slices.Equal(c.Cmd, []string{"serve"}) ||
		!slices.Equal(c.Healthcheck.Test, []string{"CMD", "/starttls-policy", "ping"}) || c.Volumes["/var/lib/starttls-policy"] == nil ||
		!slices.Contains(c.Env, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt") {
		t.Fatalf("%+v", c)
	}
	return c
}

// roots checks that the image has the certificates by which mirrors and policy hosts are verified.
func roots(t *testing.T, text string) {
	t.Helper()
	n := 0
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err != nil || !c.IsCA {
			t.Errorf("root certificate %d: %v", n, err)
		}
		n++
	}
	if n < 100 {
		t.Errorf("%d root certificates", n)
	}
}

// served publishes a list on a mirror on loopback.
func served(t *testing.T) (fingerprint, url string) {
	t.Helper()
	home, public := filepath.Join(t.TempDir(), "home"), filepath.Join(t.TempDir(), "public")
	fingerprint, err := mtatest.Publish(t.Context(), home, public, time.Now().Add(-time.Minute), []byte(entries))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(public)))
	t.Cleanup(server.Close)
	return fingerprint, server.URL + "/"
}
