//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// TestLogMovesBetweenEngines is the guide of transparency/README.md: a list begins with the embedded engine, moves to a
// Trillian server, back, and to Trillian again. It stays one history: a client follows it leaf by leaf, the audit
// replays it from the first leaf, Tessera's fsck accepts it.
func TestLogMovesBetweenEngines(t *testing.T) {
	s := trillianserver.Start(t)
	o := newOperator(t)
	tree := s.NewTree(t)
	o.configure("address = \"\"", fmt.Sprintf("address = %q", s.Address))
	o.configure("tree = 0", fmt.Sprintf("tree = %d", tree))
	o.configure("plaintext = false", "plaintext = true")
	o = openOperator(t, o.dir, o.now)
	client := o.follower()
	step := func(domains int) {
		t.Helper()
		o.release(domains)
		o.followed(client)
	}
	step(300)
	step(310)

	config := o.path(configName)
	o.engine(engineTrillian)
	if text := list(t, exitInternal, "release", "--config", config); !strings.Contains(text, "starttls-list log fill") {
		t.Errorf("an empty tree as this log: %s", text)
	}
	t.Run("transcript", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.Symlink(o.dir, filepath.Join(folder, "mylist")); err != nil {
			t.Fatal(err)
		}
		t.Chdir(folder)
		transcript(t, newLogFillCommand().Example)
	})
	step(320)
	step(320)

	o.engine(engineEmbedded)
	step(600)

	o.engine(engineTrillian)
	if text := list(t, exitInternal, "release", "--config", config); !strings.Contains(text, "shrunken") {
		t.Errorf("a tree that was left behind: %s", text)
	}
	list(t, exitPass, "log", "fill", "--json", "--config", config)
	step(610)

	if r := auditJSON(t, exitPass, o.public(), o.path("trust/1")); r.Error != "" {
		t.Errorf("audit: %+v", r)
	}
	t.Run("fsck", func(t *testing.T) {
		web := httptest.NewServer(http.FileServer(http.Dir(o.public())))
		defer web.Close()
		vkey, err := os.ReadFile(o.path(pipeline.LogVKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := judge.Fsck(t, web.URL, string(bytes.TrimSpace(vkey))); err != nil {
			t.Error(err)
		}
	})
}

// configure replaces a line of the configuration.
func (o *operator) configure(old, new string) {
	o.t.Helper()
	name := o.path(configName)
	text, err := os.ReadFile(name)
	if err != nil {
		o.t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"+old+"\n"); n != 1 {
		o.t.Fatalf("the configuration has %q %d times", old, n)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), "\n"+old+"\n", "\n"+new+"\n", 1)), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// engine switches the configured engine. The publisher is a new one, as the next run of release would be.
func (o *operator) engine(name string) {
	o.t.Helper()
	old := map[string]string{engineTrillian: engineEmbedded, engineEmbedded: engineTrillian}[name]
	o.configure(fmt.Sprintf("engine = %q", old), fmt.Sprintf("engine = %q", name))
	o.p = openOperator(o.t, o.dir, o.now).p
	o.p.Now = func() time.Time { return o.now }
}

// follower is a client of the operator's mirror, which has to be joined once there is a release.
func (o *operator) follower() *mirror.Client {
	o.t.Helper()
	store, err := dir.Open(o.public())
	if err != nil {
		o.t.Fatal(err)
	}
	return &mirror.Client{Dir: o.t.TempDir(), Sources: []mirror.Source{{Name: "public", Reader: store}},
		Now: func() time.Time { return o.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// followed updates the client, after its first list leaf by leaf, and compares what it has with what is published.
func (o *operator) followed(c *mirror.Client) {
	o.t.Helper()
	if _, err := os.Stat(filepath.Join(c.Dir, mirror.ListPath)); err != nil {
		if _, err := mirror.Join(o.t.Context(), c.Dir, c.Sources[0].Reader, o.p.Trust.Versions()[0].Digest()); err != nil {
			o.t.Fatal(err)
		}
	} else {
		c.Method = mirror.Delta
	}
	if out, err := c.Update(o.t.Context()); err != nil {
		o.t.Fatal(err, out.Problems)
	}
	want, err1 := os.ReadFile(filepath.Join(o.public(), mirror.ListPath))
	got, err2 := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath))
	if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
		o.t.Errorf("the client has another list (%v, %v)", err1, err2)
	}
}

// TestLogConfiguration: each contradiction in [log] is refused by name before anything is opened.
func TestLogConfiguration(t *testing.T) {
	for _, c := range []struct {
		log  logConfig
		want string // in the error; "" for none
	}{
		{logConfig{}, ""},
		{logConfig{Engine: "embedded", Address: "trillian.example:8090", Tree: 7}, ""},
		{logConfig{Engine: "trillian", Address: "trillian.example:8090", Tree: 7}, ""},
		{logConfig{Engine: "Trillian", Address: "trillian.example:8090", Tree: 7}, "neither"},
		{logConfig{Engine: "trillian", Tree: 7}, "address"},
		{logConfig{Engine: "trillian", Address: "trillian.example:8090"}, "id of the tree"},
		{logConfig{Engine: "trillian", Address: "trillian.example:8090", Tree: -7}, "id of the tree"},
		{logConfig{Engine: "trillian", Address: "trillian.example:8090", Tree: 7, Plaintext: true, CA: "ca.pem"}, "exclude"},
		{logConfig{Engine: "trillian", Address: "trillian.example:8090", Tree: 7, Key: "client.key"}, "go together"},
	} {
		err := (&config{Log: c.log}).checkLog()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.log, err, c.want)
		}
	}
}

// TestLogTLSOptions: files of [log] are read from the configuration's folder, and unusable ones are named.
func TestLogTLSOptions(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "empty.pem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := &config{dir: folder, Log: logConfig{Engine: engineTrillian, Address: "trillian.example:8090", Tree: 7, ServerName: "log.example"}}
	o, err := c.trillian(filepath.Join(folder, "state", "log"))
	if err != nil || o.TLS == nil || o.TLS.ServerName != "log.example" || o.TLS.RootCAs != nil {
		t.Errorf("system roots: %+v, %v", o, err)
	}
	for want, change := range map[string]func(*logConfig){
		"no PEM certificate":      func(l *logConfig) { l.CA = "empty.pem" },
		"[log] ca":                func(l *logConfig) { l.CA = "missing.pem" },
		"[log] certificate and k": func(l *logConfig) { l.Certificate, l.Key = "missing.pem", "missing.key" },
	} {
		bad := &config{dir: folder, Log: c.Log}
		change(&bad.Log)
		if _, err := bad.trillian(filepath.Join(folder, "state", "log")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestNewLogNeedsANewTree: after a change of origin the tree of the old log is still configured.
func TestNewLogNeedsANewTree(t *testing.T) {
	state := t.TempDir()
	old := filepath.Join(state, "log")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "trillian"), []byte("tree 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if tree, err := trillianlog.BoundTree(old); tree != 7 || err != nil {
		t.Fatalf("the folder's tree is %d, %v", tree, err)
	}
	for tree, refused := range map[int64]bool{7: true, 8: false} {
		c := &config{Log: logConfig{Engine: engineTrillian, Address: "trillian.example:8090", Tree: tree}}
		if _, err := c.trillian(filepath.Join(state, "log-3")); (err != nil) != refused {
			t.Errorf("tree %d for the next log: %v", tree, err)
		}
		if _, err := c.trillian(old); err != nil {
			t.Errorf("tree %d for the old log: %v", tree, err)
		}
	}
}
