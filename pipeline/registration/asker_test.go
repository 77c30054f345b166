package registration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func domain(t testing.TB, name string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// registry is a server that answers for names as it is told.
type registry struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by domain
	asked   []string
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{answers: map[string]http.HandlerFunc{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		name, found := strings.CutPrefix(q.URL.Path, "/rdap/domain/")
		r.mu.Lock()
		if found {
			r.asked = append(r.asked, name)
		}
		answer := r.answers[name]
		r.mu.Unlock()
		switch {
		case !found || q.Header.Get("Accept") != "application/rdap+json" || q.UserAgent() != "test":
			w.WriteHeader(http.StatusBadRequest)
		case answer == nil:
			w.WriteHeader(http.StatusNotFound)
		default:
			answer(w, q)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// says answers with a text.
func says(format string, args ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, args...) }
}

// object is an answer about a domain, with events "action date".
func object(name string, events ...string) http.HandlerFunc {
	var list []string
	for _, e := range events {
		action, date, _ := strings.Cut(e, " ")
		list = append(list, fmt.Sprintf(`{"eventAction":%q,"eventDate":%q}`, action, date))
	}
	return says(`{"objectClassName":"domain","ldhName":%q,"events":[%s],"status":["active"]}`, name, strings.Join(list, ","))
}

// askerOf asks these registries: "" for a suffix that nobody answers for.
func askerOf(t *testing.T, servers map[string]*registry) (*Asker, *[]time.Duration) {
	t.Helper()
	var services []string
	pool := x509.NewCertPool()
	for suffix, r := range servers {
		services = append(services, fmt.Sprintf(`[[%q],["http://127.0.0.1:1/","%s/rdap"]]`, suffix, r.URL))
		pool.AddCert(r.Certificate())
	}
	boot, err := ParseBootstrap([]byte(`{"version":"1.0","services":[` + strings.Join(services, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	for suffix := range boot.servers { // http, and port 1, are only for tests that allow them
		boot.servers[suffix] = boot.servers[suffix][1:]
	}
	var slept []time.Duration
	var mu sync.Mutex
	return &Asker{
		Bootstrap: boot, Agent: "test", Interval: time.Second, Most: 100, Every: 20 * time.Hour, Timeout: 10 * time.Second, Loopback: true,
		Now: func() time.Time { return noon },
		Sleep: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			slept = append(slept, d)
			return ctx.Err()
		},
		roots: func(tr *http.Transport) { tr.TLSClientConfig = &tls.Config{RootCAs: pool} },
	}, &slept
}

// statuses are the lines as "domain status registered".
func statuses(f File) (out []string) {
	for _, l := range f.lines {
		s := fmt.Sprintf("%s %s", l.Domain, l.Status)
		if !l.Registered.IsZero() {
			s += " " + l.Registered.Format(time.DateOnly)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// TestAsk: one question a registered name, the latest registration counts, and what nobody answers for is counted.
func TestAsk(t *testing.T) {
	r := newRegistry(t)
	r.answers["a.example"] = object("a.example", "registration 2020-05-01T00:00:00Z", "last_changed 2026-02-01T00:00:00Z", "reregistration 2026-02-03T04:05:06+01:00")
	r.answers["b.example"] = object("B.EXAMPLE.", "registration 2019-01-02T03:04:05.678Z", "expiration 2030-01-01T00:00:00Z")
	r.answers["c.example"] = object("c.example", "transfer 2026-01-01T00:00:00Z")
	a, slept := askerOf(t, map[string]*registry{"example": r})
	var domains []policy.Domain
	for _, name := range []string{"b.example", "mail.b.example", "a.example", "c.example", "gone.example", "x.nobody"} {
		domains = append(domains, domain(t, name))
	}
	file, report, err := a.Ask(t.Context(), domains, File{})
	want := []string{"a.example ok 2026-02-03", "b.example ok 2019-01-02", "c.example undated", "gone.example absent", "x.nobody nobody"}
	if got := statuses(file); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %q", err, got)
	}
	if !slices.Equal(r.asked, []string{"a.example", "b.example", "c.example", "gone.example"}) || !slices.Equal(*slept, []time.Duration{time.Second, time.Second, time.Second}) {
		t.Errorf("asked %q, slept %v", r.asked, *slept)
	}
	if report.Domains != 5 || report.Asked != 4 || report.Left != 0 || report.Status[OK] != 2 || report.Status[Nobody] != 1 {
		t.Errorf("%+v", report)
	}
	if at := file.Registered(domain(t, "mail.b.example")); at.Format(time.RFC3339) != "2019-01-02T03:04:05Z" {
		t.Errorf("registered %s", at)
	}

	// What is a day old is asked for again, and what fails then takes nothing from what was known.
	r.asked = nil
	again, report, err := a.Ask(t.Context(), domains, file)
	if err != nil || len(r.asked) != 0 || report.Asked != 0 || !slices.Equal(statuses(again), want) {
		t.Errorf("at once: %v, asked %q, %+v", err, r.asked, report)
	}
	a.Now = func() time.Time { return noon.Add(21 * time.Hour) }
	r.answers["a.example"] = says("hello")
	delete(r.answers, "b.example")
	again, _, err = a.Ask(t.Context(), domains, file)
	want = []string{"a.example failed 2026-02-03", "b.example absent 2019-01-02", "c.example undated", "gone.example absent", "x.nobody nobody"}
	if got := statuses(again); err != nil || !slices.Equal(got, want) {
		t.Errorf("a day later: %v, %q", err, got)
	}
}

// TestHostileAnswers: none of these is a date, none takes long or much, and all leave a line that can be printed.
func TestHostileAnswers(t *testing.T) {
	r := newRegistry(t)
	a, _ := askerOf(t, map[string]*registry{"example": r})
	a.Interval = 0
	plain := httptest.NewServer(object("a.example", "registration 2020-05-01T00:00:00Z"))
	t.Cleanup(plain.Close)
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, to, http.StatusFound) }
	}
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":               says("<html>\x1b[2J"),
		"nothing":               says(""),
		"deep":                  says("%s", strings.Repeat(`{"events":[`, 20000)),
		"endless":               says(`{"objectClassName":"domain","ldhName":"a.example","remarks":"%s"}`, strings.Repeat("x", maxAnswer)),
		"an entity":             says(`{"objectClassName":"entity","ldhName":"a.example","events":[]}`),
		"another domain":        object("evil.example", "registration 2020-05-01T00:00:00Z"),
		"no name":               says(`{"objectClassName":"domain","events":[{"eventAction":"registration","eventDate":"2020-05-01T00:00:00Z"}]}`),
		"the future":            object("a.example", "registration 2020-05-01T00:00:00Z", "reregistration 2026-03-02T12:00:00Z"),
		"the past":              object("a.example", "registration 0001-01-01T00:00:00Z"),
		"no date":               object("a.example", "registration yesterday"),
		"many events":           object("a.example", slices.Repeat([]string{"registration 2020-05-01T00:00:00Z"}, maxEvents+1)...),
		"events that are none":  says(`{"objectClassName":"domain","ldhName":"a.example","events":"many"}`),
		"a redirect to itself":  redirect("/rdap/domain/a.example"),
		"a redirect off https":  redirect("http://198.51.100.1/domain/a.example"),
		"a redirect to a file":  redirect("file:///etc/passwd"),
		"a redirect inwards":    redirect("https://192.168.0.1/domain/a.example"),
		"a redirect with names": redirect("https://user:secret@rdap.example/domain/a.example"),
		"a broken server":       func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"an error":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a large header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 200<<10))
		},
	} {
		r.answers["a.example"] = answer
		file, _, err := a.Ask(t.Context(), []policy.Domain{domain(t, "a.example")}, File{})
		line := file.lines[domain(t, "a.example")]
		if err != nil || line.Status != Failed || !line.Registered.IsZero() || line.Detail == "" || strings.ContainsFunc(line.Detail, func(c rune) bool { return c < ' ' || c > '~' && c != '…' }) {
			t.Errorf("%s: %+v, %v", name, line, err)
		}
	}
	// A server whose certificate nobody vouches for.
	r.answers["a.example"] = object("a.example", "registration 2020-05-01T00:00:00Z")
	trusting := a.roots
	a.roots = nil
	if file, _, err := a.Ask(t.Context(), []policy.Domain{domain(t, "a.example")}, File{}); err != nil || !strings.Contains(file.lines[domain(t, "a.example")].Detail, "certificate") {
		t.Errorf("a stranger's server: %v, %v", statuses(file), err)
	}
	a.roots = trusting
	// One that says nothing is given up.
	a.Timeout = 50 * time.Millisecond
	r.answers["a.example"] = func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprint(w, "{")
		w.(http.Flusher).Flush()
		<-q.Context().Done()
	}
	if file, _, err := a.Ask(t.Context(), []policy.Domain{domain(t, "a.example")}, File{}); err != nil || file.lines[domain(t, "a.example")].Status != Failed {
		t.Errorf("a silent registry: %v, %v", statuses(file), err)
	}
	a.Timeout = 10 * time.Second
	// Without the word of a test nobody on loopback is asked, not even by a redirect.
	r.answers["a.example"] = redirect(plain.URL)
	if file, _, _ := a.Ask(t.Context(), []policy.Domain{domain(t, "a.example")}, File{}); file.lines[domain(t, "a.example")].Status != OK {
		t.Errorf("a redirect that tests allow: %v", statuses(file))
	}
	a.Loopback = false
	r.asked = nil
	if file, _, _ := a.Ask(t.Context(), []policy.Domain{domain(t, "a.example")}, File{}); file.lines[domain(t, "a.example")].Status != Failed || len(r.asked) > 0 {
		t.Errorf("loopback was asked: %v", statuses(file))
	}
}

