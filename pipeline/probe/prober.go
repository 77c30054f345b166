package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// maxSessions is how many addresses of one domain are visited.
const maxSessions = 64

// ErrOptions is what New wraps for options that do not fit together.
var ErrOptions = errors.New("probe options")

// Options configure a Prober. Only Resolver is required, and EHLO unless AllowLoopback is set.
type Options struct {
	Resolver   netip.AddrPort
	TrustAD    bool          // the resolver's AD bit means something
	DNSTimeout time.Duration // one attempt; 0 means 3 s

	Roots         Roots  // zero means MozillaRoots
	EHLO          string // our own host name, resolvable; servers turn away visitors without one
	SMTPPort      int    // 0 means 25
	HTTPSPort     int    // of policy hosts; 0 means 443
	DNSPort       int    // of mail zones' own name servers, which are asked for TLSA records as well; 0 means 53, -1 not at all
	Timeout       time.Duration
	ExpiryWarning time.Duration // 0 means 14 days
	// AllowLoopback permits targets on loopback and lifts the rate limit for them. Without EHLO it also forbids all
	// other targets.
	AllowLoopback bool
	PerMinute     int // sessions begun with one address, or with one host, within a minute; 0 means 2
	Samples       int // sessions with one address under one name, at least; 1 or 2, 0 means 2
	PerProvider   int // sessions open at a time with all hosts of one registrable domain; 0 means 8
	// Backoff is how long we stay away from a server that turned us away, before we come back once; 0 means 90 s. On
	// loopback there is none.
	Backoff time.Duration
	// MaxAge is how long what was seen of a server is used for other domains; 0 means 6 h.
	MaxAge      time.Duration
	Domains     int // looked at in parallel; 0 means 32
	Connections int // open at a time in all; 0 means 64

	PoliciesPerMinute int // policies fetched from one address within a minute; 0 means 60

	Vantage     string                 // name of this observer, for the evidence; may be empty
	Tool        string                 // name and version of the program, for the evidence
	OptOut      OptOut                 // who asked not to be probed
	Canary      policy.Domain          // a domain known to be good; zero means none
	CanaryEvery time.Duration          // how often the canary is looked at again while a scan lasts; 0 means 15 min
	Previous    map[policy.Domain]Past // of the last scan, see ReadPast; may be nil
	Clock       Clock                  // nil means SystemClock
}

// Target is a domain and what the list says of it (zero Policy: nothing, so only its servers are judged).
type Target struct {
	Domain policy.Domain
	Policy policy.Policy
}

// Result is what a probe found. Line is the evidence: one canonical JSON object without the line end.
type Result struct {
	Domain policy.Domain
	Judgement
	Since time.Time // when the present verdict was first seen, in UTC and whole seconds
	Line  []byte
	Keys  []HostKeys // of the hosts that came to TLS
}

// Prober looks at domains. What was seen of an address or server is used for other domains until it is Options.MaxAge old,
// so make a new one for each scan. It is safe for concurrent use and holds no goroutine between calls.
type Prober struct {
	opts     Options
	dns      *discovery.Client
	visitor  visitor
	guard    guard
	limit    *limiter // for everybody
	loopback *limiter // for loopback targets
	web      webLimit
	fetcher  discovery.Fetcher
	slots    chan struct{}

	*memory
	watch watch
}

// New checks opts. Errors wrap ErrOptions, ErrRoots or discovery.ErrResolver.
func New(opts Options) (*Prober, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	client, err := discovery.NewClient(discovery.Options{
		Resolver: opts.Resolver, TrustAD: opts.TrustAD, Timeout: opts.DNSTimeout,
	})
	if err != nil {
		return nil, err
	}
	p := &Prober{
		opts: opts, dns: client,
		guard:    guard{loopback: opts.AllowLoopback, loopbackOnly: opts.EHLO == ""},
		limit:    newLimiter(opts.PerMinute, opts.Clock),
		loopback: newLimiter(0, opts.Clock),
		web:      webLimit{newLimiter(opts.PoliciesPerMinute, opts.Clock), newLimiter(0, opts.Clock)},
		slots:    make(chan struct{}, opts.Connections),
		memory:   newMemory(opts.MaxAge, opts.Clock.Now),
	}
	p.visitor = newVisitor(&opts)
	p.fetcher = discovery.Fetcher{
		Allow: p.mayContact, Roots: opts.Roots.Pool, Port: opts.HTTPSPort, Now: opts.Clock.Now,
		Deadline: min(opts.Timeout, maxFetch), Enter: p.enterWeb,
	}
	p.limit.backoff, p.limit.perProvider = opts.Backoff, opts.PerProvider
	p.watch.looks.maxAge, p.watch.looks.now = opts.CanaryEvery, opts.Clock.Now
	return p, nil
}

