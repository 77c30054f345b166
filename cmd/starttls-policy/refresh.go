package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// refreshPatience bounds the whole of "refresh": DNS and HTTPS of a domain that may be slow.
const refreshPatience = time.Minute

func newRefresh(a *app) *cobra.Command {
	var socket listenPlace
	var place string
	c := &cobra.Command{
		Use:   "refresh DOMAIN",
		Short: "let the daemon ask a domain anew, now",
		Long: `Refresh makes "serve" look up a domain's MX hosts, TLSA records and MTA-STS policy now, instead of when what it knows is an
hour old: after the domain has moved, say. A policy that is still valid goes only when the domain itself says another one.
It prints whose word counts afterwards.

Exit codes: 0 done, 1 the daemon does not answer, 2 wrong usage or configuration.`,
		Example: `  # starttls-policy refresh a.example
  a.example: mta-sts`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if place != "" {
				if err := socket.UnmarshalText([]byte(place)); err != nil {
					return usage(c, fmt.Errorf("--socket: %w", err))
				}
			}
			return a.refresh(c.Context(), args[0], socket)
		},
	}
	c.Flags().StringVar(&place, "socket", "", "where the daemon listens (default: the first of listen in [serve])")
	return c
}

func (a *app) refresh(ctx context.Context, name string, socket listenPlace) error {
	d, err := parseDomain(name)
	if err != nil {
		return err
	}
	if socket == "" {
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		if len(cfg.Serve.Listen) == 0 {
			return failed(errors.New("it is not known where the daemon listens"), "name its socket with --socket")
		}
		socket = cfg.Serve.Listen[0]
	}
	ctx, cancel := context.WithTimeout(ctx, refreshPatience)
	defer cancel()
	network, address := socket.split()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return failed(err, "starttls-policy serve has to run")
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	reply, err := socketmap.Ask(c, refreshMap, d.String())
	if err != nil {
		return failed(fmt.Errorf("%s: %w", socket, err), "is it starttls-policy serve that listens there?")
	}
	line(a.stdout, "%s", reply.Value)
	return nil
}
