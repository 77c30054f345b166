package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/mirror"
)

const (
	// webConnections is how many are served at once: a Prometheus or two and somebody who looks.
	webConnections = 16
	// webPatience bounds each part of a request; a scrape takes milliseconds.
	webPatience = 10 * time.Second
	maxHeader   = 8 << 10
)

// serveWeb serves /metrics and /healthz where [serve] says so, until stop is called: also while the last questions are
// answered. What goes wrong here is logged and touches no answer, not even an address that is taken.
func (s *served) serveWeb(ctx context.Context) (stop func()) {
	place := s.config.Serve.Metrics
	if !place.IsValid() {
		return func() {}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", place.String())
	if err != nil {
		s.log.Error("no metrics and no health", "err", err)
		return func() {}
	}
	if !place.Addr().IsLoopback() {
		s.log.Warn("everybody who reaches this address can read the metrics, unencrypted", "address", place.String())
	}
	s.log.Info("metrics and health", "address", l.Addr().String())
	web := &http.Server{
		Handler: s.webHandler(), ReadTimeout: webPatience, WriteTimeout: webPatience, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.Serve(netutil.LimitListener(l, webConnections)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("no more metrics and health", "err", err)
		}
	}()
	return func() {
		web.Close()
		<-ended
	}
}

func (s *served) webHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, exposition.ContentType, s.metricsText())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := s.health()
		text, err := json.Marshal(h)
		if err != nil { // there is nothing in it that JSON does not have
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		write(w, h.code(), "application/json", append(text, '\n'))
	})
	return mux
}

func write(w http.ResponseWriter, code int, kind string, text []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(text) // whoever asked may be gone
}

// health is the JSON at /healthz.
type health struct {
	State string       `json:"state"` // the first of healthStates that is true of something
	Lists []listHealth `json:"lists"`
}

type listHealth struct {
	Name      string           `json:"name"`
	Freshness mirror.Freshness `json:"freshness"`
	Release   int64            `json:"release"`           // 0: none
	Expires   string           `json:"expires,omitempty"` // policy.TimeFormat
	Kept      bool             `json:"kept,omitempty"`    // expired, and in force all the same
}

// The states of /healthz, the worst first.
const (
	healthStopping = "stopping" // the last questions are answered; others wait in the socket for the next daemon
	healthFull     = "full"     // every connection is being answered, and more wait for a place
	healthExpired  = "expired"  // a list has expired: its domains are answered as not listed
	healthNone     = "none"     // a list was never fetched, or cannot be read
	healthDisabled = "disabled" // the kill switch: meant by somebody
	healthStale    = "stale"    // a list is older than it should be, and in force
	healthOK       = "ok"
)

var healthStates = [...]string{healthStopping, healthFull, healthExpired, healthNone, healthDisabled, healthStale, healthOK}

// code is 503 where a list that was asked for is not in force, questions wait, or the daemon is about to go.
func (h health) code() int {
	switch h.State {
	case healthStopping, healthFull, healthExpired, healthNone:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// health looks at memory and at the kill switch, and so answers while the disk does not.
func (s *served) health() health {
	now, h := s.current.Load(), health{Lists: []listHealth{}}
	found := map[string]bool{healthOK: true, healthStopping: s.stopping.Load(), healthFull: s.metrics.Crowded(), healthDisabled: s.off()}
	for _, held := range now.Lists() {
		l := listHealth{Name: held.Name, Freshness: mirror.None}
		if held.Release != nil {
			l.Release, l.Expires, l.Freshness = held.Release.Release, stamp(held.Release.Expires), held.Outcome.At(s.app.now())
			l.Kept = held.Keep && l.Freshness == mirror.Expired
		}
		switch {
		case l.Kept, l.Freshness == mirror.Stale:
			found[healthStale] = true
		case l.Freshness == mirror.Expired:
			found[healthExpired] = true
		case l.Freshness == mirror.None:
			found[healthNone] = true
		}
		h.Lists = append(h.Lists, l)
	}
	for _, state := range healthStates {
		if found[state] {
			h.State = state
			break
		}
	}
	return h
}
