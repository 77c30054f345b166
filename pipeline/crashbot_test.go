package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// botWorld is an operator's folder in which each bot has an entry to edit in each of three fragments.
type botWorld struct {
	*crashWorld
	files []string // the fragments, below the folder
}

// newBotWorld lets the gate remember what a bot goes by: three domains that moved, that earned enforce, or that left.
func newBotWorld(t *testing.T, program, bot string) *botWorld {
	t.Helper()
	names := []string{"a.example", "b.example", "c.example"}
	domains := map[string]*sightOf{}
	for _, name := range names {
		domains[name] = &sightOf{mx: "mx." + name, sts: "enforce"}
	}
	g := newGated(t, domains)
	w := &botWorld{crashWorld: &crashWorld{t: t, program: program, home: g.dir, args: []string{"-gate", "-bot", bot}}}
	for _, name := range names {
		file := "list/" + name + ".json"
		w.files = append(w.files, file)
		g.write(file, fmt.Sprintf(`{"policies":{"%s":{"mode":"testing","mxs":["mx.%[1]s"],"managed-by":"mta-sts"}}}`, name))
	}
	for _, name := range names {
		g.held = map[string]*policy.Policy{name: policyOf(t, "testing", "mx."+name)}
	}
	days := map[string]int{"sync-mta-sts": 1, "promote": 15, "demote": 1}[bot]
	for range days {
		g.day()
	}
	for _, d := range domains {
		switch bot {
		case "sync-mta-sts":
			d.mx = "new." + d.mx
		case "demote":
			d.sts = "none"
		}
	}
	g.day()
	if bot == "demote" {
		g.day()
		g.day()
	}
	w.now = g.now.Add(-time.Hour)
	return w
}

func (w *botWorld) copy(t *testing.T) *botWorld {
	t.Helper()
	c := &botWorld{crashWorld: &crashWorld{t: t, program: w.program, home: memoryDir(t), now: w.now, args: w.args}, files: w.files}
	if err := os.CopyFS(c.home, os.DirFS(w.home)); err != nil {
		t.Fatal(err)
	}
	return c
}

// texts are the fragments.
func (w *botWorld) texts() (out []string) {
	w.t.Helper()
	for _, f := range w.files {
		data, err := os.ReadFile(filepath.Join(w.home, f))
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, string(data))
	}
	return out
}

// edit lets the bot work.
func (w *botWorld) edit() {
	w.t.Helper()
	if out, err := exec.Command(w.program, w.deaf()...).CombinedOutput(); err != nil {
		w.t.Errorf("%v\n%s", err, out)
	}
}

// whole looks that each fragment is the old one or the new one, and that the source can be read as it is now.
func (w *botWorld) whole(old, new []string) {
	w.t.Helper()
	for i, text := range w.texts() {
		if text != old[i] && text != new[i] {
			w.t.Errorf("%s is neither what it was nor what it is to be:\n%s", w.files[i], text)
		}
	}
	checked, err := pipeline.Check(w.t.Context(), filepath.Join(w.home, pipeline.SourceDir))
	if err != nil || policy.HasErrors(checked.Findings()) {
		w.t.Errorf("%v %v", err, checked.Findings())
	}
}

// TestFiguresCrashBots kills each bot in the middle of writing each fragment, or lets the write fail. What it leaves can be
// read and released, and the next run does the rest, no more, and clears up.
func TestFiguresCrashBots(t *testing.T) {
	tracer, program, f := strace.Find(t), buildPublisher(t), &crashFigures{}
	for _, bot := range []string{"sync-mta-sts", "promote", "demote"} {
		t.Run(bot, func(t *testing.T) {
			base := newBotWorld(t, program, bot)
			undisturbed := base.copy(t)
			undisturbed.edit()
			old, new := base.texts(), undisturbed.texts()
			for i := range old {
				if old[i] == new[i] {
					t.Fatalf("%s is not edited", base.files[i])
				}
			}
			for _, file := range base.files {
				for _, call := range []string{"/^rename", "/^open", "fsync"} {
					path := file
					if call == "fsync" {
						path = pipeline.SourceDir
					}
					for _, inject := range []string{"signal=KILL", "error=EIO"} {
						if call == "fsync" && file != base.files[0] {
							continue
						}
						t.Run(call+" "+path+" "+inject, func(t *testing.T) {
							t.Parallel()
							w := base.copy(t)
							point := strace.Point{Path: filepath.Join(w.home, path), Call: call, Inject: inject}
							r := strace.Run(t, tracer, point, program, w.deaf()...)
							f.count(t, r.Fired && r.Killed == (inject == "signal=KILL"), r.Output)
							w.whole(old, new)
							w.edit()
							if got := w.texts(); strings.Join(got, "") != strings.Join(new, "") {
								t.Errorf("in the end:\n%s", got)
							}
							w.clean()
						})
					}
				}
			}
		})
	}
	t.Logf("figures: crash points of bots %d, fired %d", f.points, f.fired)
}

// clean: nothing is left that somebody would commit.
func (w *botWorld) clean() {
	w.t.Helper()
	left, err := filepath.Glob(filepath.Join(w.home, pipeline.SourceDir, ".*"))
	if err != nil || len(left) > 0 {
		w.t.Error(errors.Join(err, fmt.Errorf("left in the source: %v", left)))
	}
}

// TestBotsGiveWay: while somebody edits the source a bot and fmt write nothing, and say so; after it the bot decides anew.
func TestBotsGiveWay(t *testing.T) {
	a := &sightOf{mx: "mx.a.example", sts: "testing"}
	g := newGated(t, map[string]*sightOf{"a.example": a})
	g.source(`"a.example": {"mode":"testing","mxs":["mx.a.example"],"managed-by":"mta-sts"}`)
	g.day()
	a.mx = "mx2.a.example"
	g.day()
	first, _, _ := g.bot("sync-mta-sts", g.known())
	second, _, _ := g.bot("sync-mta-sts", g.known())
	before := g.text()
	unlock, err := durable.LockDir(g.Source)
	if err != nil {
		t.Fatal(err)
	}
	_, errFormat := pipeline.Format(t.Context(), g.Source, true)
	if err := first.Write(); !errors.Is(err, pipeline.ErrChangedMeanwhile) || !errors.Is(errFormat, pipeline.ErrChangedMeanwhile) || g.text() != before {
		t.Errorf("%v %v\n%s", err, errFormat, g.text())
	}
	unlock()
	if err := first.Write(); err != nil || g.text() == before {
		t.Errorf("%v\n%s", err, g.text())
	}
	after := g.text()
	if err := second.Write(); !errors.Is(err, pipeline.ErrChangedMeanwhile) || g.text() != after {
		t.Errorf("one that had planned before: %v\n%s", err, g.text())
	}
	g.does("sync-mta-sts")
}
