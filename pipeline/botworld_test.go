package pipeline_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// known is what the publisher's state tells the bots.
func (g *gated) known() *pipeline.Known {
	g.t.Helper()
	k, err := g.Known(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return k
}

// bot plans, and tells the changes as "reason domain: transition" and what is left as "domain codes".
func (g *gated) bot(name string, k *pipeline.Known) (*pipeline.BotRun, []string, []string) {
	g.t.Helper()
	run, err := pipeline.Bots()[name].Plan(g.t.Context(), g.Source, k)
	if err != nil {
		g.t.Fatal(err)
	}
	var changes, left []string
	for _, c := range run.Changes {
		changes = append(changes, c.Reason+" "+c.Domain.String())
	}
	for _, l := range run.Left {
		left = append(left, l.Domain.String()+" "+strings.Join(l.Codes, " "))
	}
	return run, changes, left
}

// does lets a bot write what it is expected to, and nothing when it runs again.
func (g *gated) does(name string, want ...string) *pipeline.BotRun {
	g.t.Helper()
	run, changes, left := g.bot(name, g.known())
	if !slices.Equal(changes, want) {
		g.t.Fatalf("%s: %q, left %q, want %q", name, changes, left, want)
	}
	if err := run.Write(); err != nil {
		g.t.Fatal(err)
	}
	if again, changes, _ := g.bot(name, g.known()); len(changes) > 0 || len(again.Files()) > 0 || again.Message() != "" {
		g.t.Errorf("%s once more: %q", name, changes)
	}
	return run
}

func (g *gated) text() string {
	g.t.Helper()
	text, err := os.ReadFile(g.path("list/all.json"))
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// scans are merged scans of as many days.
func (g *gated) scans(days int) (files []probe.EvidenceFile) {
	g.t.Helper()
	for range days {
		g.now = g.now.Add(24 * time.Hour)
		files = append(files, g.mergeAll())
	}
	return files
}

func (g *gated) knownFrom(scans ...probe.EvidenceFile) *pipeline.Known {
	g.t.Helper()
	k, err := pipeline.KnownFrom(g.t.Context(), g.Source, scans, g.now)
	if err != nil {
		g.t.Fatal(err)
	}
	return k
}

// merge joins the vantages' files into one.
func (g *gated) merge(files ...probe.EvidenceFile) probe.EvidenceFile {
	g.t.Helper()
	checked, err := pipeline.Check(g.t.Context(), g.Source)
	if err != nil {
		g.t.Fatal(err)
	}
	var out bytes.Buffer
	o := probe.MergeOptions{Quorum: 2, Keys: checked.Source().Settings().VantageKeys()}
	if _, err := probe.Merge(&out, files, o, nil); err != nil {
		g.t.Fatal(err)
	}
	return evidenceFile("merged", out.Bytes())
}

func (g *gated) mergeAll() probe.EvidenceFile {
	g.t.Helper()
	var files []probe.EvidenceFile
	for _, name := range vantageNames {
		files = append(files, evidenceFile(name, g.scan(name)))
	}
	return g.merge(files...)
}
