package live

import (
	"bytes"
	"net/http"
)

// showCheck serves the Check page of the site with the form in it. A site that was built with the address of who probes leads
// there, and is left as it is.
func (s *Server) showCheck(w http.ResponseWriter, r *http.Request, next http.Handler) {
	was := &kept{header: http.Header{}}
	plain := r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Modified-Since", "If-None-Match", "If-Range", "If-Match", "If-Unmodified-Since"} {
		plain.Header.Del(name) // the page is another for every visitor
	}
	plain.Method = http.MethodGet
	next.ServeHTTP(was, plain)
	form, err := s.shell.Part("form", "form", s.newForm(r, "../probe/", "", ""))
	page, ok := s.shell.PutProbing(was.body.Bytes(), form)
	if was.status != http.StatusOK || err != nil || !ok {
		next.ServeHTTP(w, r)
		return
	}
	send(w, http.StatusOK, "text/html; charset=utf-8", page)
}

// kept is an answer that nobody has got yet: a page of the site, some kilobytes.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader implements http.ResponseWriter.
func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

// Write implements http.ResponseWriter.
func (k *kept) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(b)
}
