package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// pingPatience is far more than an answer takes that nobody else has to be asked for.
const pingPatience = 5 * time.Second

// pingKey is nobody's domain: a parent, as Postfix asks for after "not found", which no list can name.
const pingKey = ".invalid"

func newPing(a *app) *cobra.Command {
	var place string
	c := &cobra.Command{
		Use:   "ping",
		Short: "tell whether the daemon answers",
		Long: `Ping asks "serve" a question that no list and no domain is looked at for. It is what a container's health check, or a
monitoring, wants to know: while nothing answers, Postfix defers all mail. How old the lists are is for "status" to tell; that
the daemon is started anew for it would help nobody.

Exit codes: 0 it answers, 1 it does not, 2 wrong usage or configuration.`,
		Example: `  # starttls-policy ping
  127.0.0.1:8461: the daemon answers`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			socket, reply, err := a.askDaemon(c, place, pingPatience, "legacy", pingKey)
			if err != nil {
				return err
			}
			if reply.Value != "" {
				return failed(errors.New("there is an answer for a name that nobody can list"), "another program listens there")
			}
			line(a.stdout, "%s: the daemon answers", socket)
			return nil
		},
	}
	c.Flags().StringVar(&place, "socket", "", socketUsage)
	return c
}
