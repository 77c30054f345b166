package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// witnessed is a published list whose trust names one witness.
func witnessed(t *testing.T, dir string, now func() time.Time) *pipeline.Publisher {
	t.Helper()
	home, public := filepath.Join(dir, "operator"), filepath.Join(dir, "public")
	trust, err := pipeline.Setup(home, pipeline.SetupOptions{Origin: "log.example/list", Plain: true, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	w := witnesstest.StartFake(t, "ours", trust.LogVKey(), now)
	root, _, err := signing.Load(filepath.Join(home, pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(trust.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		t.Fatal(err)
	}
	msg := witnesstest.WithPolicy(t, trust, w.Line()+"quorum ours\n", signer)
	if err := os.WriteFile(filepath.Join(home, pipeline.TrustDir, "1"), msg, 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := mtatest.Publisher(home, public, now())
	if err != nil {
		t.Fatal(err)
	}
	p.Now, p.Witnesses = now, witness.New("test/1")
	if _, err := p.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWitnessedList: every command says that and when the witnesses saw the list; their time is what keeps it fresh.
func TestWitnessedList(t *testing.T) {
	now, err := policy.ParseTime("2026-03-01T12:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	p := witnessed(t, ".", func() time.Time { return now })
	command := func(code int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if got := run(t.Context(), args, world{&out, &out, func() time.Time { return now }}); got != code {
			t.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, out.String())
		}
		return out.String()
	}
	says := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing in\n%s", part, text)
			}
		}
		if strings.Contains(text, "not witnessed") {
			t.Errorf("a witnessed list is called not witnessed:\n%s", text)
		}
	}
	fingerprint := p.Trust.Newest().Digest()
	now = now.Add(time.Hour)
	says(command(0, "join", "public", "--fingerprint", fmt.Sprintf("%x", fingerprint), "--name", "example", "--config", "c.toml", "--state", "var"))
	const seen = "2026-03-01T12:00:00Z"
	says(command(0, "update", "--config", "c.toml"), "witnesses vouch for the log at "+seen)
	says(command(0, "status", "--config", "c.toml"), "witnesses vouch for the log at "+seen)
	says(command(0, "explain", "good.example", "--config", "c.toml"), "and witnessed")
	says(command(0, "verify", "public/policy.json", "--config", "c.toml"), "witnessed at "+seen)
	now = now.Add(48 * time.Hour)
	says(command(20, "update", "--config", "c.toml"), "STALE", seen)
	if _, err := p.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(command(0, "update", "--config", "c.toml"), "witnesses vouch for the log at 2026-03-03T13:00:00Z")

	half := mirror.Refusal{Evidence: mirror.Evidence{Kind: mirror.KindRefusal, Origin: "log.example/list"}, Witness: "ours"}
	if err := os.WriteFile("refusal.json", half.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	says(command(1, "verify", "--evidence", "refusal.json", "--config", "c.toml"), "does not prove a fork yet", "Ask its operator")
	var back mirror.Refusal
	if err := json.Unmarshal(half.Bytes(), &back); err != nil || back.Witness != "ours" || back.Kind != mirror.KindRefusal {
		t.Errorf("%+v, %v", back, err)
	}
}
