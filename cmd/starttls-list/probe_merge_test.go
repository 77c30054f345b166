package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// scanOnPaper is evidence of servers that never were; a line is "good.example fail cert.name".
type scanOnPaper struct {
	vantage, shard string
	at, since      time.Time
	key            byte // seed of the vantage's key; 0: unsigned
	lines          []string
}

func (s scanOnPaper) bytes(t *testing.T) []byte {
	t.Helper()
	roots := strings.Repeat("0123456789abcdef", 4)
	var out bytes.Buffer
	canary := []byte(`{"codes":[],"domain":"canary.example","verdict":"pass"}`)
	h := probe.Header{EHLO: "probe.example", Format: "policylist/evidence/v1", Kind: "header", Roots: roots, RootsVersion: "1",
		Shard: s.shard, Started: s.at.UTC().Format(policy.TimeFormat), Tool: "test", Vantage: s.vantage}
	err := json.Unmarshal(canary, &h.Canary)
	w, err1 := probe.NewEvidence(&out, h)
	err = errors.Join(err, err1)
	if s.since.IsZero() {
		s.since = s.at
	}
	for _, l := range s.lines {
		f := strings.Fields(l)
		line, err2 := json.Marshal(probe.Record{At: h.Started, Codes: append([]string{}, f[2:]...), Domain: f[0], Kind: "domain", Roots: roots,
			Since: s.since.UTC().Format(policy.TimeFormat), Tool: "test", Vantage: s.vantage, Verdict: probe.Verdict(f[1])})
		err = errors.Join(err, err2, w.Add(probe.Result{Line: line}))
	}
	if s.key != 0 {
		err = errors.Join(err, w.Sign(paperKey(s.key)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func paperKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func publicKey(seed byte) string {
	return base64.StdEncoding.EncodeToString(paperKey(seed).Public().(ed25519.PublicKey))
}

// twoVantages writes what the transcript of merge needs into the present folder.
func twoVantages(t *testing.T) {
	t.Helper()
	now := time.Now().Add(-time.Hour)
	put(t, "north.jsonl", scanOnPaper{vantage: "north", at: now, key: 1, lines: []string{"good.example pass", "odd.example pass"}}.bytes(t))
	put(t, "south.jsonl", scanOnPaper{vantage: "south", at: now.Add(time.Minute), key: 2,
		lines: []string{"good.example pass", "odd.example fail cert.name"}}.bytes(t))
	if err := os.MkdirAll("list", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, "list/list.json", fmt.Appendf(nil, `{"author": "Lab", "origin": "lab.example/list", "quorum": 2, "vantages": [
		{"name": "north", "key": "%s"}, {"name": "south", "key": "%s"}, {"name": "west", "key": "%s"}]}`, publicKey(1), publicKey(2), publicKey(3)))
}

func TestMergeTranscript(t *testing.T) {
	t.Chdir(t.TempDir())
	twoVantages(t)
	transcript(t, newMergeCommand().Example)
	left, err := filepath.Glob("*.tmp")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func probeCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"probe"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestMergeCommand: the same files in any order give the same bytes, on standard output and in a file, compressed or not,
// and a stranger verifies them.
func TestMergeCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	twoVantages(t)
	code, merged, errs := probeCommand(t, "merge", "--source", "list", "north.jsonl", "south.jsonl")
	if code != exitInconclusive || !strings.Contains(errs, "2 domains by 2 of 2 vantages") {
		t.Fatalf("exit %d: %s", code, errs)
	}
	north, err := os.ReadFile("north.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "north.jsonl.zst", z.EncodeAll(north, nil))
	code, _, errs = probeCommand(t, "merge", "south.jsonl", "north.jsonl.zst", "--quorum", "2", "--source", "list/list.json", "--out", "merged.jsonl")
	again, err := os.ReadFile("merged.jsonl")
	if code != exitInconclusive || err != nil || string(again) != merged {
		t.Errorf("exit %d, %v: %s\n%s", code, err, errs, again)
	}
	keys := []string{"--key", "north=" + publicKey(1), "--key", "south=" + publicKey(2)}
	code, out, errs := probeCommand(t, append(keys, "merge", "--verify", "merged.jsonl", "--json")...)
	if code != exitInconclusive || strings.Count(out, "\n") != 2 || !strings.Contains(out, `{"name":"south","verdict":"fail","codes":["cert.name"]`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := probeCommand(t, "merge", "--verify", "merged.jsonl", "--key", "north="+publicKey(1)); code != exitUsage || !strings.Contains(errs, `vantage "south"`) {
		t.Errorf("without the key of south: exit %d: %s", code, errs)
	}
	code, again2, errs := probeCommand(t, "merge", "--quorum", "2", "south.jsonl", "north.jsonl")
	if code != exitInconclusive || again2 != merged || !strings.Contains(errs, "note: no keys were given, so anybody may have written these files") {
		t.Errorf("without keys: exit %d: %s", code, errs)
	}
}

func TestMergeCommandRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	twoVantages(t)
	old := scanOnPaper{vantage: "west", at: time.Now().Add(-72 * time.Hour), key: 3, lines: []string{"good.example pass"}}
	put(t, "old.jsonl", old.bytes(t))
	ahead := scanOnPaper{vantage: "south", at: time.Now().Add(time.Hour), key: 2, lines: []string{"good.example pass"}}
	put(t, "ahead.jsonl", ahead.bytes(t))
	put(t, "bad.jsonl", append(old.bytes(t), "{}\n"...))
	put(t, "bad.jsonl.zst", []byte("no zstd"))
	put(t, "no-vantages.json", []byte(`{"author": "Lab", "origin": "lab.example/list"}`))
	put(t, "broken.json", []byte(`{"author": 7}`))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "no file given"},
		{"north.jsonl", exitUsage, "--quorum"},
		{"north.jsonl --quorum -1", exitUsage, "at least one"},
		{"north.jsonl --quorum 1025", exitUsage, "at most 1024 vantages"},
		{"north.jsonl --quorum 1 --window -1h", exitUsage, "--window and --max-age are 0 or more"},
		{"north.jsonl --quorum 1 --max-age -1h", exitUsage, "--window and --max-age are 0 or more"},
		{"north.jsonl ahead.jsonl --quorum 1 --max-age 3h", exitUsage, "the scan of vantage south begins"},
		{"north.jsonl ahead.jsonl --quorum 1", exitPass, "a release does not take it"},
		{"north.jsonl --quorum 1 --key north", exitUsage, "NAME=KEY"},
		{"north.jsonl --quorum 1 --key north=AAAA", exitUsage, "NAME=KEY"},
		{"north.jsonl --quorum 1 --key north=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", exitUsage, "anybody can sign for it"},
		{"north.jsonl --quorum 1 --key north=" + publicKey(1) + " --key x=" + publicKey(1), exitUsage, "count twice"},
		{"north.jsonl --source list --key north=" + publicKey(4), exitUsage, "count twice"},
		{"north.jsonl --source nowhere", exitUsage, "--source"},
		{"north.jsonl --source no-vantages.json", exitUsage, "names no vantages"},
		{"north.jsonl --source broken.json", exitUsage, "broken.json:1:12: author is a number"},
		{"north.jsonl nowhere.jsonl --quorum 1", exitUsage, "nowhere.jsonl"},
		{"north.jsonl bad.jsonl --quorum 1 --window 0", exitUsage, "bad.jsonl: line 4: not valid evidence"},
		{"north.jsonl bad.jsonl.zst --quorum 1", exitUsage, "bad.jsonl.zst: line 1: not valid evidence"},
		{"north.jsonl old.jsonl --quorum 1", exitUsage, "at most 24h0m0s are allowed"},
		{"old.jsonl --quorum 1 --max-age 48h", exitUsage, "--max-age is 48h0m0s"},
		{"old.jsonl --quorum 1", exitPass, "a release takes nothing older"},
		{"north.jsonl north.jsonl --quorum 1", exitUsage, "overlap"},
		{"north.jsonl --quorum 1 --verify", exitUsage, "it is of one vantage, not merged"},
		{"north.jsonl south.jsonl --quorum 1 --out ./south.jsonl", exitUsage, "would overwrite"},
		{"north.jsonl --verify --out x", exitUsage, "--verify takes one merged file"},
	} {
		code, _, errs := probeCommand(t, append([]string{"merge"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, want %d: %s", c.args, code, c.code, errs)
		}
	}
	// Where anything is wrong, nothing is left under the name.
	if code, _, _ := probeCommand(t, "merge", "north.jsonl", "bad.jsonl", "--quorum", "1", "--window", "0", "--out", "merged.jsonl"); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, args := range []string{"old.jsonl --max-age 48h", "ahead.jsonl --max-age 3h"} {
		if code, _, _ := probeCommand(t, append(strings.Fields(args), "merge", "--quorum", "1", "--out", "merged.jsonl")...); code != exitUsage {
			t.Errorf("%s: exit %d", args, code)
		}
	}
	if left, err := filepath.Glob("merged*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestHistoryTranscript(t *testing.T) {
	t.Chdir(t.TempDir())
	monday := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	put(t, "monday.jsonl", scanOnPaper{vantage: "north", at: monday, lines: []string{"good.example pass", "odd.example pass"}}.bytes(t))
	put(t, "tuesday.jsonl", scanOnPaper{vantage: "north", at: monday.AddDate(0, 0, 1), lines: []string{"good.example pass", "odd.example fail cert.expired"}}.bytes(t))
	transcript(t, newHistoryCommand().Example)
	code, out, errs := probeCommand(t, "history", "--domain", "ODD.example", "--json", "tuesday.jsonl", "monday.jsonl", "tuesday.jsonl")
	want := `{"domain":"odd.example","spans":[` +
		`{"verdict":"pass","since":"2026-03-02T08:00:00Z","until":"2026-03-02T08:00:00Z","codes":[],"vantages":["north"],"merged":false,"scans":1},` +
		`{"verdict":"fail","since":"2026-03-03T08:00:00Z","until":"2026-03-03T08:00:00Z","codes":["cert.expired"],"vantages":["north"],"merged":false,"scans":1}]}` + "\n"
	if code != exitPass || out != want {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for args, want := range map[string]int{
		"": exitUsage, "monday.jsonl --domain x": exitUsage, "monday.jsonl --domain other.example": exitInconclusive, "nowhere.jsonl": exitUsage,
	} {
		if code, _, errs := probeCommand(t, append([]string{"history"}, strings.Fields(args)...)...); code != want || errs == "" {
			t.Errorf("%q: exit %d, want %d: %s", args, code, want, errs)
		}
	}
}
