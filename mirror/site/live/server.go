package live

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/mirror/visitors"
	"github.com/starttls-everywhere/policylist/policy"
)

//go:embed pages
var embedded embed.FS

// Path is where the form is, below the root of the site's folder.
const Path = "/site/probe/"

// checkPath is the page of the site that gets the form.
const checkPath = "/site/check/"

// resultPath and a look's name are where its result is.
const resultPath = Path + "result/"

// Options configure a Server. The zero value is good.
type Options struct {
	Repository string         // https address of the list's Git repository; "" for none
	Branch     string         // of it; "" means main
	Trusted    []netip.Prefix // proxies whose X-Forwarded-For is believed
	PerHour    int            // looks that one IPv4 address, or IPv6 /64, may ask for; 0 means 12
	Parallel   int            // looks at a time; 0 means 4
	Queue      int            // looks that wait; 0 means 32
	Cooldown   time.Duration  // between two looks at one domain; 0 means 10 min
	Deadline   time.Duration  // of one look; 0 means 5 min
	Now        func() time.Time
	Log        *slog.Logger // of this machine's own troubles; no word of who asked for what
}

// Server has domains probed for visitors.
type Server struct {
	opts   Options
	shell  *site.Shell
	prober Prober
	tokens *tokens
	jobs   *jobs
	limit  *visitors.Limiter
	cross  *http.CrossOriginProtection
}

// New makes a Server whose pages stand beside the site in the folder root. It has goroutines only while it looks at domains.
func New(root *os.Root, p Prober, o Options) (*Server, error) {
	for _, d := range []struct{ field, fallback *int }{{&o.PerHour, new(12)}, {&o.Parallel, new(4)}, {&o.Queue, new(32)}} {
		*d.field = cmp.Or(*d.field, *d.fallback)
	}
	o.Branch, o.Cooldown, o.Deadline = cmp.Or(o.Branch, "main"), cmp.Or(o.Cooldown, 10*time.Minute), cmp.Or(o.Deadline, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	templates, err := fs.Sub(embedded, "pages")
	if err != nil {
		return nil, err
	}
	shell, err := site.NewShell(root, templates)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, shell: shell, prober: p, tokens: newTokens(), limit: visitors.NewLimiter(o.PerHour), cross: http.NewCrossOriginProtection()}
	s.jobs = newJobs(&s.opts, s.look)
	return s, nil
}

// Stop takes in no more, and waits for the looks that go on; when ctx ends first they are broken off.
func (s *Server) Stop(ctx context.Context) { s.jobs.stop(ctx) }

// Handler answers below Path, and leaves all else to next.
func (s *Server) Handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET "+checkPath+"{$}", func(w http.ResponseWriter, r *http.Request) { s.showCheck(w, r, next) })
	mux.HandleFunc("GET "+checkPath+"index.html", func(w http.ResponseWriter, r *http.Request) { s.showCheck(w, r, next) })
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusNotFound, "There is no such page.")
	})
	mux.HandleFunc("GET "+Path+"{$}", s.showForm)
	mux.HandleFunc("POST "+Path+"{$}", s.ask)
	mux.HandleFunc("GET "+resultPath+"{id}", s.showResult)
	mux.HandleFunc("GET "+resultPath+"{id}/json", s.serveDocument)
	return mux
}

// security is what a page of the site says in itself, and that no other page may show it in a frame, which only a header can
// say.
const security = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// send answers with what nobody keeps: neither a proxy, nor a browser's history of pages.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", security)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with none at all, browsers would say that a form's page is nobody's
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // whoever asked may be gone
}

// page renders and sends.
func (s *Server) page(w http.ResponseWriter, status int, name, title, up string, data any) {
	body, err := s.shell.Page(name, title, up, data)
	if err != nil {
		s.opts.Log.Error("cannot make a page", "page", name, "err", err)
		send(w, http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("the page cannot be made\n"))
		return
	}
	send(w, status, "text/html; charset=utf-8", body)
}

// formPage is the form, with what was wrong with the last one.
type formPage struct {
	Action  string // where it goes, from where it stands
	Token   string
	Name    string // as it was typed
	Problem string
	Minutes int // of the cooldown
}

func (s *Server) showForm(w http.ResponseWriter, r *http.Request) {
	s.form(w, r, http.StatusOK, "", "")
}

func (s *Server) form(w http.ResponseWriter, r *http.Request, status int, name, problem string) {
	s.page(w, status, "form", "Check a domain now", "../", s.newForm(r, "./", name, problem))
}

func (s *Server) newForm(r *http.Request, action, name, problem string) formPage {
	ticket := s.tokens.give(sourceOf(r, s.opts.Trusted), s.opts.Now())
	return formPage{action, ticket.String(), site.Harmless(name), problem, int(s.opts.Cooldown.Minutes())}
}

// maxDepth is how many folders below site/ a page of ours stands, at most. Every link of a page begins with as many "../", so
// that a long name without a page would be answered with thirty times its length.
const maxDepth = 4

// fail says why there is nothing to see.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, why string) {
	depth := strings.Count(r.URL.EscapedPath(), "/") - strings.Count("/site/", "/") // a browser counts no %2F
	if depth > maxDepth {
		send(w, status, "text/plain; charset=utf-8", []byte(why+"\n"))
		return
	}
	s.page(w, status, "message", "Check a domain", strings.Repeat("../", max(0, depth)), why)
}

