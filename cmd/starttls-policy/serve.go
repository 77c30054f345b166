package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// tendEvery is how often cached MTA-STS policies are confirmed and saved.
const tendEvery = 10 * time.Minute

func newServe(a *app) *cobra.Command {
	var sources []string
	c := &cobra.Command{
		Use:   "serve [--sources dane,mta-sts,list]",
		Short: "answer the mail server's questions about domains (socketmap)",
		Long: `Serve answers over the socketmap protocol of Postfix, by the lists as they are held and by what the domains say themselves,
in this order: an [[override]] of the configuration, usable DANE, a valid MTA-STS policy, the lists. It starts with the
lists on disk, without network, and takes up a new release without dropping a connection. It updates the lists itself,
unless [serve] says update = "off" because a timer does.

The map's name chooses what a Postfix can read: "legacy" (before 3.4), "sni" (3.4), "floor" (3.6), "tlsrpt" (3.10.5). The names
of postfix-tlspol (QUERY, QUERYwithTLSRPT) and postfix-mta-sts-resolver (postfix) work as well, and "refresh" asks a domain anew.

Sockets come from systemd, or else from listen in [serve]. A list that is missing, damaged or expired is answered as if it
were not there: Postfix would defer all mail on an error.

SIGHUP has it read the lists, overrides and early adopters of the configuration anew. With metrics in [serve] it serves
/metrics for Prometheus and /healthz. Units for systemd, and what the metrics mean, are in mirror/USAGE.md.

Exit codes: 0 stopped by a signal, 1 something local failed, 2 wrong usage or configuration.`,
		Example: `  # starttls-policy serve
  # postconf smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8461:floor
  # starttls-policy serve --sources list`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			s := newServed(a, cfg, a.stderr)
			if s.config.Serve, err = cfg.Serve.with(sources); err != nil {
				return usage(c, err)
			}
			return s.serve(c.Context())
		},
	}
	c.Flags().StringSliceVar(&sources, "sources", nil, "who is asked, instead of those in [serve]; with \"list\" alone nobody is asked anything")
	return c
}

// served is "serve" at work. What it took from the configuration at its start stays: sockets, sources, resolver.
type served struct {
	app     *app
	config  config
	written *serveConfig // [serve] as it stands in the file; config may have other sources
	log     *slog.Logger
	live    *socketmap.Live  // nil: only lists
	prober  *trial.Prober    // nil: nobody is looked at
	lookups feedback.Lookups // what [feedback] tells of the daemon, where that is its source
	metrics *socketmap.Metrics
	off     func() bool
	started time.Time
	current atomic.Pointer[answering]

	listReloads, configReloads reloads
	stopping                   atomic.Bool
	program                    string       // what runs "update"
	unreported                 atomic.Int64 // updates that left no report

	// Those of the goroutine that keeps the lists; it alone has them.
	seen       []string // by list: what its state was when it was read
	failed     []string // by list: why it could not be read
	wasOff     bool
	switchLost string // why nobody can tell whether everything is switched off

	resolvConf string
	resolvers  *discovery.Followed // nil: the configuration names one, or nobody is asked
	noResolver string              // why the file names none
}

// answering is what questions are answered by. A new configuration makes a new one; its lists change in place.
type answering struct {
	config config
	lists  []list
	*socketmap.Decider
}

// reloads counts how they went.
type reloads struct{ ok, failed atomic.Int64 }

func (s *served) serve(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // it would end us
	defer signal.Stop(hangup)
	lists, err := s.app.openLists(s.config)
	if err != nil {
		return err
	}
	if err := s.prepare(lists); err != nil {
		return err
	}
	listeners, err := s.listen(ctx)
	if err != nil {
		return failed(err, "starttls-policy serve needs a socket: from systemd, or listen in [serve]")
	}
	for _, l := range listeners {
		s.log.Info("listening", "address", l.Addr().String())
	}
	defer s.serveWeb(ctx)() // it tells of the end as well
	return s.run(ctx, listeners, hangup)
}

