package main

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/mirror/site"
)

// scriptOperator makes the folder of an operator in a script, as init does it, with keys that open at once.
func scriptOperator(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: operator FOLDER")
	}
	folder, err := operatorFolder()
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), folder))
}

func TestSiteTranscripts(t *testing.T) {
	op := newOperator(t)
	op.p.Observer = nil
	op.release(0)
	t.Chdir(op.dir)
	transcript(t, newSiteBuildCommand().Example)
	t.Chdir(op.public())
	transcript(t, newSiteProveCommand().Example)
	transcript(t, newSiteVerifyCommand().Example)
}

// pageCommand is the command that a page shows, as a reader copies it.
func pageCommand(t *testing.T, page, begins string) []string {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`<pre class="command"[^>]*><code>([^<]*)</code>`).FindAllSubmatch(data, -1) {
		if command := html.UnescapeString(string(m[1])); strings.HasPrefix(command, "starttls-list "+begins) {
			return strings.Fields(command)[1:]
		}
	}
	t.Fatalf("%s shows no command %s", page, begins)
	return nil
}

// The commands on the pages work as they stand there, in a copy of the mirror with its site.
func TestCommandsOnPages(t *testing.T) {
	op := newOperator(t)
	op.release(20)
	public := op.copyPublic()
	list(t, 0, "site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public)
	t.Chdir(public)
	verify := pageCommand(t, "site/domain/d7.example/index.html", "site verify")
	if out := list(t, 0, verify...); !strings.Contains(out, "d7.example: testing, mx.d7.example") {
		t.Error(out)
	}
	var proven struct {
		Domain string
		Index  int64
	}
	if out := list(t, 0, append(verify, "--json")...); json.Unmarshal([]byte(out), &proven) != nil || proven.Domain != "d7.example" {
		t.Error(out)
	}
	list(t, 0, pageCommand(t, "site/log/index.html", "audit")...) // and the site beside the mirror is none of its business

	// A proof of something else, and a mirror without the release that made the change.
	file := site.ProofPath("d7.example")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "bad.tlog-proof", bytes.Replace(good, []byte("index "), []byte("index 1"), 1))
	list(t, exitFail, "site", "verify", "bad.tlog-proof", "--mirror", ".", "--trust", "trust/1")
	remove(t, "release/1.tlog-proof")
	list(t, exitInconclusive, "site", "verify", file, "--mirror", ".", "--trust", "trust/1")
}

// A proof outlives a change of keys: the newest release leads back to the one that made the change.
func TestSiteVerifyAfterRotation(t *testing.T) {
	op := newOperator(t)
	op.release(3)
	put(t, op.path("trust/2"), op.nextTrust(op.p.Trust.Newest().Expires).Note())
	op = openOperator(t, op.dir, op.now)
	op.release(0)
	public := op.public()
	list(t, 0, "site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public)
	verify := []string{"site", "verify", filepath.Join(public, site.ProofPath("d1.example")), "--mirror", public, "--trust", op.path("trust/1")}
	list(t, 0, verify...)
	put(t, filepath.Join(public, "policy.json.tlog-proof"), []byte("rubbish"))
	list(t, exitFail, verify...)
}

// lines passes on what is printed, line by line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestSiteServe(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	public := op.public()
	list(t, 0, "site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, ended := make(lines, 4), make(chan int, 1)
	go func() { ended <- run(ctx, []string{"site", "serve", public, "--listen", "127.0.0.1:0"}, nil, out, out) }()
	var address string
	select {
	case line := <-out:
		address = strings.TrimSpace(line[strings.LastIndex(line, "http://"):])
	case code := <-ended:
		t.Fatalf("exit code %d", code)
	}
	client := http.Client{Timeout: time.Minute}
	for path, want := range map[string]int{"": 200, "site/api/v1/list.json": 200, "policy.json": 200, "site/": 200, "trust/": 404, "keys/": 404} {
		answer, err := client.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != want || want == 200 && len(data) == 0 {
			t.Errorf("%s: %s, %v", path, answer.Status, err)
		}
	}
	// What serves pages serves clients: the mirror is read through it.
	list(t, 0, "mirror", address, t.TempDir(), "--trust", op.path("trust/1"))
	list(t, exitInternal, "site", "serve", public, "--listen", strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/"))
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
