package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
	"github.com/starttls-everywhere/policylist/transparency"
)

// explanation is what explain prints.
type explanation struct {
	answer
	Origin    string   `json:"origin,omitempty"`
	Timestamp string   `json:"timestamp,omitempty"`
	Expires   string   `json:"expires,omitempty"`
	Trust     int64    `json:"trust,omitempty"`
	Witnessed bool     `json:"witnessed"`
	LogSize   int64    `json:"log_size,omitempty"`
	LogIndex  int64    `json:"log_index,omitempty"` // of the release's leaf
	Proof     string   `json:"proof,omitempty"`     // file
	ProofBad  string   `json:"proof_error,omitempty"`
	Postfix   string   `json:"postfix,omitempty"` // the table's right-hand side
	Why       []string `json:"why"`
	Passed    []string `json:"passed,omitempty"` // lists asked before, which do not name the domain
	Sources   surveyed `json:"all"`
}

func newExplain(a *app) *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain DOMAIN",
		Short: "tell a domain's policy, where it comes from and what the mail server is told",
		Long: `Explain looks a domain up as query does, and says which list answers, by which release, how that is proved, and what a
Postfix table says about the domain and why: also when the domain is left out for what it says itself (see [leave-out] in the
configuration), or when an override or the kill switch comes first.

Then it says what each source has to say, in the order in which they count, also those that do not come to count: override,
DANE, MTA-STS, each list. "no policy" and "lookup failed" are two things. With [serve] in the configuration the daemon is
asked, and what it holds is shown; when it does not answer, and with --live, the domain's DNS and web server are asked from
here. --live=false asks nobody: of MTA-STS it shows what the daemon last saved.

Exit codes: 0 listed, 4 not listed, 1 a list could not be read, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy explain b.example
  b.example: enforce .mail.b.example
    list example answers, fresh: release 1 of log.example/list, made 2026-03-01T12:00:00Z, expires 2026-03-15T12:00:00Z
    proof: the release is log entry 3, the last of 4, signed as trust version 1 says, not witnessed
      /var/lib/starttls-policy/example/policy.json.tlog-proof
    Postfix (dialect sni): secure match=.mail.b.example servername=hostname
    - mail is delivered only over TLS, to a certificate of a trusted CA for one of the names
    - ".mail.b.example" means one label in the list, any depth in a Postfix table: the line accepts more than the list, never less
    sources, in the order in which the daemon follows them; asked: nobody
      override: no policy
      dane: not asked
      mta-sts: not asked
      list example: enforce .mail.b.example, until 2026-03-15T12:00:00Z (release 1)`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error { return a.explain(c, args[0], o) },
	}
	o.flags(c)
	return c
}

func (a *app) explain(c *cobra.Command, name string, o explainOptions) error {
	ctx := c.Context()
	d, cfg, lists, err := a.consult(name)
	if err != nil {
		return err
	}
	e := explanation{answer: answer{Domain: d.String()}}
	l, p, ok := find(lists, d)
	for _, before := range lists {
		if ok && before.name == l.name {
			break
		}
		e.Passed = append(e.Passed, before.name)
	}
	if ok {
		e.answer = answerOf(d, l, p)
		e.origin(l)
		e.table(d, p, cfg.Postfix, dialectOr(ctx, cfg))
		e.local(ctx, a.localSay(cfg), cfg, d, p)
	} else {
		e.Why = []string{"no list names the domain; only the exact name counts, a policy never covers names below it",
			"the mail server's own settings decide"}
		e.local(ctx, a.localSay(cfg), cfg, d, p)
	}
	e.Why = append(e.Why, pinWords(l)...)
	e.Local = append(pinWords(l), a.localWords(cfg, d, p)...)
	if e.Sources, err = a.survey(c, cfg, d, o); err != nil {
		return err
	}
	if a.json {
		err = writeJSON(a.stdout, e)
	} else {
		a.printExplanation(e, dialectOr(ctx, cfg))
		e.Sources.print(a.stdout)
	}
	if !ok {
		err = errors.Join(err, exit(exitNotListed))
	}
	return err
}

func dialectOr(ctx context.Context, c config) (d mta.Dialect) {
	if c.Postfix == nil {
		d, _ = dialectFor(ctx, dialectAuto)
	} else {
		d, _ = dialectOfTable(ctx, *c.Postfix, c.State)
	}
	return d
}

