package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// askWitness publishes a trust version with the text of a witness policy.
func (c ceremony) askWitness(text string, version int) {
	c.t.Helper()
	if err := os.WriteFile("policy", []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.run(0, "trust propose --trust mylist/trust --witnesses policy")
	c.run(0, fmt.Sprintf("trust sign --key mylist/keys/root.key mylist/trust/%d.draft", version))
	c.run(0, fmt.Sprintf("trust publish mylist/trust/%d.draft", version))
}

// TestReleaseUnderWitnesses: a list that had no witness gets one by a new trust version; the commands say whether it
// cosigned, keep what is published while it does not, and stop when it has seen another history.
func TestReleaseUnderWitnesses(t *testing.T) {
	c := newCeremony(t)
	config, err := os.ReadFile("mylist/" + configName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("mylist/"+configName, bytes.Replace(config, []byte("enabled = true"), []byte("enabled = false"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	const release = "release --config mylist/" + configName
	contains(t, c.run(0, release), "not witnessed: the trust asks for no witness")

	chain, err := mirror.ReadTrust("mylist/trust")
	if err != nil {
		t.Fatal(err)
	}
	w := witnesstest.StartFake(t, "ours", chain.Newest().LogVKey(), time.Now)
	var away atomic.Bool
	w.Bend = func(rw http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			http.Error(rw, "away", http.StatusServiceUnavailable)
		}
		return away.Load()
	}
	c.askWitness(w.Line()+"quorum ours\n", 2)

	away.Store(true)
	before := files(t, "mylist/public")
	out := c.run(4, release)
	contains(t, out, "release 2 of list.operator.example/2026", "logged, NOT published", "witness ours: no cosignature of ours: it answers 503",
		"quorum is not reached", "hint: run release again")
	for _, name := range []string{mirror.PointerPath, mirror.CheckpointPath, mirror.ListPath} {
		if files(t, "mylist/public")[name] != before[name] {
			t.Errorf("%s changed", name)
		}
	}
	away.Store(false)
	contains(t, c.run(0, release), "release 2 of", "mirror public: published and verified", "witness ours: cosigned ")
	var r releaseJSON
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), strings.Fields(release+" --json"), strings.NewReader(""), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Release != 3 || !r.Witnessed || !r.Published || len(r.Witnesses) != 1 || r.Witnesses[0].Name != "ours" || r.Witnesses[0].Cosigned == "" || r.Witnesses[0].Error != "" {
		t.Errorf("%+v", r)
	}
	if out := c.run(0, "audit mylist/public --trust mylist/trust/1"); strings.Contains(out, "not witnessed") {
		t.Errorf("audit: %s", out)
	}

	c.refusesTwin(release)
	// The list goes on.
	contains(t, c.run(0, release), "release 4 of", "witness ours: cosigned")

	// The witness is gone for good: the next trust version names another, and takes along what waited for the first.
	away.Store(true)
	contains(t, c.run(4, release), "release 5 of", "NOT published")
	theirs := witnesstest.StartFake(t, "theirs", chain.Newest().LogVKey(), time.Now)
	c.askWitness(theirs.Line()+"quorum theirs\n", 3)
	contains(t, c.run(0, release), "release 6 of", "witness theirs: cosigned", "published and verified")
	if _, err := os.Stat("mylist/public/" + mirror.ReleasePath(5)); err != nil {
		t.Errorf("the release that waited has no proof: %v", err)
	}
	c.run(0, "audit mylist/public --trust mylist/trust/1")
	c.run(0, "mirror mylist/public copy --trust mylist/trust/1")
	c.run(0, "audit copy --trust mylist/trust/1")
}

// refusesTwin has the same operator release somewhere else, with nothing but the keys: the witness knows another history.
func (c ceremony) refusesTwin(release string) {
	c.t.Helper()
	if err := os.CopyFS("twin", os.DirFS("mylist")); err != nil {
		c.t.Fatal(err)
	}
	for _, name := range []string{"state", "public"} {
		if err := os.RemoveAll("twin/" + name); err != nil {
			c.t.Fatal(err)
		}
	}
	out := c.run(4, strings.Replace(release, "mylist", "twin", 1))
	contains(c.t, out, "a witness refuses this log", "evidence: ", "state/evidence/", "hint: a witness knows another history")
	if _, err := os.Stat("twin/public/" + mirror.PointerPath); !os.IsNotExist(err) {
		c.t.Errorf("the other history was published: %v", err)
	}
}
