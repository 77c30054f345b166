package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// answer is what query prints.
type answer struct {
	Domain    string           `json:"domain"`
	Listed    bool             `json:"listed"`
	List      string           `json:"list,omitempty"`
	Mode      string           `json:"mode,omitempty"`
	MXs       []string         `json:"mxs,omitempty"`
	Release   int64            `json:"release,omitempty"`
	Freshness mirror.Freshness `json:"freshness,omitempty"`
	Local     []string         `json:"local,omitempty"` // what this machine says besides: see localWords
}

func newQuery(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "query DOMAIN",
		Short: "tell a domain's policy",
		Long: `Query looks a domain up in the lists as they are held; it asks nobody. Capitals, a final dot and names in other scripts
are understood. A list that has expired counts as empty unless its configuration says "keep". An override of this machine and
the kill switch are told as well; what the domain says itself is for explain.

Exit codes: 0 listed, 4 not listed, 1 a list could not be read, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy query A.Example.
  a.example: enforce mx1.a.example mx2.a.example (list example, release 1, fresh)
  $ starttls-policy query unknown.example
  unknown.example: not listed`,
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error { return a.query(args[0]) },
	}
}

func (a *app) query(name string) error {
	d, cfg, lists, err := a.consult(name)
	if err != nil {
		return err
	}
	out := answer{Domain: d.String()}
	l, p, ok := find(lists, d)
	if ok {
		out = answerOf(d, l, p)
	}
	out.Local = append(pinWords(l), a.localWords(cfg, d, p)...)
	switch {
	case a.json:
		if err := writeJSON(a.stdout, out); err != nil {
			return err
		}
	case out.Listed:
		line(a.stdout, "%s: %s %s (list %s, release %d, %s)", out.Domain, out.Mode, strings.Join(out.MXs, " "), out.List, out.Release, out.Freshness)
	default:
		line(a.stdout, "%s: not listed", out.Domain)
	}
	if !a.json {
		for _, word := range out.Local {
			line(a.stdout, "  %s", word)
		}
	}
	if !out.Listed {
		return exit(exitNotListed)
	}
	return nil
}

// warn names the lists whose answer may not be what the administrator expects.
func (a *app) warn(lists []standing) {
	for _, l := range lists {
		switch {
		case l.Freshness == mirror.None:
			line(a.stderr, "starttls-policy: warning: list %s was never fetched: starttls-policy update", l.name)
		case l.Freshness == mirror.Expired && !l.client.KeepStale:
			line(a.stderr, "starttls-policy: warning: list %s expired at %s and counts as empty", l.name, stamp(l.Release.Expires))
		case l.Freshness == mirror.Expired:
			line(a.stderr, "starttls-policy: warning: list %s expired at %s and is in force all the same", l.name, stamp(l.Release.Expires))
		}
	}
}

func patterns(p policy.Policy) []string {
	out := make([]string, len(p.MXs))
	for i, m := range p.MXs {
		out[i] = m.String()
	}
	return out
}
