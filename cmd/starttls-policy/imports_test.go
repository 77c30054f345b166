package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxSize is what the program may weigh, stripped, in bytes.
const maxSize = 15 << 20

// What runs on a mail server stays small: none of the writer's libraries may be linked.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-buildvcs=false", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 {
		t.Fatalf("go list names only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, forbidden := range []string{
			"github.com/google/trillian", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/aws/",
			"github.com/santhosh-tekuri/jsonschema", "github.com/sigstore/", "github.com/ProtonMail/",
			"github.com/prometheus/",
			"github.com/starttls-everywhere/policylist/pipeline", "github.com/starttls-everywhere/policylist/mirror/s3",
			"github.com/starttls-everywhere/policylist/schema",
		} {
			if strings.HasPrefix(p, forbidden) {
				t.Errorf("starttls-policy links %s", p)
			}
		}
	}
}

// The program is built as a release is, and carries its version.
func TestSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starttls-policy")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=v1.2.3", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxSize {
		t.Errorf("%d bytes, the most is %d", info.Size(), maxSize)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.Contains(string(out), "v1.2.3") {
		t.Errorf("--version prints %q, %v", out, err)
	}
}
