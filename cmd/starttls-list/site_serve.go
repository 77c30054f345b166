package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/site"
)

const siteServeLong = `Serve shows a folder that "site build" or "mirror" wrote to web browsers, and to clients of the list: with the content types
and cache headers of the format, without listings, and nothing from outside the folder. It is for a look before publishing,
and for small mirrors behind a web server that speaks TLS; it reads files only, and needs nothing else.

Exit codes: 0 stopped by a signal, 3 wrong usage, 4 internal.`

const siteServeExample = `  $ starttls-list site serve public --listen 127.0.0.1:8080
  serving public at http://127.0.0.1:8080/`

func newSiteServeCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "serve DIR", Short: "shows a folder with a site to web browsers", Long: siteServeLong, Example: siteServeExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runSiteServe(c, args[0], listen) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port; port 0 takes a free one")
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

func runSiteServe(c *cobra.Command, dir, listen string) error {
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
	var lc net.ListenConfig
	l, err := lc.Listen(c.Context(), "tcp", listen)
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: "another --listen, perhaps"}
	}
	fmt.Fprintf(c.OutOrStdout(), "serving %s at http://%s/\n", term.Escape(dir), l.Addr())
	server := &http.Server{Handler: site.Handler(root), ReadHeaderTimeout: siteHeaderTimeout, ReadTimeout: siteHeaderTimeout, WriteTimeout: siteWriteTimeout,
		IdleTimeout: siteIdleTimeout, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- server.Serve(netutil.LimitListener(l, siteConnections)) }()
	select {
	case err := <-done:
		return &term.Exit{Code: exitInternal, Err: err}
	case <-c.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), siteStopTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	<-done
	return server.Close()
}
