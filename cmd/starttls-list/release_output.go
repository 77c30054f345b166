package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

func printRelease(w io.Writer, out *pipeline.Published) {
	leaf := out.Leaf()
	verb := ""
	if out.Waiting() {
		verb = " (logged, NOT published: see the witnesses)"
	} else if out.Unchanged {
		verb = " (completed; it had been interrupted, and nothing is new since)"
	}
	fmt.Fprintf(w, "release %d of %s: %s, %s, log size %d%s\n", leaf.Release, term.Escape(leaf.Origin), term.Plural(int(leaf.Count), "domain"),
		term.Plural(int(leaf.To-leaf.From), "change"), out.Tree().N, verb)
	printChanges(w, out.Changes())
	printHeld(w, out.Held)
	if leaf.Override != "" {
		fmt.Fprintf(w, "  override  %s (starttls-list code %s)\n", leaf.Override, leaf.Override)
	}
	for _, m := range out.Mirrors {
		switch {
		case m.Err != nil:
			fmt.Fprintf(w, "  mirror %s: NOT published: %s\n", term.Escape(m.Name), term.Lines(m.Err.Error(), "    "))
		case m.Verified:
			fmt.Fprintf(w, "  mirror %s: published and verified\n", term.Escape(m.Name))
		default:
			fmt.Fprintf(w, "  mirror %s: published\n", term.Escape(m.Name))
		}
		printSite(w, m.Site)
	}
	printWitnesses(w, out, time.Now())
}

// printSite tells what became of the pages on a mirror.
func printSite(w io.Writer, s *pipeline.SiteResult) {
	switch {
	case s == nil:
	case s.Err != nil:
		fmt.Fprintf(w, "    pages: NOT as they should be: %s\n", term.Lines(s.Err.Error(), "      "))
	default:
		fmt.Fprintf(w, "    pages: %s, %d written, %d deleted\n", term.Plural(s.Objects, "object"), s.Written, s.Deleted)
	}
}

// printWitnesses tells how old each cosignature is, or why there is none.
func printWitnesses(w io.Writer, out *pipeline.Published, now time.Time) {
	for _, r := range out.Witnesses() {
		name, cosigned := term.Escape(r.Name), ""
		if !r.Time.IsZero() {
			cosigned = fmt.Sprintf("cosigned %s ago", max(0, now.Sub(r.Time)).Round(time.Second))
		}
		switch {
		case r.Err == nil && cosigned != "":
			fmt.Fprintf(w, "  witness %s: %s\n", name, cosigned)
		case r.Err == nil:
			fmt.Fprintf(w, "  witness %s: NO cosignature when the others gave theirs\n", name)
		case cosigned != "":
			fmt.Fprintf(w, "  witness %s: %s; asked again now: %s\n", name, cosigned, term.Escape(r.Err.Error()))
		default:
			fmt.Fprintf(w, "  witness %s: %s\n", name, term.Escape(r.Err.Error()))
		}
	}
	if !out.Witnessed() {
		fmt.Fprintln(w, "  not witnessed: the trust asks for no witness")
	}
}

func printChanges(w io.Writer, changes []mirror.ChangeLeaf) {
	const most = 20
	for i, ch := range changes {
		if i == most {
			fmt.Fprintf(w, "  … and %d more\n", len(changes)-most)
			return
		}
		if ch.Policy == nil {
			fmt.Fprintf(w, "  %-16s  %s  (off the list)\n", ch.Reason, ch.Domain)
			continue
		}
		fmt.Fprintf(w, "  %-16s  %s  %s  %v\n", ch.Reason, ch.Domain, ch.Policy.Mode, mxNames(ch.Policy))
	}
}

func printHeld(w io.Writer, held []pipeline.Held) {
	for _, h := range held {
		why := fmt.Sprintf("probe says %s %v", h.Verdict, h.Codes)
		if h.ByGate() {
			why = heldText(h)
		}
		fmt.Fprintf(w, "  HELD              %s  (%s): %s\n", h.Change.Domain, h.Change.Class, why)
		printFindings(w, "    ", h.Found)
	}
}

func mxNames(p *policy.Policy) []string {
	out := make([]string, len(p.MXs))
	for i, m := range p.MXs {
		out[i] = m.String()
	}
	return out
}

// releaseJSON is the shape of release --json.
type releaseJSON struct {
	Release   int64            `json:"release"`
	Origin    string           `json:"origin"`
	Timestamp string           `json:"timestamp"`
	Expires   string           `json:"expires"`
	Count     int64            `json:"count"`
	LogSize   int64            `json:"log_size"`
	SHA256    string           `json:"list_sha256"`
	Override  string           `json:"override,omitempty"`
	Witnessed bool             `json:"witnessed"`
	Witnesses []witnessJSON    `json:"witnesses"`
	Published bool             `json:"published"` // false: logged, and waiting for witnesses
	Changes   []map[string]any `json:"changes"`
	Held      []map[string]any `json:"held"`
	Mirrors   []mirrorJSON     `json:"mirrors"`
	Findings  []policy.Finding `json:"findings"`
}

type witnessJSON struct {
	Name     string `json:"name"`
	Cosigned string `json:"cosigned,omitempty"` // time
	Error    string `json:"error,omitempty"`
}

type mirrorJSON struct {
	Name     string    `json:"name"`
	Verified bool      `json:"verified"`
	Error    string    `json:"error,omitempty"`
	Site     *siteJSON `json:"site,omitempty"` // absent where no pages are made
}

type siteJSON struct {
	site.Report
	Error string `json:"error,omitempty"`
}

func printReleaseJSON(w io.Writer, out *pipeline.Published) {
	leaf := out.Leaf()
	j := releaseJSON{
		Release: leaf.Release, Origin: leaf.Origin, Timestamp: leaf.Timestamp.Format(policy.TimeFormat), Expires: leaf.Expires.Format(policy.TimeFormat),
		Count: leaf.Count, LogSize: out.Tree().N, SHA256: fmt.Sprintf("%x", leaf.ListDigest), Override: leaf.Override, Witnessed: out.Witnessed(),
		Witnesses: []witnessJSON{}, Published: !out.Waiting(),
		Changes: changesJSON(out.Changes()), Held: pipeline.HeldJSON(out.Held), Mirrors: []mirrorJSON{}, Findings: out.Findings,
	}
	for _, r := range out.Witnesses() {
		wj := witnessJSON{Name: r.Name}
		if !r.Time.IsZero() {
			wj.Cosigned = r.Time.Format(policy.TimeFormat)
		}
		if r.Err != nil {
			wj.Error = r.Err.Error()
		}
		j.Witnesses = append(j.Witnesses, wj)
	}
	for _, m := range out.Mirrors {
		mj := mirrorJSON{Name: m.Name, Verified: m.Verified}
		if m.Err != nil {
			mj.Error = m.Err.Error()
		}
		if m.Site != nil {
			mj.Site = &siteJSON{Report: m.Site.Report}
			if m.Site.Err != nil {
				mj.Site.Error = m.Site.Err.Error()
			}
		}
		j.Mirrors = append(j.Mirrors, mj)
	}
	json.NewEncoder(w).Encode(j)
}

func changesJSON(changes []mirror.ChangeLeaf) []map[string]any {
	out := []map[string]any{}
	for _, c := range changes {
		m := map[string]any{"domain": c.Domain.String(), "reason": c.Reason, "op": "del"}
		if c.Policy != nil {
			m["op"], m["policy"] = "set", json.RawMessage(c.Policy.AppendJSON(nil))
		}
		out = append(out, m)
	}
	return out
}
