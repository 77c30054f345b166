package pipeline_test

import (
	"context"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// joining is a list whose only domain wants to move, with its owner's proof in the DNS.
func joining(t *testing.T) (*gated, *sightOf) {
	t.Helper()
	a := &sightOf{mx: "mx1.a.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx1.a.example"]}`)
	g.held, g.Gate = map[string]*policy.Policy{"a.example": policyOf(t, "testing", "mx1.a.example")}, nil
	g.day()
	g.Gate = &pipeline.Gate{}
	g.source(`"a.example": {"mode":"testing","mxs":["mx2.a.example"]}`)
	a.mx, a.txt = "mx2.a.example", proof.For(*policyOf(t, "testing", "mx2.a.example"), g.now.AddDate(0, 0, 50)).String()
	if changed, _ := g.day(); len(changed) > 0 {
		t.Fatal(changed)
	}
	return g, a
}

// renews releases a day later, with evidence that is no good: that is told, and nothing changes.
func (g *gated) renews(code string) {
	g.t.Helper()
	g.now = g.now.Add(24 * time.Hour)
	out := g.release()
	if len(out.Changes()) > 0 || !slices.ContainsFunc(out.Findings, func(f policy.Finding) bool { return f.Code == code && f.Severity == policy.Error }) {
		g.t.Errorf("changes %v, findings %v, want %s", out.Changes(), out.Findings, code)
	}
}

// TestEvidenceWithheld: whoever keeps the evidence back for more than three days makes what waits begin its time anew, and
// does not do so quietly.
func TestEvidenceWithheld(t *testing.T) {
	g, _ := joining(t)
	good := g.Evidence
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return nil, nil }
	for range 3 {
		g.renews("evidence.refused")
	}
	g.Evidence = good
	g.is(g.until("mxs.replaced a.example"), 2, "moved, once they look again")
}

// TestEvidenceRefusedLetsNobodyIn: what the vantages saw some hours ago would do, but the newest evidence is no good, and
// nobody knows what it would have said.
func TestEvidenceRefusedLetsNobodyIn(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.elsewhere.example"],"managed-by":"mta-sts"}`)
	if changed, _ := g.day(); len(changed) > 0 {
		t.Fatal(changed)
	}
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	good := g.Evidence
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return nil, nil }
	g.now = g.now.Add(-22 * time.Hour)
	g.renews("evidence.refused") // three hours later
	g.Evidence = good
	if out := g.release(); len(out.Changes()) != 1 {
		t.Errorf("afterwards held: %v", holds(out.Held))
	}
}

// TestEvidenceReplayed: the files of yesterday are no scan of today. Where all are of yesterday nothing changes; where one
// is, its vantage counts as absent.
func TestEvidenceReplayed(t *testing.T) {
	g, _ := joining(t)
	old := map[string][]byte{}
	for _, name := range vantageNames {
		old[name] = g.scan(name)
	}
	replay := func(name string, _ []byte) []probe.EvidenceFile {
		return []probe.EvidenceFile{evidenceFile(name, old[name])}
	}
	g.now = g.now.Add(2 * time.Hour)
	g.spoil(replay, vantageNames...)
	g.renews("evidence.stale")
	changed, out := g.spoiltDay(replay, "south")
	if !slices.Equal(changed, []string{"mxs.replaced a.example"}) || !slices.Equal(alarms(out), []string{"evidence.vantage"}) {
		t.Errorf("%v, held %v, %v", changed, holds(out.Held), out.Findings)
	}
}

// TestVantageSpeaksForAnother: a vantage that was taken over signs a second file, in the name of another, and would be a
// quorum by itself.
func TestVantageSpeaksForAnother(t *testing.T) {
	g, a := joining(t)
	a.expired = true // as the hijacked one says: it is not so
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		var files []probe.EvidenceFile
		for _, name := range vantageNames {
			files = append(files, evidenceFile(name, g.scanBy(name, vantageKey("west"))))
		}
		return files, nil
	}
	for range 3 {
		g.renews("evidence.refused")
	}
}

// scanBy is the evidence of a vantage, signed with a key.
func (g *gated) scanBy(vantage string, key ed25519.PrivateKey) []byte {
	g.t.Helper()
	before := g.key
	defer func() { g.key = before }()
	g.key = func(string) ed25519.PrivateKey { return key }
	return g.scan(vantage)
}
