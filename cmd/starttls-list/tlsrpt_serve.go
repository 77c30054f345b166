package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/cmd/internal/sockets"
	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const tlsrptServeLong = `Serve takes reports (RFC 8460) at the URIs that "enrol" printed, and contributions of mail servers at /feedback/v1 when
[tlsrpt] allows it. What it answers with 200 or 201 is on disk. It looks at the records of all domains, deletes what is
older than is kept, makes the tables of feedback that are due, and reads a renewed certificate by itself. It listens where
[tlsrpt] says, or on sockets that systemd passes; cmd/starttls-list/systemd in the sources has units.

Answers: 201 taken, 200 taken before or nothing in it; 400 no report, or out of time; 403 a signature that does not count;
404 there is no such address; 405 not posted; 413 too large, in itself or unpacked; 422 it is about another domain; 429 too
many, and 503 not now, both with Retry-After. GET /healthz is 200 while reports are taken.

It writes no address of a client down. Requests in hand are answered before it ends; the other commands may be used while
it runs.

Exit codes: 0 stopped by a signal, 3 usage, 4 internal, 75 the store is in use or full.`

const tlsrptServeExample = `  $ starttls-list tlsrpt serve --config policylist.toml
  time=… level=INFO msg="taking reports" address=127.0.0.1:8460 host=reports.operator.example
  …`

func newTLSRPTServeCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "serve --config FILE", Short: "takes reports and contributions over HTTPS", Long: tlsrptServeLong, Example: tlsrptServeExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return serveTLSRPT(c, path) },
	}
	c.Flags().StringVar(&path, "config", configName, "configuration file with [tlsrpt]")
	return c
}

func serveTLSRPT(c *cobra.Command, path string) error {
	cfg, store, err := openTLSRPT(path, false)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	server, err := cfg.tlsrptServer(store, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	listeners, err := cfg.tlsrptListeners(ctx)
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: "listen in [tlsrpt] says where; ports below 1024 take root, or systemd's sockets"}
	}
	metrics, err := cfg.tlsrptMetrics(ctx, server.Intake, log)
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: fmt.Errorf("[tlsrpt] metrics: %w", err)}
	}
	var group errgroup.Group
	group.Go(func() error {
		defer cancel()
		return server.Serve(ctx, listeners, func() {
			for _, l := range listeners {
				log.Info("taking reports", "address", l.Addr().String(), "host", cfg.TLSRPT.Host)
			}
			tellSystemd(log, daemon.SdNotifyReady)
		})
	})
	group.Go(func() error {
		<-ctx.Done()
		tellSystemd(log, daemon.SdNotifyStopping)
		return nil
	})
	group.Go(metrics)
	return tlsrptError(group.Wait())
}

func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "err", err)
	}
}

// intakeOptions are what the configuration says of the intake, and the resolver that it asks.
func (c *config) intakeOptions(log *slog.Logger) (tlsrpt.IntakeOptions, *discovery.Client, error) {
	t := c.TLSRPT
	opts := tlsrpt.IntakeOptions{Host: t.Host, PerSource: t.PerSource, PerToken: t.PerDomain, Proxy: t.Proxy, Log: log}
	dns, err := c.tlsrptDNS()
	if err == nil && t.Contributions {
		opts.Keys, opts.Notices = dns, tlsrpt.CanaryNotices(c.canaries())
	}
	return opts, dns, err
}

func (c *config) tlsrptServer(store *tlsrpt.Store, log *slog.Logger) (*tlsrpt.Server, error) {
	opts, dns, err := c.intakeOptions(log)
	if err != nil {
		return nil, err
	}
	t := c.TLSRPT
	s := &tlsrpt.Server{
		Store: store, Intake: tlsrpt.NewIntake(store, opts), Host: t.Host, DNS: dns, Connections: cmp.Or(t.Connections, tlsrptConnections), Now: time.Now, Log: log,
	}
	if c.knowsList() {
		s.Daily = func(ctx context.Context) error { return c.daily(ctx, store, log) }
	}
	if t.Certificate != "" {
		if s.Certificate, err = tlsrpt.NewCertificate(c.path(t.Certificate), c.path(t.Key)); err != nil {
			return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "certificate and key in [tlsrpt] are PEM files that this user may read"}
		}
	}
	return s, nil
}

