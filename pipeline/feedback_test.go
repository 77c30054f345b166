package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// reports makes the table of the newest week that is due: of each domain three reporters say that so many of 100 sessions failed.
func (g *gated) reports(failed map[string]int64) func() ([]byte, error) {
	return func() ([]byte, error) {
		month := cells.MonthOf(tlsrpt.DayOf(g.now))
		due := slices.DeleteFunc(slices.Concat(month.Before().Weeks(), month.Weeks()), func(w cells.Week) bool { return w.Due().After(g.now) })
		week := due[len(due)-1]
		var seen []cells.Observation
		var entries []policy.Entry
		for name, n := range failed {
			d, err := policy.ParseDomain(name)
			if err != nil {
				return nil, err
			}
			entries = append(entries, policy.Entry{Domain: d, Policy: *policyOf(g.t, "testing", "mx."+name)})
			for _, who := range []string{"x.example", "y.example", "z.example"} {
				seen = append(seen, cells.Observation{Loop: cells.Recipients, Contributor: who, Domain: d, Day: week.First(), Sessions: 100,
					Failed: map[tlsrpt.Class]int64{tlsrpt.ClassCertificate: n}})
			}
		}
		return cells.Make(week, slices.Values(seen), cells.ListOf(entries), cells.Chosen{}).Bytes(), nil
	}
}

func tellsOf(out *pipeline.Published) (codes []string) {
	for _, f := range out.Findings {
		codes = append(codes, strings.TrimSpace(f.Code+" "+f.Domain))
	}
	return codes
}

// TestFeedbackHoldsPromotions: an entry waits in testing while reports say that it fails, one that enforces stays as it is, and
// what is published is seen by auditors and changes nothing for clients.
func TestFeedbackHoldsPromotions(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example", sts: "enforce"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "b.example": b})
	entry := `"%s": {"mode":"enforce","mxs":["mx.%s"],"managed-by":"mta-sts"}`
	g.source(fmt.Sprintf(entry, "b.example", "b.example"))
	g.until("add.enforce b.example")
	g.source(strings.Replace(fmt.Sprintf(entry, "a.example", "a.example"), "enforce", "testing", 1), fmt.Sprintf(entry, "b.example", "b.example"))
	g.until("add.testing a.example")
	g.source(fmt.Sprintf(entry, "a.example", "a.example"), fmt.Sprintf(entry, "b.example", "b.example"))

	g.Feedback = g.reports(map[string]int64{"a.example": 40, "b.example": 100})
	for day := range 20 {
		out := g.release()
		g.now = g.now.Add(22 * time.Hour)
		if len(out.Changes()) > 0 {
			t.Fatalf("day %d: %+v", day, out.Changes())
		}
		if !slices.Equal(tellsOf(out), []string{"feedback.fault a.example", "feedback.fault b.example"}) {
			t.Fatalf("day %d: %v", day, tellsOf(out))
		}
		if h := holds(out.Held); len(h) != 1 || !strings.HasPrefix(h[0], "a.example") || !strings.HasSuffix(h[0], "gate.feedback") || day > 14 && h[0] != "a.example gate.feedback" {
			t.Fatalf("day %d: held %v", day, h)
		}
	}
	out := g.release()
	table, err := g.Feedback()
	if err != nil {
		t.Fatal(err)
	}
	evidence := g.evidenceOf(out.Leaf())
	if !bytes.HasSuffix(evidence, probe.AppendFeedback(nil, table)) || !bytes.Contains(evidence, fmt.Appendf(nil, "%x", sha256.Sum256(table))) {
		t.Error("the table is not in the evidence")
	}
	report, err := probe.VerifyMerged(bytes.NewReader(evidence), probe.MaxMerged, probe.MergeOptions{Quorum: 2}, nil)
	if err != nil || !bytes.Equal(report.Feedback, table) {
		t.Errorf("%v %s", err, report.Feedback)
	}
	c := g.client("public", mirror.Snapshot)
	for _, method := range []mirror.Method{mirror.Snapshot, mirror.Delta} {
		c.Method = method
		if got, err := c.Update(t.Context()); err != nil || got.Method == "none" {
			t.Errorf("a client: %+v %v", got, err)
		}
		g.release()
	}
	au := audit.Audit{Mirror: g.Mirrors[0].Store, Trust: g.Trust.Versions()[0]}
	if r, err := au.Run(t.Context()); err != nil || policy.HasErrors(r.Findings) {
		t.Errorf("an auditor: %v %+v", err, r)
	}
	g.Feedback = g.reports(map[string]int64{"a.example": 0, "b.example": 0})
	if changed, _ := g.day(); !slices.Equal(changed, []string{"promote.evidence a.example"}) {
		t.Errorf("without a fault: %v", changed)
	}
}

