package tlsrpt

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror/visitors"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// What one client may cost. A report of a day is some kilobytes; a sender on the slowest line has a minute for it.
const (
	headerPatience = 10 * time.Second
	bodyPatience   = time.Minute
	answerPatience = 90 * time.Second // the body's minute, and what writes before it in the store
	idlePatience   = 30 * time.Second
	stopPatience   = 20 * time.Second // for requests in hand
	maxHeader      = 16 << 10
	maxStreams     = 4 // requests at once in one connection of HTTP/2
)

// housekeeping is how often a server looks after its store.
const housekeeping = time.Minute

// looksAtOnce is how many domains' records are looked up at a time.
const looksAtOnce = 8

// Server runs an intake and what has to be done beside it: looking at records, pruning, reading a renewed certificate.
type Server struct {
	Store       *Store
	Intake      *Intake
	Host        string // as IntakeOptions.Host
	DNS         *discovery.Client
	Certificate *Certificate                // nil: plain HTTP, for a proxy in front
	Connections int                         // at once, over all listeners
	Daily       func(context.Context) error // once a day, before what is old is deleted; nil for nothing
	Now         func() time.Time
	Log         *slog.Logger

	pruned tlsrpt.Day // when it was last pruned
	daily  tlsrpt.Day // when Daily last succeeded
}

// Serve answers on all listeners until ctx ends, and then those requests that are in hand. ready is called once it listens.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener, ready func()) error {
	if err := s.Intake.Refresh(ctx); err != nil {
		return err
	}
	web := &http.Server{
		Handler: s.Intake, ReadHeaderTimeout: headerPatience, ReadTimeout: bodyPatience, WriteTimeout: answerPatience, IdleTimeout: idlePatience,
		MaxHeaderBytes: maxHeader, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: visitors.ErrorLog(s.Log),
	}
	if s.Certificate != nil {
		web.TLSConfig = s.Certificate.TLS()
	}
	group, inner := errgroup.WithContext(ctx)
	share := max(1, s.Connections/len(listeners))
	for _, l := range listeners {
		if !s.Intake.opts.Proxy { // all come from the proxy
			l = visitors.FairListener(l)
		}
		group.Go(func() error { return s.serveOn(web, netutil.LimitListener(l, share)) })
	}
	group.Go(func() error { s.keepHouse(inner); return nil })
	group.Go(func() error {
		<-inner.Done()
		s.Intake.Stop()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer cancel()
		return errors.Join(web.Shutdown(last), s.Intake.Flush(last))
	})
	ready()
	return group.Wait()
}

func (s *Server) serveOn(web *http.Server, l net.Listener) error {
	var err error
	if s.Certificate != nil {
		err = web.ServeTLS(l, "", "")
	} else {
		err = web.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) keepHouse(ctx context.Context) {
	ticks := time.NewTicker(housekeeping)
	defer ticks.Stop()
	for {
		s.KeepHouse(ctx)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// KeepHouse does once what is due. What fails is logged and tried again the next time.
func (s *Server) KeepHouse(ctx context.Context) {
	log := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			s.Log.Error(what, "err", err)
		}
	}
	log("cannot store counts", s.Intake.Flush(ctx))
	if s.Certificate != nil {
		log("the certificate stays the old one", s.Certificate.Reload())
	}
	today := tlsrpt.DayOf(s.Now())
	if today != s.daily && s.Daily != nil {
		err := s.Daily(ctx)
		log("what is due daily failed", err)
		if err == nil {
			s.daily = today
		}
	}
	if today != s.pruned {
		gone, err := s.Store.Prune(ctx)
		log("cannot delete what is old", err)
		if err == nil {
			s.pruned = today
			s.Log.Info("pruned", "days", len(gone.Days), "entries", gone.Entries, "domains", len(gone.Domains), "months", len(gone.Months))
		}
	}
	log("cannot look at records", s.lookAll(ctx))
	log("cannot read who has enrolled", s.Intake.Refresh(ctx))
}

// lookAll looks at the records that are due.
func (s *Server) lookAll(ctx context.Context) error {
	all, err := s.Store.Enrolments(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looksAtOnce)
	for _, e := range all {
		if !e.Due(s.Now()) {
			continue
		}
		group.Go(func() error {
			after, err := s.Store.Look(ctx, s.DNS, s.Host, e.Domain)
			if err == nil && after.State != e.State {
				s.Log.Info("enrolment", "domain", e.Domain.String(), "state", string(after.State), "before", string(e.State))
			}
			return err
		})
	}
	return group.Wait()
}