// TestRegistriesAreLeftAlone: so many questions a run, those first that were asked longest ago, and none to one that is busy
// or broken; others are asked all the same.
func TestRegistriesAreLeftAlone(t *testing.T) {
	few, busy, broken := newRegistry(t), newRegistry(t), newRegistry(t)
	a, _ := askerOf(t, map[string]*registry{"example": few, "test": busy, "invalid": broken})
	a.Most = 3
	var domains []policy.Domain
	for i := range 5 {
		few.answers[fmt.Sprintf("d%d.example", i)] = object(fmt.Sprintf("d%d.example", i), "registration 2020-05-01T00:00:00Z")
		for _, suffix := range []string{"example", "test", "invalid"} {
			domains = append(domains, domain(t, fmt.Sprintf("d%d.%s", i, suffix)))
		}
		busy.answers[fmt.Sprintf("d%d.test", i)] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		broken.answers[fmt.Sprintf("d%d.invalid", i)] = says("oops")
	}
	file, report, err := a.Ask(t.Context(), domains, File{})
	if err != nil || len(few.asked) != 3 || len(busy.asked) != 1 || len(broken.asked) != patience || report.Left != 2+4+2 || report.Asked != 7 {
		t.Fatalf("%v: %q %q %q, %+v", err, few.asked, busy.asked, broken.asked, report)
	}
	few.asked = nil
	a.Now = func() time.Time { return noon.Add(24 * time.Hour) }
	if _, _, err = a.Ask(t.Context(), domains, file); err != nil || !slices.Equal(few.asked, []string{"d3.example", "d4.example", "d0.example"}) {
		t.Errorf("%v: then %q", err, few.asked)
	}

	// A person who stops the program keeps what was found out.
	ctx, cancel := context.WithCancel(t.Context())
	few.answers["d1.example"] = func(w http.ResponseWriter, _ *http.Request) { cancel() }
	few.asked, a.Most = nil, 5
	file, report, err = a.Ask(ctx, domains[:15:15], File{})
	if !errors.Is(err, context.Canceled) || file.lines[domain(t, "d0.example")].Status != OK || report.Left == 0 {
		t.Errorf("stopped: %v, %v, %+v", err, statuses(file), report)
	}
}

