package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

const (
	// reloadEvery is how often the state of the lists is looked at for a new release.
	reloadEvery = time.Second
	// tendEvery is how often cached MTA-STS policies are confirmed and saved.
	tendEvery = 10 * time.Minute
)

func newServe(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "answer the mail server's questions about domains (socketmap)",
		Long: `Serve answers over the socketmap protocol of Postfix, by the lists as they are held and by what the domains say themselves,
in this order: an [[override]] of the configuration, usable DANE, a valid MTA-STS policy, the lists. It starts with the
lists on disk, without network, and takes up a new release without dropping a connection. It updates the lists itself,
unless [serve] says update = "off" because a timer does.

The map's name chooses what a Postfix can read: "legacy" (before 3.4), "sni" (3.4), "floor" (3.6), "tlsrpt" (3.10). The names
of postfix-tlspol (QUERY, QUERYwithTLSRPT) and postfix-mta-sts-resolver (postfix) work as well, and "refresh" asks a domain anew.

Sockets come from systemd, or else from listen in [serve]. A list that is missing, damaged or expired is answered as if it
were not there: Postfix would defer all mail on an error.

Exit codes: 0 stopped by a signal, 1 something local failed, 2 wrong usage or configuration.`,
		Example: `  # starttls-policy serve
  # postconf smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8461:floor`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return a.serve(c.Context(), cfg)
		},
	}
}

// served is "serve" at work.
type served struct {
	app     *app
	config  config
	log     *slog.Logger
	lists   []list
	decider *socketmap.Decider
	seen    []string // by list: what its state was when it was read
	failed  []string // by list: why it could not be read
}

func (a *app) serve(ctx context.Context, cfg config) error {
	s := &served{app: a, config: cfg, log: slog.New(slog.NewTextHandler(a.stderr, logOptions))}
	var err error
	if s.lists, err = a.openLists(cfg); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	listeners, err := s.listen(ctx)
	if err != nil {
		return failed(err, "starttls-policy serve needs a socket: from systemd, or listen in [serve]")
	}
	for _, l := range listeners {
		s.log.Info("listening", "address", l.Addr().String())
	}
	return s.run(ctx, listeners)
}

// logOptions leave the time to whoever collects the lines, as journald does.
var logOptions = &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}}

// prepare makes the decider and reads the lists; what is wrong with them is logged.
func (s *served) prepare() error {
	live, err := s.live()
	if err != nil {
		return err
	}
	s.decider = &socketmap.Decider{
		Now: s.app.now, Log: s.log, Off: watchSwitch(s.config.State), Testing: s.config.Adopt.has,
		Overrides: s.config.Overrides, Live: live, Metrics: new(socketmap.Metrics),
	}
	if off := readSwitch(s.config.State); off != nil {
		s.log.Warn("all policies are switched off", "since", off.Since, "reason", off.Reason)
	}
	s.seen, s.failed = make([]string, len(s.lists)), make([]string, len(s.lists))
	s.reload()
	return nil
}

// run serves until ctx ends.
func (s *served) run(ctx context.Context, listeners []net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		server := &socketmap.Server{Answerer: withRefresh{s.decider}, Log: s.log}
		g.Go(func() error { return server.Serve(ctx, l) })
	}
	g.Go(func() error { return every(ctx, reloadEvery, s.reload) })
	if s.config.Serve.Update >= 0 {
		g.Go(func() error { return s.update(ctx) })
	}
	if live := s.decider.Live; live != nil {
		g.Go(func() error { return every(ctx, tendEvery, func() { s.tend(ctx) }) })
	}
	notify(s.log, daemon.SdNotifyReady)
	err := g.Wait()
	notify(s.log, daemon.SdNotifyStopping)
	if live := s.decider.Live; live != nil {
		live.Close()
		err = errors.Join(err, live.Save(s.policies()))
	}
	return err
}

func (s *served) policies() string { return filepath.Join(s.config.State, policiesFile) }

// tend keeps the domains' own policies young, and safe from a restart.
func (s *served) tend(ctx context.Context) {
	if n := s.decider.Live.Refresh(ctx); n > 0 {
		s.log.Info("MTA-STS policies asked for before they run out", "domains", n)
	}
	if err := s.decider.Live.Save(s.policies()); err != nil {
		s.log.Error("MTA-STS policies not saved", "err", err)
	}
}

// notify tells systemd, where that started us.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "err", err)
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

// withRefresh adds the map "refresh" to those of the decider.
type withRefresh struct{ *socketmap.Decider }

// Answer implements socketmap.Answerer.
func (r withRefresh) Answer(ctx context.Context, mapName, key string) socketmap.Reply {
	if mapName != refreshMap {
		return r.Decider.Answer(ctx, mapName, key)
	}
	d, err := parseDomain(key)
	if err != nil {
		return socketmap.Reply{}
	}
	if r.Live != nil {
		r.Live.Recheck(ctx, d)
	}
	c := r.Decide(ctx, d)
	return socketmap.Reply{Value: fmt.Sprintf("%s: %s", d, c.Source)}
}

// refreshMap is the map's name that "refresh" asks.
const refreshMap = "refresh"
