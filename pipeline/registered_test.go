package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// TestReleaseSuspendsTheOldOwnersWord: a registry says that somebody registered the domain anew. Its entry stays, the proof of
// the owner before no longer moves it, an alarm tells until the new owner speaks or a maintainer looked; and what the
// registry said once is remembered where the file is gone or damaged.
func TestReleaseSuspendsTheOldOwnersWord(t *testing.T) {
	a, b := &sightOf{mx: "mx.a.example", sts: "enforce"}, &sightOf{mx: "mx.b.example"}
	g := newGated(t, map[string]*sightOf{"a.example": a, "mail.b.example": b})
	b.txt = proof.For(*policyOf(t, "testing", "mx.b.example"), g.now.AddDate(0, 0, 40)).String()
	entryA := `"a.example": {"mode":"enforce","mxs":["mx.a.example"],"managed-by":"mta-sts"}`
	entryB := `"mail.b.example": {"mode":"testing","mxs":["%s"]%s}`
	g.source(strings.Replace(entryA, "enforce", "testing", 1), fmt.Sprintf(entryB, "mx.b.example", ""))
	if changed, _ := g.day(); len(changed) != 2 {
		t.Fatal(changed)
	}
	file, ferr := "", error(nil)
	g.Registrations = func(context.Context) ([]byte, error) { return []byte(file), ferr }
	registered := func(lines ...string) {
		file = fmt.Sprintf(`{"format":"policylist/registrations/v1","made":"%s"}`, g.now.UTC().Format(policy.TimeFormat)) + "\n" + strings.Join(lines, "\n") + "\n"
	}
	line := func(name string, at time.Time) string {
		return fmt.Sprintf(`{"domain":"%s","asked":"%s","status":"ok","registered":"%s"}`, name, g.now.UTC().Format(policy.TimeFormat), at.UTC().Format(policy.TimeFormat))
	}
	day := func(want ...string) *pipeline.Published {
		t.Helper()
		g.now = g.now.Add(23 * time.Hour)
		out := g.release()
		var codes []string
		for _, f := range out.Findings {
			codes = append(codes, strings.TrimSpace(f.Code+" "+f.Domain))
		}
		if !slices.Equal(codes, want) {
			t.Errorf("%s: %q, want %q", g.now, codes, want)
		}
		return out
	}
	ferr = fs.ErrNotExist
	day("registrations.stale")
	ferr = errors.New("no disk")
	day("registrations.refused")
	ferr = nil
	registered(line("a.example", g.now.AddDate(-10, 0, 0)), line("b.example", g.now.AddDate(-10, 0, 0)))
	day()
	// Both lapse, and somebody takes them.
	anew := g.now
	registered(line("a.example", anew), line("b.example", anew))
	a.sts, b.mx = "", "mx2.b.example"
	out := day("gate.reregistered a.example", "gate.reregistered mail.b.example")
	if !strings.Contains(out.Findings[1].Summary, "v=STP1; change="+proof.Digest(*policyOf(t, "testing", "mx.b.example"))) {
		t.Errorf("the alarm does not tell the proof: %s", out.Findings[1].Summary)
	}
	file = "damaged"
	day("registrations.refused", "gate.reregistered a.example", "gate.reregistered mail.b.example")
	// A maintainer knows who it is; the proof that stood there before still moves nothing.
	g.source(strings.Replace(entryA, "enforce", "testing", 1), fmt.Sprintf(entryB, "mx.b.example", `,"note":"the registry was moved on `+anew.Format(time.DateOnly)+`"`))
	registered(line("a.example", anew))
	day("gate.reregistered a.example")
	// The new owner serves MTA-STS again, for a day.
	a.sts = "testing"
	day("gate.reregistered a.example")
	day()
	g.source(strings.Replace(entryA, "enforce", "testing", 1), fmt.Sprintf(entryB, "mx.b.example", ""))
	a.sts = "" // it has spoken: what it says later is another matter
	day("gate.reregistered mail.b.example")
	if out := day("gate.reregistered mail.b.example"); out.Leaf().Count != 2 {
		t.Errorf("%d domains are left: the alarm weakens nothing", out.Leaf().Count)
	}
	g.now = g.now.AddDate(0, 0, 20)
	if out := day("registrations.stale", "gate.reregistered mail.b.example"); out == nil {
		t.Error("no release")
	}
}