// TestBootstrap: the longest suffix counts, and only https does.
func TestBootstrap(t *testing.T) {
	boot, err := ParseBootstrap([]byte(`{"version":"1.0","publication":"2026-01-01T00:00:00Z","services":[
		[["Example","test"],["http://rdap.example/","https://rdap.example/x"]], [["co.example"],["https://co.example/"]], [["plain"],["http://rdap.plain/"]],
		[["odd"],["https://user@rdap.odd/","https://rdap.odd/?q=","gopher://rdap.odd/","%"]], [["local"],["http://127.0.0.1:80","http://[::1]/r/"]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.example": "https://rdap.example/x/", "a.co.example": "https://co.example/", "co.test": "https://rdap.example/x/",
		"a.plain": "", "a.odd": "", "a.unknown": "", "a.local": ""} {
		if got := boot.Server(domain(t, name), false); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := boot.Server(domain(t, "a.local"), true); got != "http://127.0.0.1:80/" {
		t.Errorf("with loopback: %q", got)
	}
	if got := boot.Server(domain(t, "a.plain"), true); got != "" {
		t.Errorf("plain, with loopback: %q", got)
	}
	for _, text := range []string{"", "{}", `{"version":"2.0","services":[[["a"],["b"]]]}`, `{"version":"1.0","services":[]}`, `{"version":"1.0","services":[[["a"]]]}`,
		`{"version":"1.0","services":{}}`, strings.Repeat(" ", MaxBootstrap+1)} {
		if _, err := ParseBootstrap([]byte(text)); !errors.Is(err, ErrBootstrap) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestFetch: the bootstrap registry comes from https, by the same rules as answers.
func TestFetch(t *testing.T) {
	a, _ := askerOf(t, map[string]*registry{"example": newRegistry(t)})
	server := httptest.NewServer(says("hello"))
	t.Cleanup(server.Close)
	if data, err := a.Fetch(t.Context(), server.URL); err != nil || string(data) != "hello" {
		t.Errorf("%q, %v", data, err)
	}
	a.Loopback = false
	for _, ref := range []string{server.URL, "ftp://a.example/", "/etc/passwd", "https://127.0.0.1:1/"} {
		if _, err := a.Fetch(t.Context(), ref); err == nil {
			t.Errorf("%s was fetched", ref)
		}
	}
	if u, err := url.Parse(server.URL); err != nil || allowed(u, false) {
		t.Error("http is allowed")
	}
}

// TestName: registries are asked for what they sell.
func TestName(t *testing.T) {
	for name, want := range map[string]string{"a.example": "a.example", "mail.a.co.uk": "a.co.uk", "x.github.io": "github.io", "sa.gov.au": "", "co.uk": ""} {
		got, err := Name(domain(t, name))
		if got.String() != want && !(want == "" && err != nil) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// FuzzParse: no file makes it panic, and what is taken is written in one form that reads back.
func FuzzParse(f *testing.F) {
	f.Add(`{"format":"policylist/registrations/v1","made":"2026-03-01T12:00:00Z"}` + "\n" +
		`{"domain":"a.example","asked":"2026-03-01T12:00:00Z","status":"ok","registered":"2020-01-01T00:00:00Z"}` + "\n" +
		`{"domain":"b.example","asked":"2026-03-01T12:00:00Z","status":"failed","detail":"status 500"}` + "\n")
	f.Add(`{"format":"policylist/registrations/v1"}`)
	f.Add("{}\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err != nil {
			return
		}
		data, err := file.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(data)
		again, err1 := back.Bytes()
		if err != nil || err1 != nil || string(again) != string(data) {
			t.Errorf("%v %v\n%s\n%s", err, err1, data, again)
		}
	})
}

// FuzzAnswer: no answer makes it panic or gives a date that is still to come.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"objectClassName":"domain","ldhName":"a.example","events":[{"eventAction":"registration","eventDate":"2020-05-01T00:00:00Z"}]}`)
	f.Add(`{"objectClassName":"domain","ldhName":"A.example.","events":[{"eventAction":"reregistration","eventDate":"2026-03-01T12:59:00+00:00"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseAnswer([]byte(text), domain(t, "a.example"), noon)
		if err == nil && !at.IsZero() && (at.After(noon.Add(ahead)) || at.Before(firstDomain)) {
			t.Errorf("%s", at)
		}
	})
}
