package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// namesAndSizes tells what evidence was found; every file is opened twice, as a release does.
func namesAndSizes(t *testing.T, files []probe.EvidenceFile) string {
	t.Helper()
	var out []string
	for _, f := range files {
		for range 2 {
			in, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(in)
			in.Close()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %d", filepath.Base(f.Name), len(data)))
		}
	}
	return strings.Join(out, ", ")
}

// fillEvidence puts two scans, one of them compressed, and something else into a folder.
func fillEvidence(t *testing.T, folder string) (want string) {
	t.Helper()
	scan := scanOnPaper{vantage: "north", at: time.Now(), key: 1, lines: []string{"a.example pass"}}.bytes(t)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(folder, "north.jsonl"), scan)
	put(t, filepath.Join(folder, "south.jsonl.zst"), z.EncodeAll(scan, nil))
	put(t, filepath.Join(folder, "north.jsonl.partial"), scan)
	n := len(scan)
	return fmt.Sprintf("north.jsonl %d, north.jsonl %d, south.jsonl.zst %d, south.jsonl.zst %d", n, n, n, n)
}

func evidenceConfig(dir, ref string) *config {
	c := &config{dir: dir}
	c.Probe.Evidence = ref
	return c
}

func TestEvidenceInAFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "evidence"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := fillEvidence(t, filepath.Join(dir, "evidence"))
	files, err := evidenceConfig(dir, "evidence").evidenceSource()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := namesAndSizes(t, files); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if files, err = evidenceConfig(dir, "evidence/north.jsonl").evidenceSource()(t.Context()); err != nil || len(files) != 1 {
		t.Errorf("one file: %v, %v", files, err)
	}
	for _, ref := range []string{"nowhere", "nowhere.jsonl"} {
		if _, err := evidenceConfig(dir, ref).evidenceSource()(t.Context()); err == nil {
			t.Errorf("%s was found", ref)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := evidenceConfig(dir, "empty").evidenceSource()(t.Context()); err == nil || !strings.Contains(err.Error(), "holds no *.jsonl") {
		t.Errorf("an empty folder: %v", err)
	}
	if evidenceConfig(dir, "").evidenceSource() != nil {
		t.Error("no evidence is configured, and some is looked for")
	}
}

func TestEvidenceInABucket(t *testing.T) {
	tool.Path(t, "versitygw") // or skip
	g := storetest.StartVersityGW(t)
	for _, v := range g.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	for _, name := range []string{"evidence", "empty"} {
		if err := os.Mkdir(filepath.Join(g.Folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := fillEvidence(t, filepath.Join(g.Folder, "evidence"))
	ref := func(prefix string) string {
		return "s3://" + g.Bucket + "/" + prefix + "?endpoint=" + g.Endpoint + "&region=us-east-1"
	}
	files, err := evidenceConfig(t.TempDir(), ref("evidence")).evidenceSource()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := namesAndSizes(t, files); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := evidenceConfig(t.TempDir(), ref("empty")).evidenceSource()(t.Context()); err == nil || !strings.Contains(err.Error(), "holds no *.jsonl") {
		t.Errorf("an empty prefix: %v", err)
	}
}

// TestProbeConfig: what stands in [probe] reaches the prober, or is refused.
func TestProbeConfig(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "past.jsonl"), scanOnPaper{vantage: "north", at: time.Now(), lines: []string{"a.example pass"}}.bytes(t))
	put(t, filepath.Join(dir, "bad.jsonl"), []byte("{}\n"))
	put(t, filepath.Join(dir, "optout"), []byte("a.example\n"))
	for text, says := range map[string]string{
		"": "", "vantage = \"north\"\nprevious = \"past.jsonl\"": "", `opt-out = "optout"`: "", `timeout = "30s"`: "",
		`previous = "past.jsonl"`: `it is of vantage "north", not of this one, ""`,
		`previous = "nowhere"`:    "[probe] previous: ",
		`previous = "bad.jsonl"`:  "[probe] previous: ",
		`opt-out = "nowhere"`:     "[probe] opt-out: ",
		`timeout = "soon"`:        "[probe] timeout: ",
		`timeout = "0s"`:          "[probe] timeout: ",
		`https-port = 70000`:      "[probe] https-port: ",
		`evidence = "ftp://x/y"`:  "[probe] evidence: ",
	} {
		put(t, filepath.Join(dir, configName), []byte(`source = "list"
trust = "trust"
state = "state"
[keys]
release = ["r.key"]
log = "l.key"
[[mirror]]
name = "public"
url = "public"
[probe]
allow-loopback = true
resolver = "127.0.0.1:53"
`+text+"\n"))
		c, err := readConfig(filepath.Join(dir, configName))
		if err == nil {
			_, err = c.observer()
		}
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
