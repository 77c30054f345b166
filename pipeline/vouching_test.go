package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// spoilt are the ways in which the files of one vantage can be no good. Each gives what stands in its place.
func spoilt(g *gated) map[string]func(name string, good []byte) []probe.EvidenceFile {
	one := func(f func(string, []byte) []byte) func(string, []byte) []probe.EvidenceFile {
		return func(name string, good []byte) []probe.EvidenceFile {
			return []probe.EvidenceFile{evidenceFile(name, f(name, good))}
		}
	}
	at := func(ahead time.Duration, name string) []byte {
		now := g.now
		defer func() { g.now = now }()
		g.now = now.Add(ahead)
		return g.scan(name)
	}
	return map[string]func(string, []byte) []probe.EvidenceFile{
		"a forged line": one(func(_ string, good []byte) []byte { return bytes.Replace(good, []byte(`"yes"`), []byte(`"no"`), 1) }),
		"another's key": one(func(name string, _ []byte) []byte { return g.scanBy(name, vantageKey("x")) }),
		"cut off":       one(func(_ string, good []byte) []byte { return good[:len(good)/2] }),
		"empty":         one(func(string, []byte) []byte { return nil }),
		"a stranger":    one(func(string, []byte) []byte { return g.scanBy("xavier", vantageKey("xavier")) }),
		"of last week":  one(func(name string, _ []byte) []byte { return at(-7*24*time.Hour, name) }),
		"of next week":  one(func(name string, _ []byte) []byte { return at(7*24*time.Hour, name) }),
		"not to be read": func(name string, _ []byte) []probe.EvidenceFile {
			return []probe.EvidenceFile{{Name: name, Open: func() (io.ReadCloser, error) { return nil, errors.New("the store has " + name + " no more") }}}
		},
		"two of one moment": func(name string, good []byte) []probe.EvidenceFile {
			before := g.domains["a.example"].expired
			defer func() { g.domains["a.example"].expired = before }()
			g.domains["a.example"].expired = !before
			return []probe.EvidenceFile{evidenceFile(name, good), evidenceFile(name+"-2", g.scan(name))}
		},
	}
}

// spoil lets south leave what f makes of its file; the others' files stay.
func (g *gated) spoil(f func(string, []byte) []probe.EvidenceFile, names ...string) {
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		var files []probe.EvidenceFile
		for _, name := range vantageNames {
			if good := g.scan(name); slices.Contains(names, name) {
				files = append(files, f(name, good)...)
			} else {
				files = append(files, evidenceFile(name, good))
			}
		}
		return files, nil
	}
}

// spoiltDay releases a day later with the files of some vantages spoilt.
func (g *gated) spoiltDay(f func(string, []byte) []probe.EvidenceFile, names ...string) (changed []string, out *pipeline.Published) {
	g.t.Helper()
	g.spoil(f, names...)
	g.now = g.now.Add(23 * time.Hour)
	out = g.release()
	for _, c := range out.Changes() {
		changed = append(changed, c.Reason+" "+c.Domain.String())
	}
	return changed, out
}

// TestOneVantageSpoilt: whatever one vantage leaves, the other two let in what joins, and an alarm names the file. What is
// left of three when two leave such files is no quorum, and then nothing new goes in.
func TestOneVantageSpoilt(t *testing.T) {
	for what := range spoilt(&gated{}) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "testing"}})
			g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
			f := spoilt(g)[what]
			refused := "evidence.refused"
			if strings.HasPrefix(what, "of ") {
				refused = "evidence.stale"
			}
			changed, out := g.spoiltDay(f, "south", "west")
			if len(changed) > 0 || !slices.Equal(alarms(out), []string{refused}) || out.Leaf().Evidence != nil {
				t.Errorf("without a quorum: %v, %v", changed, out.Findings)
			}
			changed, out = g.spoiltDay(f, "south")
			for _, code := range alarms(out) {
				if code != "evidence.vantage" {
					t.Errorf("alarm %s: %v", code, out.Findings)
				}
			}
			if !slices.Equal(changed, []string{"add.testing a.example"}) || len(alarms(out)) == 0 || out.Leaf().Evidence == nil {
				t.Errorf("with a quorum: %v, held %v, %v", changed, holds(out.Held), out.Findings)
			}
			if !strings.HasPrefix(out.Findings[0].Summary, "south: ") {
				t.Errorf("the alarm names no file: %v", out.Findings)
			}
		})
	}
}

// TestHijackedVantageStopsNoDemotion: with its key a thief signs in the name of another vantage, and damages its own file;
// what the two honest ones see demotes all the same.
func TestHijackedVantageStopsNoDemotion(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	entry := `"a.example": {"mode":"%s","mxs":["mx.a.example"],"managed-by":"mta-sts"}`
	g.source(fmt.Sprintf(entry, "testing"))
	g.day()
	g.source(fmt.Sprintf(entry, "enforce"))
	g.until("promote.evidence a.example")
	a.expired = true
	thief := func(name string, good []byte) []probe.EvidenceFile {
		forged := g.scanBy("north", vantageKey(name))
		return []probe.EvidenceFile{evidenceFile("forged", forged), evidenceFile(name, good[:len(good)-3])}
	}
	var got []string
	for range 4 {
		changed, out := g.spoiltDay(thief, "west")
		got = append(got, changed...)
		if !slices.Equal(alarms(out), []string{"evidence.vantage", "evidence.vantage"}) {
			t.Errorf("alarms %v", out.Findings)
		}
	}
	if !slices.Equal(got, []string{"demote.auto a.example"}) {
		t.Errorf("changes %v", got)
	}
}

// TestScanTooLarge: a vantage that signs more than mirrors take counts as absent, too, however well it signed.
func TestScanTooLarge(t *testing.T) {
	defer pipeline.SetMaxEvidence(6 << 10)()
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "testing"}})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	changed, out := g.spoiltDay(func(name string, _ []byte) []probe.EvidenceFile {
		defer func(before map[string]*sightOf) { g.domains = before }(g.domains)
		g.domains = map[string]*sightOf{"a.example": g.domains["a.example"]}
		for i := range 10 {
			g.domains[fmt.Sprintf("b%d.example", i)] = &sightOf{mx: "mx.b.example"}
		}
		return []probe.EvidenceFile{evidenceFile(name, g.scan(name))}
	}, "south")
	if !slices.Equal(changed, []string{"add.testing a.example"}) || !slices.Equal(alarms(out), []string{"evidence.vantage"}) || !strings.Contains(out.Findings[0].Summary, "vantage south left the most") {
		t.Errorf("%v, held %v, %v", changed, holds(out.Held), out.Findings)
	}
}