// origin fills in where the policy comes from, and verifies the proof that lies beside the list once more.
func (e *explanation) origin(l standing) {
	e.Origin, e.Timestamp, e.Expires = l.Release.Origin, stamp(l.Release.Timestamp), stamp(l.Release.Expires)
	e.Trust, e.Witnessed, e.LogSize = l.Release.Trust, l.Witnessed, l.LogSize
	path := filepath.Join(l.client.Dir, l.Outcome.Proof)
	release, checkpoint, err := openProof(l.client, path)
	switch {
	case err != nil:
		e.ProofBad = flat{err}.Error()
	case release.Leaf.ListDigest != l.Release.ListDigest:
		e.ProofBad = fmt.Sprintf("%s proves release %d, not release %d", path, release.Leaf.Release, l.Release.Release)
	default:
		e.Proof, e.LogIndex, e.LogSize = path, release.Index, checkpoint.Tree.N
	}
}

func openProof(c *mirror.Client, path string) (*mirror.Release, transparency.Cosigned, error) {
	chain, err := c.Chain()
	if err != nil {
		return nil, transparency.Cosigned{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, transparency.Cosigned{}, err
	}
	p, err := mirror.OpenProof(data, chain) // the update that wrote it knew the newest trust; a later version changes nothing about it
	if err != nil {
		return nil, transparency.Cosigned{}, err
	}
	return &p.Release, p.Checkpoint, nil
}

// table fills in what a Postfix table says, and why.
func (e *explanation) table(domain policy.Domain, p policy.Policy, cfg *postfixConfig, d mta.Dialect) {
	value, err := mta.AppendPostfixValue(nil, domain, p, d)
	switch {
	case errors.Is(err, mta.ErrTesting):
		e.Why = []string{"a testing policy gives no line: mail is delivered as if the domain were not listed"}
		return
	case err != nil:
		e.Why = []string{err.Error()}
		return
	}
	e.Why = []string{"mail is delivered only over TLS 1.2 or later, to a certificate of a trusted CA for one of the names"}
	if d < mta.Floor {
		e.Why[0] = "mail is delivered only over TLS, to a certificate of a trusted CA for one of the names"
	}
	for _, m := range p.MXs {
		switch {
		case !m.IsSuffix() || d.Exact():
			continue
		case cfg != nil && cfg.ExactOnly:
			e.Why = append(e.Why, fmt.Sprintf("%q cannot be matched exactly in a table, and exact-only = true leaves the domain out", m))
			return
		}
		e.Why = append(e.Why, fmt.Sprintf("%q means one label in the list, any depth in a Postfix table: the line accepts more than the list, never less", m))
	}
	e.Postfix = string(value)
}

func (a *app) printExplanation(e explanation, d mta.Dialect) {
	w := a.stdout
	if !e.Listed {
		line(w, "%s: not listed (asked: %s)", e.Domain, strings.Join(e.Passed, ", "))
		if e.Postfix != "" {
			line(w, "  Postfix (dialect %s): %s", d, e.Postfix)
		}
	} else {
		line(w, "%s: %s %s", e.Domain, e.Mode, strings.Join(e.MXs, " "))
		if len(e.Passed) > 0 {
			line(w, "  not named by: %s", strings.Join(e.Passed, ", "))
		}
		line(w, "  list %s answers, %s: release %d of %s, made %s, expires %s", e.List, e.Freshness, e.Release, e.Origin, e.Timestamp, e.Expires)
		witnessed := "not witnessed"
		if e.Witnessed {
			witnessed = "and witnessed"
		}
		if e.ProofBad == "" {
			line(w, "  proof: the release is log entry %d, the last of %d, signed as trust version %d says, %s", e.LogIndex, e.LogSize, e.Trust, witnessed)
			line(w, "    %s", e.Proof)
		} else {
			line(w, "  proof: not at hand (%s); the next update brings it", e.ProofBad)
		}
		if e.Postfix != "" {
			line(w, "  Postfix (dialect %s): %s", d, e.Postfix)
		} else {
			line(w, "  Postfix: no line")
		}
	}
	for _, why := range e.Why {
		line(w, "  - %s", why)
	}
}
