package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// TestDemo runs the demo as a newcomer does, and reads what it leaves with tools that know nothing of this project.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--keep", dir}, nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	for _, want := range []string{"release 1 by snapshot", "HELD", "starttls.missing", "release 2 by delta", "9 log entries, 2 releases", "All of this happened as it should."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "refused: "); n != 3 {
		t.Errorf("%d attacks refused, want 3", n)
	}
	for _, name := range []string{"public/policy.json", "release.pub", "log.vkey", "openpgp.pub", "trust/1", "client/policy.json", "client/postfix.map", "client/state.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, line := range missingLines(out.String(), readmeTranscript(t)) {
		t.Errorf("README.md shows a line that the demo does not print: %s", line)
	}
	plainReading(t, filepath.Join(dir, "public/policy.json"))
	t.Run("second reader", func(t *testing.T) { secondReading(t, filepath.Join(dir, "public")) })
	again := run(t.Context(), []string{"demo", "--keep", dir}, nil, &out, &errs)
	if again != exitUsage {
		t.Errorf("a second run into the same folder: exit code %d", again)
	}
}

// readmeTranscript is what the first page shows of the demo.
func readmeTranscript(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "$ go run ./cmd/starttls-list demo\n")
	text, _, found := strings.Cut(text, "```")
	if !found || strings.Count(text, "\n") < 10 {
		t.Fatalf("README.md shows no demo: %q", text)
	}
	return text
}

// missingLines are those of a shown transcript that the real one does not have, in its order. Ports, addresses and digests are
// others each time, and "…" stands for lines that are left out.
func missingLines(real, shown string) (missing []string) {
	same := func(text string) []string {
		for pattern, by := range map[string]string{`[0-9a-f]{12,64}…?`: "DIGEST", `127(\.[0-9]+){3}`: "ADDRESS", `\b[0-9]{4,5}\b`: "PORT"} {
			text = regexp.MustCompile(pattern).ReplaceAllString(text, by)
		}
		return strings.Split(text, "\n")
	}
	left := same(real)
	for _, line := range same(shown) {
		if strings.TrimSpace(line) == "…" {
			continue
		}
		at := slices.Index(left, line)
		if at < 0 {
			missing = append(missing, line)
			continue
		}
		left = left[at+1:]
	}
	return missing
}

// TestMissingLines: a line that is changed, or stands in another order, is missing; one with another digest is not.
func TestMissingLines(t *testing.T) {
	real := "one on port 12345\ntwo 0123456789abcdef0123\nthree\nfour\n"
	for shown, want := range map[string]int{
		"one on port 9999\n …\nthree\n": 0, "two 452bcf81d079…\nfour\n": 0, "three\ntwo 452bcf81d079…\n": 1, "three and more\n": 1,
	} {
		if got := missingLines(real, shown); len(got) != want {
			t.Errorf("%q: %q", shown, got)
		}
	}
}

// secondReading has the reader in Python, which shares nothing with this code, verify the folder that a mirror would serve:
// trust, proof, checkpoint, list and cosign bundle. It must refuse the folder when one bit of the list is another.
func secondReading(t *testing.T, public string) {
	t.Helper()
	trust, err := os.ReadFile(filepath.Join(public, "trust/1"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := bytes.Cut(trust, []byte("\n\n"))
	path := filepath.Join(public, "policy.json")
	list, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, made, _ := strings.Cut(string(list), `"timestamp":"`)
	args := []string{"folder", public, "--fingerprint", fmt.Sprintf("%x", sha256.Sum256(append(text, '\n'))), "--now", made[:len("2026-01-01T00:00:00Z")]}
	out, content := tool.SecondReader(t, args...)
	if !content || !strings.Contains(out, "6 domains, entry 8 of 9, trust version 1, fresh") {
		t.Errorf("it says %s", out)
	}
	list[len(list)/2] ^= 1
	if err := os.WriteFile(path, list, 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() {
		list[len(list)/2] ^= 1
		if err := os.WriteFile(path, list, 0o644); err != nil {
			t.Error(err)
		}
	}()
	if out, content := tool.SecondReader(t, args...); content || !strings.Contains(out, "another size or digest") {
		t.Errorf("of a damaged list it says %s", out)
	}
}

// plainReading decodes policy.json with nothing but encoding/json.
func plainReading(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Timestamp, Expires, Version, Author string
		Policies                            map[string]struct {
			Mode string
			MXs  []string
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	good := list.Policies["good.example"]
	if list.Version != "0.1" || len(list.Policies) != 6 || good.Mode != "enforce" || len(good.MXs) != 1 || good.MXs[0] != "mx.good.example" {
		t.Errorf("read %+v", list)
	}
	if list.Policies["trial.example"].Mode != "testing" {
		t.Error("trial.example was published though its server is broken")
	}
}
