package main

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// onlooker is a publisher for those who only look at what it knows: without keys, which they need not have, and without
// mirrors. source is the list's; "" takes the configuration's. Errors have their exit codes.
func onlooker(c *cobra.Command, path, source string) (*pipeline.Publisher, error) {
	cfg, err := readConfig(path)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "starttls-list init writes a configuration that explains every key"}
	}
	if source == "" {
		source = cfg.path(cfg.Source)
	}
	chain, err := mirror.ReadTrust(cfg.path(cfg.Trust))
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: configHint(err)}
	}
	p := &pipeline.Publisher{
		Source: source, Commit: commit(c.Context(), source), Trust: chain, Gate: cfg.gate(), Evidence: cfg.evidenceSource(), Now: time.Now,
		Log: slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)),
	}
	cfg.setFeedback(p)
	if err := cfg.setState(c.Context(), p); err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err}
	}
	return p, nil
}
