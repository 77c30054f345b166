package main

import (
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const listedAtNoon = `{"policies": {
	"a.example": {"mode": "enforce", "mxs": ["mx.a.example"]},
	"t.example": {"mode": "testing", "mxs": ["mx.t.example"]}}}`

// machine is a mail server's machine that has joined a list, with a clock that tests move.
type machine struct {
	app
	t   *testing.T
	dir string
	at  time.Time
	out bytes.Buffer
}

// newMachine has joined the list an hour after its making; more is appended to its configuration.
func newMachine(t *testing.T, more string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), at: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	m.app = app{world: world{&m.out, &m.out, func() time.Time { return m.at }}, configPath: filepath.Join(m.dir, "c.toml")}
	fingerprint, err := publish(t.Context(), m.dir+"/operator", m.dir+"/public", "2026-03-01T12:00:00Z", []byte(listedAtNoon))
	if err != nil {
		t.Fatal(err)
	}
	m.runs(0, "join", m.dir+"/public", "--fingerprint", fingerprint, "--name", "example", "--state", m.dir+"/var", "--mta", "none")
	m.configure(more)
	return m
}

// configure replaces what was appended to the configuration before.
func (m *machine) configure(more string) {
	m.t.Helper()
	data, err := os.ReadFile(m.configPath)
	if err != nil {
		m.t.Fatal(err)
	}
	joined, _, _ := strings.Cut(string(data), "# more\n")
	if err := os.WriteFile(m.configPath, []byte(joined+"# more\n"+strings.ReplaceAll(more, "DIR", m.dir)), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// runs returns what the command prints.
func (m *machine) runs(code int, args ...string) string {
	m.t.Helper()
	m.out.Reset()
	if got := run(m.t.Context(), append(args, "--config", m.configPath), m.world); got != code {
		m.t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, m.out.String())
	}
	return m.out.String()
}

// serving is the daemon without its sockets.
func (m *machine) serving(log io.Writer) *served {
	m.t.Helper()
	cfg, err := m.loadConfig()
	if err != nil {
		m.t.Fatal(err)
	}
	lists, err := m.openLists(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	s := newServed(&m.app, cfg, log)
	if err := s.prepare(lists); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// get asks the daemon's web server without its socket.
func get(s *served, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.webHandler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}
