//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestRecoverFromTrillian: a release was logged by a Trillian server and reached no mirror when the state was lost. It
// comes from there. A server that has less is to be filled.
func TestRecoverFromTrillian(t *testing.T) {
	s := trillianserver.Start(t)
	o := newOperator(t)
	o.configure("address = \"\"", fmt.Sprintf("address = %q", s.Address))
	o.configure("tree = 0", fmt.Sprintf("tree = %d", s.NewTree(t)))
	o.configure("plaintext = false", "plaintext = true")
	o.configure("engine = \"embedded\"", "engine = \"trillian\"")
	o.configure("openpgp = \"keys/openpgp.key\"", "openpgp = \"\"") // that key is younger than these releases
	o = openOperator(t, o.dir, o.now.Add(-24*time.Hour))            // so that commands come later
	o.p.Observer = nil                                              // no evidence, which would be lost with the state
	o.release(10)
	o.release(0)

	good := o.p.Mirrors[0].Store
	o.p.Mirrors[0].Store = cutOff{good}
	o.write("mx.elsewhere.example")
	o.now = o.now.Add(time.Hour)
	if _, err := o.p.Release(t.Context()); !errors.Is(err, pipeline.ErrMirrors) {
		t.Fatalf("without a mirror: %v", err)
	}
	lose := func() {
		t.Helper()
		if err := os.RemoveAll(o.path(pipeline.StateDir)); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	config := o.path(configName)
	out := list(t, exitPass, "recover", "--yes", "--config", config)
	for _, want := range []string{"release 2 of", "release 3: logged and not published", "the next run of release completes release 3"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out = list(t, exitPass, "release", "--config", config) // a day later: completed, and followed by one of today
	if !strings.Contains(out, "completing an interrupted release\" release=3") || !strings.Contains(out, "release 4 of") {
		t.Errorf("after that: %s", out)
	}
	if r := auditJSON(t, exitPass, o.public(), o.path("trust/1")); r.Error != "" || r.Release != 4 {
		t.Errorf("audit: %+v", r)
	}

	// A new, empty tree.
	old, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	fresh := s.NewTree(t)
	lines := strings.Split(string(old), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "tree = ") {
			lines[i] = fmt.Sprintf("tree = %d", fresh)
		}
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	lose()
	if out := list(t, exitPass, "recover", "--yes", "--config", config); !strings.Contains(out, "run starttls-list log fill before the next release") {
		t.Errorf("an empty tree: %s", out)
	}
	list(t, exitInternal, "release", "--config", config)
	list(t, exitPass, "log", "fill", "--config", config)
	if out := list(t, exitPass, "release", "--config", config); !strings.Contains(out, "release 5 of") {
		t.Errorf("after log fill: %s", out)
	}
	if r := auditJSON(t, exitPass, o.public(), o.path("trust/1")); r.Error != "" || r.Release != 5 {
		t.Errorf("audit: %+v", r)
	}
}

// cutOff is a mirror that cannot be reached.
type cutOff struct{ mirror.Store }

var errCutOff = errors.New("connection refused")

func (cutOff) Get(context.Context, string, int64) ([]byte, error) { return nil, errCutOff }
func (cutOff) Put(context.Context, mirror.Object) error           { return errCutOff }
func (cutOff) Create(context.Context, mirror.Object) error        { return errCutOff }
