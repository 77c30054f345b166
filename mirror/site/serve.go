package site

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Handler serves a folder with a site, and whatever else of a mirror is there, as a web server should: with the content
// types and cache headers of the format, no listings, nothing outside the folder, and no name that no mirror has. Scripts
// of other sites may read the API.
func Handler(root *os.Root) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served", http.StatusMethodNotAllowed)
			return
		}
		serve(w, r, root)
	})
}

func serve(w http.ResponseWriter, r *http.Request, root *os.Root) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	if mirror.CheckPath(name) != nil {
		http.NotFound(w, r)
		return
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that lies there would keep its reader waiting
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR): // below a file there is nothing
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, "the file cannot be read", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir() && hasIndex(root, name):
		// Relative links on the page need the slash. A proxy may have the site below a path of its own, which http.Redirect
		// would not know.
		w.Header().Set("Location", path.Base(name)+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	case err != nil || !info.Mode().IsRegular():
		http.NotFound(w, r)
		return
	}
	h, o := w.Header(), mirror.NewObject(name, nil)
	h.Set("Content-Type", o.ContentType)
	h.Set("Cache-Control", o.CacheControl)
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasPrefix(name, "site/api/") {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}

func hasIndex(root *os.Root, folder string) bool {
	info, err := root.Stat(folder + "/index.html")
	return err == nil && info.Mode().IsRegular()
}
