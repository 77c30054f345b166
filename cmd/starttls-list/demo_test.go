package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	plainReading(t, filepath.Join(dir, "public/policy.json"))
	again := run(t.Context(), []string{"demo", "--keep", dir}, nil, &out, &errs)
	if again != exitUsage {
		t.Errorf("a second run into the same folder: exit code %d", again)
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