func (o *Options) complete() error {
	if o.EHLO == "" && !o.AllowLoopback {
		return fmt.Errorf("%w: mail servers want to know who asks: set EHLO to this host's full name", ErrOptions)
	}
	if o.EHLO != "" {
		if _, err := policy.ParseDomain(o.EHLO); err != nil {
			return fmt.Errorf("%w: EHLO name: %w", ErrOptions, err)
		}
	}
	if o.Vantage != escape(o.Vantage, 64) || o.Tool != escape(o.Tool, 128) {
		return fmt.Errorf("%w: the names of vantage and tool are short printable ASCII", ErrOptions)
	}
	for _, port := range []int{o.SMTPPort, o.HTTPSPort, max(o.DNSPort, 0)} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%w: port %d", ErrOptions, port)
		}
	}
	if o.Roots.Pool == nil {
		roots, err := MozillaRoots()
		if err != nil {
			return err
		}
		o.Roots = roots
	}
	for _, d := range []struct{ field, fallback *int }{
		{&o.SMTPPort, new(25)}, {&o.HTTPSPort, new(443)}, {&o.PerMinute, new(2)}, {&o.Samples, new(2)}, {&o.PerProvider, new(8)}, {&o.PoliciesPerMinute, new(60)},
		{&o.Domains, new(32)}, {&o.Connections, new(64)},
	} {
		if *d.field <= 0 {
			*d.field = *d.fallback
		}
	}
	for _, d := range []struct {
		field    *time.Duration
		fallback time.Duration
	}{
		{&o.Timeout, 90 * time.Second}, {&o.ExpiryWarning, 14 * 24 * time.Hour}, {&o.Backoff, 90 * time.Second}, {&o.MaxAge, 6 * time.Hour},
		{&o.CanaryEvery, 15 * time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.fallback
		}
	}
	if o.DNSPort == 0 {
		o.DNSPort = 53
	}
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	return nil
}

// Probe looks at all targets, Options.Domains at a time, and returns the results in the order of targets. A bad domain
// is a result, and so is a vantage that cannot be believed; the error is ctx's, and then there are no results.
func (p *Prober) Probe(ctx context.Context, targets []Target) ([]Result, error) {
	results := make([]Result, 0, len(targets))
	err := p.Each(ctx, targets, func(r Result) error {
		results = append(results, r)
		return nil
	})
	if errors.Is(err, ErrVantage) {
		return p.withdrawAll(targets), nil
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Each is Probe for scans too large to hold: done gets the results one after the other, in the order of targets, while
// later targets are being looked at. It ends with the first error of done, or with one that wraps ErrVantage: then none
// of the results counts, neither those that done got before.
func (p *Prober) Each(ctx context.Context, targets []Target, done func(Result) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait() // nothing of ours runs on when we return
	defer cancel()
	// Results wait in order in a window twice as wide as the crowd, so that one slow domain does not stop all others.
	window := make(chan chan Result, 2*p.opts.Domains)
	crowd := make(chan struct{}, p.opts.Domains)
	working.Go(func() {
		defer close(window)
		for _, t := range targets {
			out := make(chan Result, 1)
			select {
			case window <- out:
			case <-ctx.Done():
				return
			}
			select {
			case crowd <- struct{}{}:
			case <-ctx.Done():
				return
			}
			working.Go(func() {
				defer func() { <-crowd }()
				if r, err := p.one(ctx, t); err == nil {
					out <- r
				}
			})
		}
	})
	for out := range window {
		select {
		case r := <-out:
			if err := p.watch.broke(); err != nil {
				return err
			}
			if err := done(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.endScan(ctx)
}

// withdrawAll is what a scan comes to over which the vantage broke.
func (p *Prober) withdrawAll(targets []Target) []Result {
	results := make([]Result, len(targets))
	for i, t := range targets {
		results[i] = p.result(t, Observation{}, withdrawn(t.Domain, *p.watch.isBad()))
	}
	return results
}

// one looks at a target, unless the canary says that this vantage cannot be believed. The error is ctx's.
func (p *Prober) one(ctx context.Context, t Target) (Result, error) {
	canary, err := p.Canary(ctx)
	if err != nil {
		return Result{}, err
	}
	if canary.withdrawn() {
		return p.result(t, Observation{}, withdrawn(t.Domain, canary)), nil
	}
	return p.look(ctx, t)
}

func (p *Prober) look(ctx context.Context, t Target) (Result, error) {
	o := Observation{OptedOut: 1}
	if !p.opts.OptOut.hasName(t.Domain) {
		var err error
		if o, err = p.observe(ctx, t.Domain); err != nil {
			return Result{}, err
		}
	}
	now := p.opts.Clock.Now()
	j := Judge(t.Domain, o, t.Policy, now, p.opts.ExpiryWarning)
	if p.wait(&o, t.Domain, j); o.Waiting != nil {
		j = Judge(t.Domain, o, t.Policy, now, p.opts.ExpiryWarning)
	}
	return p.result(t, o, j), nil
}

// session returns what the server at addr shows to those who ask for name, from a visit or from an earlier one.
func (p *Prober) session(ctx context.Context, addr netip.Addr, name policy.Domain) (Session, error) {
	if p.opts.OptOut.hasName(name) || p.opts.OptOut.hasAddr(addr) {
		return optedOut(addr), nil
	}
	if !p.mayContact(addr) {
		return Session{Address: addr.String(), Failure: p.guard.why(addr), Stage: StageConnect}, nil
	}
	return p.sessions.do(ctx, sessionKey{addr, name}, func() Session { return p.sample(ctx, addr, name) })
}
