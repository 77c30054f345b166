package lab

import (
	"io"
	"net/http"
	"strings"
)

// WebFault is how the web server misbehaves for one host. The zero value is no fault.
type WebFault string

const (
	WebRedirect   WebFault = "redirect"    // 301 to www.<host>
	WebNotFound   WebFault = "not-found"   // 404
	WebHTML       WebFault = "html"        // Content-Type text/html
	WebNoType     WebFault = "no-type"     // no Content-Type
	WebCert       WebFault = "cert"        // certificate for another name
	WebExpired    WebFault = "expired"     // certificate out of its time
	WebExpiring   WebFault = "expiring"    // certificate that ends in two days
	WebWildcard   WebFault = "wildcard"    // certificate for *.<domain>: no fault
	WebNoTLS      WebFault = "no-tls"      // an alert in the place of a certificate
	WebHang       WebFault = "hang"        // takes the request and says nothing
	WebAbort      WebFault = "abort"       // hangs up in the middle of the answer
	WebHeader     WebFault = "header"      // a header without an end
	WebEncoding   WebFault = "encoding"    // Content-Encoding gzip, which nobody asked for
	WebLarge      WebFault = "large"       // a body without an end
	WebEscapes    WebFault = "escapes"     // terminal escapes in status line, header and body
	WebPlainASCII WebFault = "plain-ascii" // Content-Type "Text/Plain" without parameters: no fault
)

// misbehave plays a fault and reports whether that was the whole answer.
func (w *webServer) misbehave(out http.ResponseWriter, r *http.Request, fault WebFault) bool {
	switch fault {
	case WebNotFound:
		http.NotFound(out, r)
	case WebRedirect:
		http.Redirect(out, r, "https://www."+r.Host+r.URL.Path, http.StatusMovedPermanently)
	case WebHang:
		select {
		case <-w.done:
		case <-r.Context().Done():
		}
	case WebAbort:
		out.Header().Set("Content-Length", "1000")
		io.WriteString(out, "version: ")
		panic(http.ErrAbortHandler)
	case WebHeader:
		out.Header().Set("X-Long", strings.Repeat("x", 4<<20))
	case WebLarge:
		out.Header().Set("Content-Type", "text/plain")
		for line := []byte(strings.Repeat("x", 1023) + "\n"); ; {
			if _, err := out.Write(line); err != nil {
				return true
			}
		}
	case WebEscapes:
		out.Header().Set("Content-Type", "text/html; x=\"<script>\"")
		out.Header().Set("Location", "https://www.example/\"><script>alert(1)</script>")
		out.WriteHeader(http.StatusFound)
		io.WriteString(out, "\x1b[2J\x1b]0;owned\a<script>alert(1)</script>\n")
	default:
		return false
	}
	return true
}

// mediaType is the Content-Type of a policy; nil sends none.
func mediaType(fault WebFault) []string {
	switch fault {
	case WebHTML:
		return []string{"text/html"}
	case WebNoType:
		return nil
	case WebPlainASCII:
		return []string{"Text/Plain"}
	}
	return []string{"text/plain; charset=utf-8"}
}
