package faulty

import (
	"maps"
	"net/http"
	"slices"
)

// version is an object as it once was; nil: absent.
type version *answer

// History is what a proxy has seen of objects, for answers that are out of date.
type History map[string][]version

// Remember returns what was seen until now.
func (p *Proxy) Remember() History {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.copied(p.versions)
}

// Recall sets back what was seen, when the store was set back, too. Nobody may be asking then.
func (p *Proxy) Recall(h History) {
	p.hangUp()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.versions, p.held = p.copied(h), nil
}

func (p *Proxy) copied(h History) History {
	out := maps.Clone(h)
	for path := range out {
		out[path] = slices.Clone(out[path])
	}
	return out
}

// record keeps what a request shows of an object.
func (p *Proxy) record(r *http.Request, body []byte, a *answer) {
	var v version
	switch {
	case isListing(r):
		return
	case r.Method == http.MethodPut && a.status == http.StatusOK:
		v = &answer{http.StatusOK, a.header.Clone(), body}
		for _, name := range []string{"Content-Type", "Cache-Control", "Content-Encoding"} {
			if value := r.Header.Get(name); value != "" {
				v.header.Set(name, value)
			}
		}
	case r.Method == http.MethodGet && a.status == http.StatusOK:
		v = a
	case r.Method == http.MethodGet && a.status == http.StatusNotFound, r.Method == http.MethodDelete && a.status < 300:
	default:
		return
	}
	p.mu.Lock()
	seen := p.versions[r.URL.Path]
	if n := len(seen); n == 0 || tag(seen[n-1]) != tag(v) {
		p.versions[r.URL.Path] = append(seen, v)
	}
	after := p.after
	p.mu.Unlock()
	if after != nil && r.Method == http.MethodPut && v != nil {
		after(r.URL.Path)
	}
}

func tag(v version) string {
	if v == nil {
		return ""
	}
	return v.header.Get("ETag")
}

// stale is the newest answer about an object that is not the one that the gateway gives now; that it is absent, where no
// other is known.
func (p *Proxy) stale(r *http.Request, now *answer) *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	current := ""
	if now.status == http.StatusOK {
		current = now.header.Get("ETag")
	}
	for _, v := range slices.Backward(p.versions[r.URL.Path]) {
		if v != nil && tag(v) != current {
			old := &answer{v.status, v.header.Clone(), v.body}
			old.header.Set("Date", now.header.Get("Date"))
			return old
		}
	}
	old := errorAnswer(http.StatusNotFound)
	old.header.Set("Date", now.header.Get("Date"))
	return old
}
