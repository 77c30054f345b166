package live

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// Another site's page cannot send the form in a visitor's name.
func TestOtherSites(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(http.Header){
		"another origin":  func(h http.Header) { h.Set("Origin", "https://evil.example") },
		"nobody's origin": func(h http.Header) { h.Set("Origin", "null") },
		"cross-site":      func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"a sister's page": func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
	} {
		r := post("a.example", w.token(home))
		change(r.Header)
		if rec := w.do(r, home); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	for name, change := range map[string]func(http.Header){
		"own page": func(h http.Header) { h.Set("Sec-Fetch-Site", "same-origin") }, "no browser": func(h http.Header) { h.Del("Origin") },
	} {
		r := post("a.example", w.token(home))
		change(r.Header)
		if rec := w.do(r, home); rec.Code != 303 {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

// zeros never end.
type zeros struct{ read int64 }

func (z *zeros) Read(b []byte) (int, error) {
	z.read += int64(len(b))
	return len(b), nil
}

// What the form does not send is refused, and not read to its end.
func TestBodies(t *testing.T) {
	w := newWorld(t, nil)
	endless := &zeros{}
	r := httptest.NewRequest("POST", Path, endless)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if rec := w.do(r, home); rec.Code != http.StatusRequestEntityTooLarge || endless.read > 4*maxForm {
		t.Errorf("an endless body: %d after %d bytes", rec.Code, endless.read)
	}
	for name, change := range map[string]func(*http.Request){
		"another type":  func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"no type":       func(r *http.Request) { r.Header.Del("Content-Type") },
		"two domains":   func(r *http.Request) { r.Body = body("domain=a.example&domain=b.example&token=x") },
		"another field": func(r *http.Request) { r.Body = body("domain=a.example&token=x&y=z") },
		"no field":      func(r *http.Request) { r.Body = body("") },
		"in the address": func(r *http.Request) {
			r.URL.RawQuery = "domain=a.example&token=" + w.token(home)
			r.Body = body("")
		},
	} {
		r := post("a.example", w.token(home))
		change(r)
		if rec := w.do(r, home); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

func body(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

func FuzzForm(f *testing.F) {
	f.Add("domain=a.example&token=x")
	f.Add("domain=b%C3%BCcher.example&token=")
	f.Add("token=x&domain=%00;&a=b")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseForm(text)
		if err != nil {
			return
		}
		d, err := form.domain()
		if err != nil {
			return
		}
		if again, err := policy.ParseDomain(d.String()); err != nil || again != d {
			t.Errorf("%q gave %q", text, d)
		}
		if bytes.ContainsAny([]byte(d.String()), "<>\"'& ") {
			t.Errorf("%q", d)
		}
	})
}