func newServed(a *app, cfg config, log io.Writer) *served {
	return &served{app: a, config: cfg, written: cfg.Serve, log: newLog(log), metrics: new(socketmap.Metrics), started: a.now(), program: os.Args[0], resolvConf: resolvConf}
}

// prepare makes the decider and reads the lists; what is wrong with them is logged.
func (s *served) prepare(lists []list) (err error) {
	if s.live, err = s.newLive(); err != nil {
		return err
	}
	if s.prober, err = s.newProber(); err != nil {
		return err
	}
	s.off = watchSwitch(s.config.State)
	s.tellSwitch()
	s.restoreLookups()
	first := s.answering(s.config, lists)
	first.SetLists(s.read(first, first.held(lists)))
	s.current.Store(first)
	tidy()
	return nil
}

// answering has no lists yet.
func (s *served) answering(cfg config, lists []list) *answering {
	s.seen, s.failed = make([]string, len(lists)), make([]string, len(lists))
	return &answering{cfg, lists, &socketmap.Decider{
		Now: s.app.now, Log: s.log, Off: s.off, Testing: cfg.Adopt.has, Overrides: cfg.Overrides, Live: s.live, Metrics: s.metrics,
		Tried: s.wrote, Seen: s.counts(cfg),
	}}
}

// run serves until ctx ends.
func (s *served) run(ctx context.Context, listeners []net.Listener, hangup <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		s.stopping.Store(true)
		notify(s.log, daemon.SdNotifyStopping)
		return nil
	})
	for _, l := range listeners {
		server := &socketmap.Server{Answerer: withRefresh{s}, Log: s.log, Metrics: s.metrics}
		g.Go(func() error { return server.Serve(ctx, l) })
	}
	g.Go(func() error { return s.keep(ctx, hangup) })
	g.Go(func() error { return s.watchdog(ctx) })
	if s.config.Serve.Update >= 0 {
		g.Go(func() error { return s.update(ctx) })
	}
	if s.live != nil {
		g.Go(func() error { return every(ctx, tendEvery, func() { s.tend(ctx) }) })
	}
	if s.prober != nil {
		g.Go(func() error { return every(ctx, trial.Pace, func() { s.probe(ctx) }) })
	}
	g.Go(func() error { return every(ctx, tendEvery, s.saveLookups) })
	notify(s.log, daemon.SdNotifyReady)
	err := g.Wait()
	s.saveLookups()
	if s.prober != nil {
		s.saveProbes()
	}
	if s.live != nil {
		s.live.Close()
		err = errors.Join(err, s.live.Save(s.policies()))
	}
	return err
}

func (s *served) policies() string { return filepath.Join(s.config.State, policiesFile) }

// tend keeps the domains' own policies young, and safe from a restart.
func (s *served) tend(ctx context.Context) {
	if n := s.live.Refresh(ctx); n > 0 {
		s.log.Info("MTA-STS policies asked for before they run out", "domains", n)
	}
	if err := s.live.Save(s.policies()); err != nil {
		s.log.Error("MTA-STS policies not saved", "err", err)
	}
}

// every calls f after each d until ctx ends; it returns nil.
func every(ctx context.Context, d time.Duration, f func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f()
		}
	}
}

// closeAll closes what was opened before something failed.
func closeAll[C io.Closer](all []C) {
	for _, c := range all {
		c.Close()
	}
}

// withRefresh adds the maps "refresh" and "explain" to those of the decider.
type withRefresh struct{ *served }

// Answer implements socketmap.Answerer.
func (r withRefresh) Answer(ctx context.Context, mapName, key string) socketmap.Reply {
	decider := r.current.Load().Decider
	switch mapName {
	default:
		return decider.Answer(ctx, mapName, key)
	case explainMap:
		return explainTo(ctx, decider, key)
	case refreshMap:
	}
	d, err := parseDomain(key)
	if err != nil {
		return socketmap.Reply{}
	}
	if r.live != nil {
		r.live.Recheck(ctx, d)
	}
	c := decider.Decide(ctx, d)
	return socketmap.Reply{Value: fmt.Sprintf("%s: %s", d, c.Source)}
}

// refreshMap is the map's name that "refresh" asks.
const refreshMap = "refresh"
