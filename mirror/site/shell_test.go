package site

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// The Check page gets a form where nobody probes else; a page that leads to who probes, and any other, stays as it is.
func TestPutProbing(t *testing.T) {
	op := whole(t)
	for probeURL, want := range map[string]bool{"": true, "https://probe.list.example/": false} {
		sink := fresh(t, op.read(Extra{ProbeURL: probeURL}))
		folder := t.TempDir()
		for _, name := range []string{"site/api/v1/list.json", "site/check/index.html"} {
			file := filepath.Join(folder, filepath.FromSlash(name))
			must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			must(t, os.WriteFile(file, sink.objects[name], 0o644))
		}
		root, err := os.OpenRoot(folder)
		must(t, err)
		defer root.Close()
		s, err := NewShell(root, fstest.MapFS{"a.html": {Data: []byte(`{{define "content"}}<p>{{.Data}}</p>{{end}}`)}})
		must(t, err)
		page, ok := s.PutProbing(sink.objects["site/check/index.html"], []byte("THE FORM"))
		if ok != want || bytes.Contains(page, []byte("THE FORM")) != want || bytes.Contains(page, []byte(`name="referrer" content="same-origin"`)) != want {
			t.Errorf("built with %q: %t\n%s", probeURL, ok, page)
		}
		if _, ok := s.PutProbing(sink.objects["site/index.html"], []byte("THE FORM")); ok {
			t.Error("the home page takes a form")
		}
		made, err := s.Page("a", "A title", "../../", "<b>")
		must(t, err)
		for _, part := range []string{"<p>&lt;b&gt;</p>", "<title>A title, " + s.view.Origin + "</title>", `href="../../style.css"`, `<meta name="referrer" content="no-referrer">`} {
			if !bytes.Contains(made, []byte(part)) {
				t.Errorf("%s is missing:\n%s", part, made)
			}
		}
	}
}
