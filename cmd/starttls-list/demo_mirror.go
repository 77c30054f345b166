package main

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// demoMirror serves a folder on loopback as a mirror would. An attack may give other bytes in place of the folder's.
type demoMirror struct {
	url    string
	server *http.Server
	root   *os.Root

	mu     sync.Mutex // guards what follows
	attack func(path string, honest []byte) []byte
	total  traffic
}

// traffic is what a mirror has served so far.
type traffic struct {
	requests int
	bytes    int64
}

func serveMirror(folder string) (*demoMirror, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		root.Close()
		return nil, err
	}
	m := &demoMirror{url: "http://" + listener.Addr().String() + "/", root: root}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	go m.server.Serve(listener)
	return m, nil
}

func (m *demoMirror) close() {
	m.server.Close()
	m.root.Close()
}

// set starts an attack, or ends it when given nil.
func (m *demoMirror) set(attack func(path string, honest []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attack = attack
}

func (m *demoMirror) served() traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

func (m *demoMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	data, err := m.root.ReadFile(path)
	m.mu.Lock()
	if m.attack != nil {
		if forged := m.attack(path, data); forged != nil {
			data, err = forged, nil
		}
	}
	m.total.requests++
	m.total.bytes += int64(len(data))
	m.mu.Unlock()
	if err != nil {
		http.NotFound(w, r)
		return
	}
	o := mirror.NewObject(path, data)
	w.Header().Set("Content-Type", o.ContentType)
	w.Header().Set("Cache-Control", o.CacheControl)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}