func (c *config) tlsrptListeners(ctx context.Context) ([]net.Listener, error) {
	all, err := sockets.Passed()
	if err != nil || len(all) > 0 {
		return all, errors.Join(err, c.checkEncrypted(all))
	}
	for _, place := range c.TLSRPT.Listen {
		network, address, _, err := listenPlace(place)
		var l net.Listener
		if err == nil {
			l, err = sockets.Listen(ctx, network, address)
		}
		if err != nil {
			for _, open := range all {
				open.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, errors.New("[tlsrpt] listen names no socket, and systemd passed none")
	}
	return all, nil
}

// checkEncrypted refuses sockets of systemd's on which reports would come in clear from other machines, as checkTLSRPT refuses
// those of the configuration.
func (c *config) checkEncrypted(all []net.Listener) error {
	for _, l := range all {
		tcp, ok := l.Addr().(*net.TCPAddr)
		if ok && !tcp.IP.IsLoopback() && c.TLSRPT.Certificate == "" {
			return fmt.Errorf("systemd's socket at %s is not for this machine alone, so [tlsrpt] needs certificate and key", tcp)
		}
	}
	return nil
}

// What whoever reads the metrics may cost: a Prometheus or two.
const (
	metricsConnections = 16
	metricsPatience    = 10 * time.Second
)

// tlsrptMetrics listens for who reads the metrics; serve answers until ctx ends.
func (c *config) tlsrptMetrics(ctx context.Context, in *tlsrpt.Intake, log *slog.Logger) (serve func() error, err error) {
	if c.TLSRPT.Metrics == "" {
		return func() error { return nil }, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.TLSRPT.Metrics)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", exposition.ContentType)
		w.Header().Set("Cache-Control", "no-store")
		w.Write(tlsrptMetricsText(in.Stats())) // whoever asked may be gone
	})
	web := &http.Server{Handler: mux, ReadTimeout: metricsPatience, WriteTimeout: metricsPatience, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	context.AfterFunc(ctx, func() { web.Close() })
	log.Info("metrics", "address", l.Addr().String())
	return func() error {
		if err := web.Serve(netutil.LimitListener(l, metricsConnections)); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

const tlsrptPrefix = "starttls_list_tlsrpt_"

// tlsrptTable are the metrics of tlsrpt serve. Counters begin at its start. Nothing has a domain for a label.
var tlsrptTable = []exposition.Metric{
	{Name: tlsrptPrefix + "build_info", Kind: exposition.Gauge, Labels: []string{"version"}, Help: "1; the label is the version of the program."},
	{Name: tlsrptPrefix + "answers_total", Kind: exposition.Counter, Labels: []string{"code"}, Help: "Requests answered, by HTTP status."},
	{Name: tlsrptPrefix + "documents_total", Kind: exposition.Counter, Labels: []string{"outcome"}, Help: "What became of documents: reports (which count), shown, contributions, duplicates, foreign, unattributed, empty, unreadable, refused; limited and unknown-address of requests."},
	{Name: tlsrptPrefix + "domains", Kind: exposition.Gauge, Labels: []string{"state"}, Help: "Domains that asked for their reports to be taken: waiting, enrolled or gone."},
	{Name: tlsrptPrefix + "full", Kind: exposition.Gauge, Help: "1 while the store has no room for the last document."},
}

func tlsrptMetricsText(s tlsrpt.IntakeStats) []byte {
	set := exposition.NewSet(tlsrptTable)
	add := func(name string, value float64, labels ...string) { set.Add(tlsrptPrefix+name, value, labels...) }
	add("build_info", 1, version)
	for code, n := range s.Answers {
		add("answers_total", float64(n), strconv.Itoa(code))
	}
	for _, name := range tlsrpt.Counts() {
		add("documents_total", float64(s.Documents[name]), string(name))
	}
	for _, state := range []tlsrpt.EnrolmentState{tlsrpt.Waiting, tlsrpt.Enrolled, tlsrpt.Gone} {
		add("domains", float64(s.Domains[state]), string(state))
	}
	add("full", truth(s.Full))
	return set.Text()
}
