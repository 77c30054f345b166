package site

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestHandler(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	folder := filepath.Join(outside, "public")
	sink := fresh(t, whole(t).read(Extra{}))
	for p, data := range sink.objects {
		file := filepath.Join(folder, filepath.FromSlash(p))
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, data, 0o644))
	}
	must(t, os.Symlink("../secret", filepath.Join(folder, "link")))
	must(t, os.MkdirAll(filepath.Join(folder, ".tmp"), 0o755))
	must(t, os.WriteFile(filepath.Join(folder, ".tmp/half"), nil, 0o644))
	must(t, syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o644))
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	h := Handler(root)
	for _, tt := range []struct {
		method, path string
		code         int
		contentType  string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/site/", 200, "text/html; charset=utf-8"},
		{"GET", "/site", 301, ""},
		{"GET", "/site/domain/a.example/", 200, "text/html; charset=utf-8"},
		{"GET", "/site/domain/a.example/a.example.tlog-proof", 200, "text/plain; charset=utf-8"},
		{"GET", "/site/api/v1/list.json", 200, "application/json"},
		{"GET", "/site/changes/atom.xml", 200, "application/atom+xml"},
		{"GET", "/site/changes/changes.jsonl", 200, "application/jsonl"},
		{"GET", "/site/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/site/site.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/site/icon.svg", 200, "image/svg+xml"},
		{"GET", "/site/api/", 404, ""},
		{"GET", "/site/api", 404, ""},
		{"GET", "/site/nothing", 404, ""},
		{"GET", "/.tmp/half", 404, ""},
		{"GET", "/../secret", 404, ""},
		{"GET", "/site/../../secret", 404, ""},
		{"GET", "/%2e%2e/secret", 404, ""},
		{"GET", "/link", 500, ""},
		{"GET", "/pipe", 404, ""},
		{"GET", "/index.html/", 404, ""},
		{"GET", "/site/api/v1/list.json/more", 404, ""},
		{"GET", "/site//index.html", 404, ""},
		{"GET", "//evil.example/site", 404, ""},
		{"POST", "/", 405, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.code || tt.contentType != "" && w.Header().Get("Content-Type") != tt.contentType || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s: %d %s %q", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if to := w.Header().Get("Location"); to != "" && to != "site/" {
			t.Errorf("%s leads to %q, which a proxy that has the site below a path does not know", tt.path, to)
		}
		cors := w.Header().Get("Access-Control-Allow-Origin")
		if (cors == "*") != (w.Code == http.StatusOK && strings.HasPrefix(tt.path, "/site/api/")) {
			t.Errorf("%s: %q", tt.path, cors)
		}
		if w.Code == http.StatusOK && (w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") == "") {
			t.Errorf("%s: %v", tt.path, w.Header())
		}
	}
}
