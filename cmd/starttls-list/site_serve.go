package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/net/netutil"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/mirror/site/live"
	"github.com/starttls-everywhere/policylist/mirror/visitors"
)

const siteServeLong = `Serve shows a folder that "site build" or "mirror" wrote to web browsers, and to clients of the list: with the content types
and cache headers of the format, without listings, and nothing from outside the folder. It is for a look before publishing,
and for small mirrors behind a web server that speaks TLS; it reads files only, and needs nothing else.

With --probe a visitor may have a domain looked at from here, as probe does, at site/probe/: the page says what was found and how
to put it right, which records to publish, and, with --repository on GitHub, has a link that opens the pull request. It needs
what probe needs: outbound port 25, and this machine's full host name (--ehlo). Strangers then choose whom this machine
visits, so it visits public addresses only, nobody in --opt-out, each mail server one at a time and twice a minute, each
domain once in --cooldown, whoever asks. Who asks too often has to wait. Behind a proxy say with --trust-proxy which addresses
are the proxy's, or all visitors count as one. It writes down neither who asked nor for what. DIR needs a site.

Exit codes: 0 stopped by a signal, 3 wrong usage, 4 internal.`

const siteServeExample = `  $ starttls-list site serve public --listen 127.0.0.1:8080
  serving public at http://127.0.0.1:8080/`

func newSiteServeCommand() *cobra.Command {
	var listen string
	var f siteProbeFlags
	c := &cobra.Command{
		Use: "serve DIR", Short: "shows a folder with a site to web browsers", Long: siteServeLong, Example: siteServeExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runSiteServe(c, args[0], listen, f) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port; port 0 takes a free one")
	f.flags(c.Flags())
	return c
}

// Deadlines and bounds of a server whose clients are strangers: a header takes a moment, a list of some hundred megabytes a
// while over a slow line.
const (
	siteHeaderTimeout = 10 * time.Second
	siteWriteTimeout  = 10 * time.Minute
	siteIdleTimeout   = time.Minute
	siteStopTimeout   = 5 * time.Second
	siteConnections   = 512
)

func runSiteServe(c *cobra.Command, dir, listen string, f siteProbeFlags) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "give the folder that site build wrote to"}
	}
	defer root.Close()
	if _, err := root.Stat("index.html"); err != nil {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s has no index.html: %w", dir, err), Hint: "give the folder that site build wrote to"}
	}
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return usage(c, fmt.Errorf("--listen: %w", err))
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	handler, stop, err := f.handler(c, root, log)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(c.Context(), "tcp", listen)
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: "another --listen, perhaps"}
	}
	fmt.Fprintf(c.OutOrStdout(), "serving %s at http://%s/\n", term.Escape(dir), l.Addr())
	if f.enabled && len(f.proxies) == 0 {
		l = visitors.FairListener(l) // with a proxy all come from it
	}
	server := newSiteServer(handler, log)
	done := make(chan error, 1)
	go func() { done <- server.Serve(netutil.LimitListener(l, siteConnections)) }()
	select {
	case err := <-done:
		return &term.Exit{Code: exitInternal, Err: err}
	case <-c.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), siteStopTimeout)
	defer cancel()
	stop(ctx)
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	<-done
	return server.Close()
}

// newSiteServer lets no client keep it waiting.
func newSiteServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ErrorLog: visitors.ErrorLog(log), ReadHeaderTimeout: siteHeaderTimeout, ReadTimeout: siteHeaderTimeout,
		WriteTimeout: siteWriteTimeout, IdleTimeout: siteIdleTimeout, MaxHeaderBytes: 16 << 10}
}

// handler serves the folder and, with --probe, visitors' looks; stop ends these.
func (f *siteProbeFlags) handler(c *cobra.Command, root *os.Root, log *slog.Logger) (h http.Handler, stop func(context.Context), err error) {
	h, stop = site.Handler(root), func(context.Context) {}
	if !f.enabled {
		if name := f.without(c.Flags()); name != "" {
			err = usage(c, fmt.Errorf("--%s goes with --probe", name))
		}
		return h, stop, err
	}
	opts, err := f.options(log)
	if err != nil {
		return nil, nil, usage(c, err)
	}
	prober, err := f.prober()
	if err != nil {
		return nil, nil, &term.Exit{Code: exitUsage, Err: err, Hint: "give --ehlo this machine's full host name, or --allow-loopback for a lab"}
	}
	server, err := live.New(root, prober, opts)
	if err != nil {
		return nil, nil, &term.Exit{Code: exitUsage, Err: err, Hint: "--probe stands beside a site: give the folder that site build wrote to"}
	}
	return server.Handler(h), server.Stop, nil
}

// without names a flag that was given and has no meaning without --probe.
func (f *siteProbeFlags) without(given *pflag.FlagSet) (name string) {
	var all pflag.FlagSet
	new(siteProbeFlags).flags(&all)
	given.Visit(func(flag *pflag.Flag) {
		if all.Lookup(flag.Name) != nil {
			name = flag.Name
		}
	})
	return name
}