// ask takes the form. It spends nothing on what cannot be a visitor's wish: the cheap questions come first, and the token is
// used up by the last.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	if s.cross.Check(r) != nil {
		s.fail(w, r, http.StatusForbidden, "This request comes from another site's page.")
		return
	}
	f, err := readForm(w, r)
	switch {
	case errors.Is(err, errTooLarge):
		s.fail(w, r, http.StatusRequestEntityTooLarge, "This is more than the form sends.")
		return
	case err != nil:
		s.fail(w, r, http.StatusBadRequest, "This is not what the form sends.")
		return
	}
	source, now := sourceOf(r, s.opts.Trusted), s.opts.Now()
	ticket, err := s.tokens.check(f.token, source, now)
	if err != nil {
		s.form(w, r, http.StatusForbidden, f.name, "The form was too old, or was loaded from another network. Send it once more.")
		return
	}
	domain, err := f.domain()
	if err != nil {
		s.form(w, r, http.StatusBadRequest, f.name, "This is no mail domain. It looks like example.org.")
		return
	}
	// Used tokens are remembered, so that one network must not use up more than its share of them.
	if wait, ok := s.limit.Allow(source, now); !ok {
		s.refuse(w, r, f.name, errFull, wait)
		return
	}
	if err := s.tokens.take(ticket, now); err != nil {
		s.refuse(w, r, f.name, err, time.Minute)
		return
	}
	j, err := s.jobs.ask(domain, source)
	if err != nil {
		s.refuse(w, r, f.name, err, time.Minute)
		return
	}
	w.Header().Set("Location", "result/"+j.id) // relative: a proxy may have the site below a path of its own
	send(w, http.StatusSeeOther, "text/plain; charset=utf-8", nil)
}

// refuse says that it is not now.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, name string, err error, wait time.Duration) {
	status, problem := http.StatusTooManyRequests, fmt.Sprintf("From your network many domains were asked for. In %d minutes there is room for another.", int(wait.Minutes())+1)
	switch {
	case errors.Is(err, errToken):
		s.form(w, r, http.StatusForbidden, name, "This form was sent before. Send it once more.")
		return
	case errors.Is(err, errBusy):
		status, problem = http.StatusServiceUnavailable, "Many domains are waiting. Try again in a minute."
	case errors.Is(err, errShare):
		problem = "Two domains that your network asked for are being looked at. Wait for one of them."
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	s.form(w, r, status, name, problem)
}

// look has a domain looked at, and makes what its visitors get; nothing where that brings the program down.
func (s *Server) look(ctx context.Context, d policy.Domain) (page, document []byte) {
	defer func() {
		if r := recover(); r != nil {
			page, document = nil, nil
			s.opts.Log.Error("a look panicked", "err", strings.ReplaceAll(fmt.Sprint(r), d.String(), "(domain)"))
		}
	}()
	report, err := s.prober.Probe(ctx, d)
	if err != nil {
		if ctx.Err() == nil {
			s.opts.Log.Error("a domain could not be looked at", "err", strings.ReplaceAll(err.Error(), d.String(), "(domain)"))
		}
		report = Report{Unfinished: true}
	}
	report.Domain, report.At = d.String(), stamp(s.opts.Now())
	report.clean()
	if report.Entry != nil {
		report.Entry.fillLink(s.opts.Repository, s.opts.Branch, report.Domain)
	}
	if page, err = s.shell.Page("result", d.String(), "../../", resultPage{report, s.opts.Repository, int(s.opts.Cooldown.Minutes())}); err == nil {
		document, err = json.Marshal(report)
	}
	if err != nil {
		s.opts.Log.Error("cannot make a result", "err", err)
	}
	return page, document
}

// resultPage is a report as a visitor gets it.
type resultPage struct {
	Report
	Repository string
	Minutes    int
}

// again is how long a visitor's browser waits before it asks again, in seconds.
const again = "4"

func (s *Server) showResult(w http.ResponseWriter, r *http.Request) {
	st, ok := s.jobs.find(r.PathValue("id"))
	switch {
	case !ok:
		s.fail(w, r, http.StatusNotFound, "There is no such result any more. Ask again.")
	case st.Ended.IsZero():
		w.Header().Set("Refresh", again)
		s.page(w, http.StatusOK, "waiting", "Looking at "+st.Domain, "../../", st)
	case st.page == nil:
		s.fail(w, r, http.StatusInternalServerError, "The page cannot be made.")
	default:
		send(w, http.StatusOK, "text/html; charset=utf-8", st.page)
	}
}

func (s *Server) serveDocument(w http.ResponseWriter, r *http.Request) {
	st, ok := s.jobs.find(r.PathValue("id"))
	switch {
	case !ok:
		send(w, http.StatusNotFound, "application/json", []byte(`{"error":"no such result"}`))
	case st.Ended.IsZero():
		w.Header().Set("Retry-After", again)
		send(w, http.StatusAccepted, "application/json", []byte(`{"error":"not yet"}`))
	case st.document == nil:
		send(w, http.StatusInternalServerError, "application/json", []byte(`{"error":"the result cannot be made"}`))
	default:
		send(w, http.StatusOK, "application/json", st.document)
	}
}
