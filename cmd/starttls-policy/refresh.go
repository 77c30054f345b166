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
			d, err := parseDomain(args[0])
			if err != nil {
				return err
			}
			_, reply, err := a.askDaemon(c, place, refreshPatience, refreshMap, d.String())
			if err == nil {
				line(a.stdout, "%s", reply.Value)
			}
			return err
		},
	}
	c.Flags().StringVar(&place, "socket", "", socketUsage)
	return c
}

const socketUsage = "where the daemon listens (default: the first of listen in [serve])"

// askDaemon asks "serve" one question at the given place, or where the configuration says that it listens, and returns
// where that is. A daemon that answers with an error has not answered.
func (a *app) askDaemon(c *cobra.Command, place string, patience time.Duration, mapName, key string) (listenPlace, socketmap.Reply, error) {
	socket, err := a.daemonPlace(c, place)
	if err != nil {
		return socket, socketmap.Reply{}, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	network, address := socket.split()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return socket, socketmap.Reply{}, failed(err, "starttls-policy serve has to run")
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, err := socketmap.Ask(conn, mapName, key)
	if err == nil && reply.Temp != "" {
		err = errors.New(reply.Temp)
	}
	if err != nil {
		return socket, reply, failed(fmt.Errorf("%s: %w", socket, err), "is it starttls-policy serve that listens there?")
	}
	return socket, reply, nil
}

func (a *app) daemonPlace(c *cobra.Command, place string) (socket listenPlace, err error) {
	if place != "" {
		if err := socket.UnmarshalText([]byte(place)); err != nil {
			return "", usage(c, fmt.Errorf("--socket: %w", err))
		}
		return socket, nil
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return "", err
	}
	if len(cfg.Serve.Listen) == 0 {
		return "", failed(errors.New("it is not known where the daemon listens"), "name its socket with --socket")
	}
	return cfg.Serve.Listen[0], nil
}
