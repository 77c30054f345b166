package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// proposed is a proposal with what it rests on.
type proposed struct {
	*pipeline.Proposal
	seen      pipeline.Sighted
	detail    previewDetail
	servers   served
	proofName string
	port      int // of mail servers
	refused   bool
	wrote     string // the file, "" for none
}

// print tells what was seen, what was made of it, and what comes next.
func (p proposed) print(w io.Writer) {
	fmt.Fprintln(w, p.Domain)
	printSeen(w, p.seen, p.detail)
	fmt.Fprintf(w, "  mail servers: %s\n", term.Escape(p.servers.text()))
	printFindings(w, "    ", p.servers.findings)
	if p.Listed != nil {
		fmt.Fprintf(w, "  listed as: %s, managed by %s\n", p.Listed.Policy.AppendJSON(nil), p.Listed.ManagedBy)
	}
	if p.Kind == proof.Change {
		fmt.Fprintf(w, "  way in: %s: %s\n", p.Way, p.Why)
	}
	p.printFile(w)
	p.printRecords(w)
	if p.refused {
		return
	}
	for _, line := range p.publish() {
		fmt.Fprintln(w, "publish: "+line)
	}
	if len(p.Today.Waits) > 0 || p.Today.Step != nil {
		fmt.Fprintln(w, "today")
		printOutcome(w, p.Today)
	}
	if p.Record != nil && (len(p.Agreed.Waits) > 0 || p.Agreed.Step != nil) {
		fmt.Fprintln(w, "with the record in place")
		printOutcome(w, p.Agreed)
	}
	for i, step := range p.next() {
		fmt.Fprintf(w, "next %d: %s\n", i+1, step)
	}
}

// printFile shows the file, or says where it went.
func (p proposed) printFile(w io.Writer) {
	if p.Draft == nil {
		return
	}
	term.Findings(w, p.Draft.Findings)
	switch {
	case p.wrote != "":
		fmt.Fprintf(w, "wrote %s\n", term.Escape(p.wrote))
	default:
		fmt.Fprintf(w, "%s would be\n", term.Escape(p.Draft.Path))
		for line := range strings.Lines(string(p.Draft.Data)) {
			fmt.Fprintf(w, "  %s\n", term.Escape(strings.TrimSuffix(line, "\n")))
		}
	}
}

// publish are the records for the owner's zone, as a zone file has them.
func (p proposed) publish() []string {
	return proofRecords(p.Domain.String(), p.proofName, p.Record)
}

func proofRecords(domain, proofName string, r *proof.Record) []string {
	name := proof.Name + "." + domain
	switch {
	case r == nil:
		return nil
	case proofName == "", proofName == name:
		return []string{fmt.Sprintf("%s. TXT %q", name, r)}
	}
	return []string{fmt.Sprintf("%s. CNAME %s.", name, proofName), fmt.Sprintf("%s. TXT %q", proofName, r)}
}

// text is "pass", "fail (cert.expired)".
func (s served) text() string {
	switch {
	case s.verdict == "":
		return "not asked: " + s.why
	case s.blocked:
		return "none answered on port 25, so this says nothing of them: most homes and hosted runners let no such connection out. The list's vantages will look"
	case len(s.codes) > 0:
		return fmt.Sprintf("%s (%s)", s.verdict, strings.Join(s.codes, " "))
	}
	return string(s.verdict)
}

// next is what the owner has to do.
func (p proposed) next() (steps []string) {
	switch p.Kind {
	case proof.Remove:
		steps = append(steps, "publish the record: it alone starts the clock, no pull request is needed",
			"leave it there until the list has let the domain go")
		if p.Listed != nil && p.Listed.ManagedBy == policy.ManagedByMTASTS {
			steps = append(steps, "or, since the entry follows MTA-STS, serve a policy with mode none for 48 hours")
		}
		return steps
	case proof.Emergency:
		if p.Listed != nil && p.Listed.Policy.Mode == policy.Testing {
			steps = append(steps, "nothing, where the published list says testing as its source does: senders deliver all the same")
		}
		return append(steps, "publish the record: once the vantages see it, and that mail fails, the next release says testing",
			"put the servers right; then propose the entry anew")
	}
	if p.Record != nil {
		steps = append(steps, "publish the record, good through "+day(p.Record.Expires)+"; delete it once the list has made the change")
	}
	if p.wrote != "" {
		steps = append(steps, "open a pull request with "+p.wrote)
	} else {
		steps = append(steps, "send the file above to the list, as a pull request")
	}
	if p.Entry.Mode == policy.Testing {
		steps = append(steps, "keep mail arriving: after weeks of that, enforce can be asked for (MTA-STS mode enforce, or propose --mode enforce)")
	}
	return steps
}

// day is the last day of a record that is void from then on.
func day(void time.Time) string { return void.UTC().AddDate(0, 0, -1).Format(time.DateOnly) }

func (p proposed) printJSON(w io.Writer) error {
	j := map[string]any{
		"domain": p.Domain.String(), "kind": p.Kind, "wrote": p.wrote, "refused": p.refused,
		"servers": map[string]any{"verdict": p.servers.verdict, "codes": nonNil(p.servers.codes), "unanswered": p.servers.blocked, "why": p.servers.why},
		"today":   outcomeJSON(p.Today), "publish": nonNil(p.records()),
	}
	if p.Entry != nil {
		j["entry"], j["way"], j["why"] = json.RawMessage(p.Entry.AppendJSON(nil)), p.Way, p.Why
	}
	if p.Listed != nil {
		j["listed"] = json.RawMessage(p.Listed.Policy.AppendJSON(nil))
	}
	if p.Draft != nil {
		j["path"], j["file"], j["findings"] = p.Draft.Path, string(p.Draft.Data), nonNil(p.Draft.Findings)
	}
	if p.Record != nil {
		j["record"] = map[string]any{"name": proof.Name + "." + p.Domain.String(), "value": p.Record.String(), "through": day(p.Record.Expires),
			"records": p.publish()}
		j["agreed"] = outcomeJSON(p.Agreed)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(j)
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// outcomeJSON is {"step":"add.testing"} or {"held":[{"codes":[…],"until":"…"}]}.
func outcomeJSON(o gate.Outcome) map[string]any {
	j := map[string]any{}
	if o.Step != nil {
		j["step"] = o.Step.Reason
	}
	held := []map[string]any{}
	for _, w := range o.Waits {
		var codes []string
		for _, f := range w.Findings {
			codes = append(codes, f.Code)
		}
		h := map[string]any{"codes": codes, "findings": w.Findings}
		if !w.Until.IsZero() {
			h["until"] = stamp(w.Until)
		}
		held = append(held, h)
	}
	j["held"] = held
	return j
}