// TestBotsHearFeedback: what the next release would hold, no bot promotes.
func TestBotsHearFeedback(t *testing.T) {
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "enforce"}})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.until("add.testing a.example")
	for range 15 {
		g.day()
	}
	g.Feedback = g.reports(map[string]int64{"a.example": 40, "b.example": 100})
	if _, changes, left := g.bot("promote", g.known()); len(changes) > 0 || !slices.Equal(left, []string{"a.example gate.feedback"}) {
		t.Errorf("with a fault: %v, left %v", changes, left)
	}
	g.Feedback = g.reports(map[string]int64{"a.example": 0, "b.example": 0})
	g.does("promote", "promote.evidence a.example")
}

// TestBadFeedback: a table that is missing, spoiled, early or old stops no release, and all but the first are told.
func TestBadFeedback(t *testing.T) {
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "testing"}})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.day()
	good, err := g.reports(map[string]int64{"a.example": 0})()
	if err != nil {
		t.Fatal(err)
	}
	plain := g.release()
	if bytes.Contains(g.evidenceOf(plain.Leaf()), []byte(`"feedback"`)) {
		t.Error("feedback where none was asked for")
	}
	for _, c := range []struct {
		data []byte
		err  error
		want []string
	}{
		{nil, fmt.Errorf("tables: %w", fs.ErrNotExist), nil},
		{nil, errors.New("the disk is gone"), []string{"feedback.refused"}},
		{good[1:], nil, []string{"feedback.refused"}},
		{bytes.Replace(bytes.Replace(good, []byte(`"2026-11-15"`), []byte(`"2027-11-15"`), 1), []byte("2026-11-21"), []byte("2027-11-21"), 1), nil, []string{"feedback.refused"}},
		{bytes.Replace(bytes.Replace(good, []byte(`"2026-11-15"`), []byte(`"2026-09-15"`), 1), []byte("2026-11-21"), []byte("2026-09-21"), 1), nil, []string{"feedback.stale"}},
		{good, nil, nil},
	} {
		g.Feedback = func() ([]byte, error) { return c.data, c.err }
		out := g.release()
		if !slices.Equal(tellsOf(out), c.want) {
			t.Errorf("%s %v: %v", c.data, c.err, tellsOf(out))
		}
		if has, want := bytes.Contains(g.evidenceOf(out.Leaf()), []byte(`"kind":"feedback"`)), c.err == nil && c.want == nil; has != want {
			t.Errorf("%s %v: published %v", c.data, c.err, has)
		}
	}
}

// TestFeedbackIsNotTakenForAVantages: a release's own evidence, given to the next as if a merge had written it, lets nothing in.
func TestFeedbackIsNotTakenForAVantages(t *testing.T) {
	g := newGated(t, map[string]*sightOf{"a.example": {mx: "mx.a.example", sts: "testing"}})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.Feedback = g.reports(map[string]int64{"a.example": 0})
	evidence := g.evidenceOf(g.release().Leaf())
	g.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		return []probe.EvidenceFile{evidenceFile("released", evidence)}, nil
	}
	if out := g.release(); !slices.Equal(tellsOf(out), []string{"evidence.refused"}) {
		t.Errorf("%v", tellsOf(out))
	}
	// And what the gate remembers is rebuilt from it all the same.
	if err := os.Remove(filepath.Join(g.State, "looks.jsonl.zst")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCanaryEnforces by its owner's word, stays when it is seen to be broken, and goes by its owner's word.
func TestCanaryEnforces(t *testing.T) {
	c := &sightOf{mx: "mx.canary.example", expired: true}
	g := newGated(t, map[string]*sightOf{"canary.example": c})
	d, err := policy.ParseDomain("canary.example")
	if err != nil {
		t.Fatal(err)
	}
	g.source(`"canary.example": {"mode":"enforce","mxs":["mx.canary.example"]}`)
	c.txt = proof.For(*policyOf(t, "enforce", "mx.canary.example"), g.now.AddDate(0, 0, 50)).String()
	if changed, held := g.day(); len(changed) > 0 || len(held) != 1 {
		t.Fatalf("what is broken and no canary: %v, held %v", changed, held)
	}
	g.Gate.Canaries = map[policy.Domain]bool{d: true}
	g.is(g.until("add.enforce canary.example"), 1, "listed")
	for range 35 {
		if changed, held := g.day(); len(changed)+len(held) > 0 {
			t.Fatalf("%v, held %v", changed, held)
		}
	}
	c.txt = proof.Record{Kind: proof.Remove, Expires: g.now.AddDate(0, 0, 20)}.String()
	g.until("remove.owner canary.example")
}
