package mirror_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

// A web server over a folder is the plainest mirror there is. Objects with a gzip form lie there in that form, next to
// a header that says so, as object stores and precompressing servers send them.
func TestHTTPConformance(t *testing.T) {
	storetest.RunReader(t, func(t *testing.T, objects []mirror.Object) mirror.Reader {
		folder, zipped := t.TempDir(), map[string]bool{}
		for _, o := range objects {
			path := filepath.Join(folder, filepath.FromSlash(o.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			data := o.Data
			if o.Gzip != nil {
				data, zipped["/"+o.Path] = o.Gzip, true
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path := filepath.Join(folder, filepath.FromSlash(r.URL.Path))
			info, err := os.Stat(path)
			if err != nil || info.IsDir() { // no listings, no index.html behind a folder's name
				http.NotFound(w, r)
				return
			}
			if zipped[r.URL.Path] {
				w.Header().Set("Content-Encoding", "gzip")
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			w.Write(data)
		}))
	})
}

func serve(t *testing.T, h http.Handler) *mirror.HTTP {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r, err := mirror.NewHTTP(server.URL, "policylist-test/1")
	if err != nil {
		t.Fatal(err)
	}
	return r
}
