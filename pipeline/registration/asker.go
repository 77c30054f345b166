package registration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const (
	// maxAnswer caps an answer: registries send some kilobytes.
	maxAnswer = 1 << 20
	// maxRedirects is how far a registry may send us on (RFC 7480 section 5.2).
	maxRedirects = 3
	// maxServers is how many registries are asked at the same time.
	maxServers = 8
	// patience is how many failures in a row it takes to leave a registry alone until the next run.
	patience = 3
	// maxDetail cuts what is told of a failure.
	maxDetail = 200
)

// Asker asks registries.
type Asker struct {
	Bootstrap Bootstrap
	Agent     string        // User-Agent: who asks, and where to complain
	Interval  time.Duration // between two questions to one registry
	Most      int           // questions to one registry in one run
	Every     time.Duration // how old an answer is when it is asked for again
	Timeout   time.Duration // of one question
	Loopback  bool          // for tests: http and https on loopback may be asked, and nothing else changes
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error

	roots func(*http.Transport) // for tests: trusts a server of theirs
}

// Report counts what came of a run, by registered domain.
type Report struct {
	Domains int            `json:"domains"`
	Asked   int            `json:"asked"`
	Status  map[Status]int `json:"status"` // of all domains, now
	Left    int            `json:"left"`   // were due, and wait for the next run
}

// Ask finds out about the names under which domains lie. It asks for those first of which it is longest ago, and gives back
// what is known now: also where ctx ends in the middle, with its error.
func (a *Asker) Ask(ctx context.Context, domains []policy.Domain, before File) (File, Report, error) {
	after := File{Made: a.Now().UTC().Truncate(time.Second), lines: make(map[policy.Domain]Line)}
	due := make(map[string][]policy.Domain)
	for _, name := range names(domains) {
		line, known := before.lines[name]
		server := a.Bootstrap.Server(name, a.Loopback)
		switch {
		case server == "":
			line = Line{Domain: name, Asked: after.Made, Status: Nobody, Registered: line.Registered}
			after.lines[name] = line
			continue
		case known:
			after.lines[name] = line
		}
		if !known || line.Status == Nobody || after.Made.Sub(line.Asked) >= a.Every {
			due[server] = append(due[server], name)
		}
	}
	var mu sync.Mutex
	left, asked := 0, 0
	g := errgroup.Group{}
	g.SetLimit(maxServers)
	for server, names := range due {
		slices.SortFunc(names, func(x, y policy.Domain) int {
			return cmp.Or(before.lines[x].Asked.Compare(before.lines[y].Asked), byName(x, y))
		})
		g.Go(func() error {
			lines, err := a.ask(ctx, server, names)
			mu.Lock()
			defer mu.Unlock()
			asked, left = asked+len(lines), left+len(names)-len(lines)
			for _, l := range lines {
				if l.Registered.IsZero() {
					l.Registered = before.lines[l.Domain].Registered
				}
				after.lines[l.Domain] = l
			}
			return err
		})
	}
	err := g.Wait()
	report := Report{Domains: len(names(domains)), Asked: asked, Left: left, Status: make(map[Status]int)}
	for _, l := range after.lines {
		report.Status[l.Status]++
	}
	return after, report, err
}

// ask asks one registry for one name after the other, until it has had enough.
func (a *Asker) ask(ctx context.Context, server string, names []policy.Domain) (lines []Line, err error) {
	client := a.client()
	defer client.CloseIdleConnections()
	failed := 0
	for i, name := range names[:min(len(names), a.Most)] {
		if i > 0 {
			if err := a.Sleep(ctx, a.Interval); err != nil {
				return lines, err
			}
		}
		l, busy := a.one(ctx, client, server, name)
		if ctx.Err() != nil {
			return lines, ctx.Err()
		}
		lines = append(lines, l)
		if failed++; l.Status != Failed {
			failed = 0
		}
		if busy || failed == patience {
			return lines, nil
		}
	}
	return lines, nil
}

// one asks for one name; busy says that the registry wants to be left alone.
func (a *Asker) one(ctx context.Context, client *http.Client, server string, name policy.Domain) (l Line, busy bool) {
	l = Line{Domain: name, Asked: a.Now().UTC().Truncate(time.Second), Status: Failed}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	data, status, err := a.get(ctx, client, server+"domain/"+url.PathEscape(name.String()))
	switch {
	case err != nil:
	case status == http.StatusNotFound:
		l.Status = Absent
		return l, false
	case status != http.StatusOK:
		err = fmt.Errorf("status %d", status)
	default:
		l.Registered, err = parseAnswer(data, name, l.Asked)
	}
	switch {
	case err != nil:
		l.Detail = printable(err.Error())
	case l.Registered.IsZero():
		l.Status = Undated
	default:
		l.Status = OK
	}
	return l, status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

func (a *Asker) get(ctx context.Context, client *http.Client, ref string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ref, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", a.Agent)
	req.Header.Set("Accept", "application/rdap+json") // RFC 7480 section 4.2
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(data) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return data, resp.StatusCode, err
}

// Fetch gets the bootstrap registry itself, by the same rules.
func (a *Asker) Fetch(ctx context.Context, ref string) ([]byte, error) {
	u, err := url.Parse(ref)
	if err != nil || !allowed(u, a.Loopback) {
		return nil, fmt.Errorf("%q is no https:// URL", ref)
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	client := a.client()
	defer client.CloseIdleConnections()
	data, status, err := a.get(ctx, client, ref)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: status %d", ref, status)
	}
	return data, err
}

// client connects to public addresses only: a registry's redirect must not lead it into the operator's network. It takes
// no proxy, sends no cookie, and follows redirects to https only.
func (a *Asker) client() *http.Client {
	dialer := net.Dialer{Timeout: a.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil || !discovery.Public(addr.Addr()) && !(a.Loopback && addr.Addr().IsLoopback()) {
			return fmt.Errorf("%s may not be contacted", address)
		}
		return nil
	}}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: a.Timeout, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
	}
	if a.roots != nil {
		a.roots(transport)
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return errors.New("too many redirects")
		case !allowed(r.URL, a.Loopback):
			return errors.New("a redirect to where nobody may be asked")
		}
		return nil
	}}
}

// printable is text of others, fit for a file and a terminal.
func printable(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}
