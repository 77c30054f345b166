package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// previewDetail is what is shown besides what the gate goes by.
type previewDetail struct {
	tlsrpt discovery.TLSRPT
	dane   []hostDANE
}

// printPreview prints one domain. Whatever comes from its servers is escaped: it ends up in the log of a workflow, where
// a line that begins with "::" is a command.
func printPreview(w io.Writer, checked pipeline.Checked, ch policy.SourceChange, s pipeline.Sighted, d previewDetail) {
	through := ""
	if ch.Alias != "" {
		through = fmt.Sprintf(" (by the alias %q)", ch.Alias)
	}
	fmt.Fprintf(w, "%s  %s%s\n", ch.Domain, ch.Class, term.Escape(through))
	printSeen(w, s, d)
	printOutcome(w, pipeline.Preview(checked, ch, s))
	if ask := recordFor(ch, s.At); ask.Kind != "" {
		printSeenLine(w, "the owner may say so with", "%s.%s. TXT %q", proof.Name, ch.Domain, ask)
	}
}

// printSeen prints what a look saw.
func printSeen(w io.Writer, s pipeline.Sighted, d previewDetail) {
	printSeenLine(w, "MX", "%s", routeText(s.Route))
	printSeenLine(w, "MTA-STS", "%s", stsText(s.STS))
	for _, h := range d.dane {
		printSeenLine(w, "TLSA", "%s: %s", h.name, daneText(h.DANE))
	}
	printSeenLine(w, "TLSRPT", "%s", tlsrptText(d.tlsrpt))
	printSeenLine(w, "proof", "%s", proofText(s.Proof))
}

func printSeenLine(w io.Writer, what, format string, args ...any) {
	fmt.Fprintf(w, "  %s: %s\n", what, term.Escape(fmt.Sprintf(format, args...)))
}

// recordFor is what the owner publishes to agree with a change.
func recordFor(ch policy.SourceChange, now time.Time) proof.Record {
	exp := now.AddDate(0, 0, proofDays)
	if ch.New == nil {
		r := proof.For(policy.Policy{}, exp)
		return proof.Record{Kind: proof.Remove, Expires: r.Expires}
	}
	return proof.For(*ch.New, exp)
}

func printOutcome(w io.Writer, o gate.Outcome) {
	if o.Step != nil {
		fmt.Fprintf(w, "  the gate: made at the next release (%s), if the vantages see the same and mail arrives\n", o.Step.Reason)
	}
	for _, wait := range o.Waits {
		until := "needs what follows"
		if !wait.Until.IsZero() {
			until = "not before " + stamp(wait.Until)
		}
		fmt.Fprintf(w, "  the gate: held, %s\n", until)
		printFindings(w, "    ", wait.Findings)
	}
	if o.Step == nil && len(o.Waits) == 0 {
		fmt.Fprintln(w, "  the gate: nothing to decide")
	}
}

func routeText(r discovery.Route) string {
	var hosts []string
	for _, h := range r.Hosts {
		text := fmt.Sprintf("%d %s", h.Preference, h.Name)
		if h.Flaw != "" {
			text += fmt.Sprintf(" (%s)", h.Flaw)
		}
		hosts = append(hosts, text)
	}
	switch r.Kind {
	case discovery.RouteHosts, discovery.RouteImplicit:
		return strings.Join(hosts, ", ")
	case discovery.RouteNull:
		return "takes no mail (null MX)"
	case discovery.RouteNone:
		return "no MX and no address"
	}
	return "the lookup failed: " + string(r.Answer.Status)
}

func stsText(s discovery.STS) string {
	switch s.Status {
	case discovery.STSNone:
		return "none"
	case discovery.STSOK:
		p := s.Policy
		return fmt.Sprintf("%s, %s, %v", p.Mode, term.Plural(int(p.MaxAge/(24*time.Hour)), "day"), p.MXs)
	}
	return fmt.Sprintf("%s: %s", s.Status, s.Detail)
}

func daneText(d discovery.DANE) string {
	switch d.Kind {
	case discovery.DANEUsable:
		return fmt.Sprintf("DANE, %s at %s", term.Plural(len(d.Records), "usable record"), d.Base)
	case discovery.DANEUnusable:
		return "records, none of them usable"
	case discovery.DANEFailed:
		return "the lookup failed: senders that do DANE wait"
	}
	return "no record that DNSSEC vouches for"
}

func tlsrptText(t discovery.TLSRPT) string {
	text := string(t.Status)
	if t.Status == discovery.TLSRPTOK {
		text = strings.Join(t.RUA, ", ")
	}
	return strings.Join(slices.Insert(slices.Clone(t.Faults), 0, text), "; ")
}

func proofText(p discovery.Proof) string {
	text := string(p.Status)
	if p.Status == discovery.ProofOK {
		text = p.Record.String()
	} else if p.Detail != "" {
		text += ": " + p.Detail
	}
	if len(p.Answer.Chain) > 0 {
		text += " (by " + p.Answer.Chain[len(p.Answer.Chain)-1] + ")"
	}
	return text
}
