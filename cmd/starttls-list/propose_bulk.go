package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// runBulk proposes many domains of one provider.
func (f *proposeFlags) runBulk(c *cobra.Command, source string, mode policy.Mode, mxs []policy.MXPattern) error {
	failed := f.failed
	if failed == "" {
		failed = f.bulk + ".failed"
	}
	text, err := readFile(f.bulk, pipeline.MaxBulkBytes)
	if err != nil {
		return usage(c, fmt.Errorf("--bulk: %w", err))
	}
	rows, err := pipeline.ParseBulk(f.bulk, text)
	if err != nil {
		return usage(c, err)
	}
	checked, err := readSource(c, source, "")
	if err != nil {
		return err
	}
	pipeline.MarkListed(rows, checked.Source())
	bulk, err := f.splitBulk(c, rows, mode, mxs)
	if err != nil {
		return err
	}
	var draft *pipeline.Draft
	if len(bulk.In()) > 0 {
		draft, err = pipeline.DraftFile(c.Context(), source, f.alias, bulk.Edits())
		if err == nil && policy.HasErrors(draft.Findings) {
			term.Findings(c.ErrOrStderr(), draft.Findings)
			err = &term.Exit{Code: exitFail, Err: errors.New("the fragment would have errors, so nothing was written")}
		}
		var exit *term.Exit
		if err != nil && !errors.As(err, &exit) {
			err = proposeError(source, err)
		}
		if err != nil {
			return err
		}
	}
	if !f.dry {
		if err := f.writeBulk(bulk, draft, failed); err != nil {
			return proposeError(source, err)
		}
	}
	record := proof.For(bulk.Policy, time.Now().AddDate(0, 0, proofDays))
	if f.asJSON {
		err = f.bulkJSON(c.OutOrStdout(), bulk, draft, failed, record)
	} else {
		f.printBulk(c.OutOrStdout(), bulk, draft, failed, record)
	}
	if err == nil && len(bulk.Out()) > 0 {
		err = &term.Exit{Code: exitFail}
	}
	return err
}

// splitBulk looks at the domains. The prober visits each server once for all that share it.
func (f *proposeFlags) splitBulk(c *cobra.Command, rows []pipeline.BulkRow, mode policy.Mode, mxs []policy.MXPattern) (*pipeline.Bulk, error) {
	o, err := f.proberOptions()
	if err != nil {
		return nil, usage(c, err)
	}
	prober, err := probe.New(o)
	if errors.Is(err, probe.ErrOptions) {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "give --ehlo this machine's full host name, or --allow-loopback for a lab"}
	}
	if err != nil {
		return nil, usage(c, err)
	}
	targets := pipeline.Pending(rows)
	bar := newScanProgress(c.OutOrStdout(), c.ErrOrStderr(), len(targets), 0, time.Now)
	defer bar.end()
	var results []probe.Result
	err = prober.Each(c.Context(), targets, func(r probe.Result) error {
		results = append(results, r)
		bar.show(len(results))
		return nil
	})
	if err != nil {
		return nil, err
	}
	bulk, err := pipeline.SplitBulk(f.alias, rows, results, mode, mxs)
	if err != nil {
		return nil, &term.Exit{Code: exitFail, Err: err, Hint: "name the provider's hosts with --mx"}
	}
	return bulk, nil
}

// writeBulk writes the fragment and what is left out. Of an earlier run's rows nothing stays: they would be taken for
// this one's. A file that no such run wrote is not touched.
func (f *proposeFlags) writeBulk(b *pipeline.Bulk, draft *pipeline.Draft, failed string) error {
	old, err := readFile(failed, int64(len(pipeline.BulkFailedHeader)+2*pipeline.MaxBulkBytes))
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	case there && !bytes.HasPrefix(old, []byte(pipeline.BulkFailedHeader)):
		return fmt.Errorf("%w: %s", pipeline.ErrTaken, failed)
	case len(b.Out()) > 0:
		err = durable.WriteFile(failed, pipeline.FormatBulkFailed(b.Rows), 0o644)
	case there:
		err = os.Remove(failed)
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	if draft == nil {
		return nil
	}
	return draft.Write()
}

func (f *proposeFlags) printBulk(w io.Writer, b *pipeline.Bulk, draft *pipeline.Draft, failed string, r proof.Record) {
	fmt.Fprintf(w, "%s: %s\n", f.alias, b.Policy.AppendJSON(nil))
	if b.Unanswered {
		fmt.Fprintf(w, "mail servers: %s\n", served{verdict: probe.Inconclusive, blocked: true}.text())
	}
	did, went := "in", "left out, in"
	if f.dry {
		did, went = "would be in", "would be left out, in"
	}
	if draft != nil {
		term.Findings(w, draft.Findings)
		fmt.Fprintf(w, "%s %s %s\n", term.Plural(len(b.In()), "domain"), did, term.Escape(draft.Path))
	}
	if out := b.Out(); len(out) > 0 {
		fmt.Fprintf(w, "%s %s %s\n", term.Plural(len(out), "row"), went, term.Escape(failed))
		for _, x := range out {
			fmt.Fprintf(w, "  line %d: %s: %s\n", x.Line, term.Escape(x.Text), term.Escape(fmt.Sprint(x.Codes)))
		}
	}
	if len(provenIn(b)) == 0 {
		return
	}
	name := f.proofName
	if name == "" {
		name = "NAME"
		fmt.Fprintln(w, "one record proves for all, at a NAME in the provider's zone (--proof-name)")
	}
	fmt.Fprintf(w, "publish: %s. TXT %q\n", name, r)
	fmt.Fprintf(w, "publish for %s, all without a long-lived MTA-STS policy: %s.DOMAIN. CNAME %s.\n",
		term.Plural(len(provenIn(b)), "domain"), proof.Name, name)
}

// provenIn are the rows that need the record.
func provenIn(b *pipeline.Bulk) (out []pipeline.BulkRow) {
	for _, r := range b.In() {
		if r.Managed == policy.ManagedByOwner {
			out = append(out, r)
		}
	}
	return out
}

func (f *proposeFlags) bulkJSON(w io.Writer, b *pipeline.Bulk, draft *pipeline.Draft, failed string, r proof.Record) error {
	in, out := []map[string]any{}, []map[string]any{}
	for _, x := range b.In() {
		in = append(in, map[string]any{"domain": x.Domain.String(), "managed-by": x.Managed})
	}
	for _, x := range b.Out() {
		out = append(out, map[string]any{"line": x.Line, "text": x.Text, "codes": x.Codes})
	}
	j := map[string]any{"alias": f.alias, "policy": json.RawMessage(b.Policy.AppendJSON(nil)), "in": in, "out": out,
		"unanswered": b.Unanswered, "record": r.String(), "failed": "", "path": ""}
	if draft != nil {
		j["path"] = draft.Path
	}
	if len(out) > 0 {
		j["failed"] = failed
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(j)
}
