package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The first update is within a minute, all others are a period apart, give or take a tenth; none comes after the end.
func TestUpdatesAreAPeriodApart(t *testing.T) {
	const period = 6 * time.Hour
	for name, c := range map[string]struct {
		random func(n int64) int64
		want   []time.Duration
	}{
		"soonest": {func(int64) int64 { return 0 }, []time.Duration{0, 9 * period / 10, 18 * period / 10}},
		"latest":  {func(n int64) int64 { return n - 1 }, []time.Duration{time.Minute - 1, time.Minute + 11*period/10 - 2, time.Minute + 22*period/10 - 3}},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			ctx, end := context.WithCancel(t.Context())
			var got []time.Duration
			nowAndThen(ctx, period, c.random, func(context.Context) {
				if got = append(got, time.Since(begin)); len(got) == 3 {
					end()
				}
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		})
	}
}

// A thousand daemons that a power cut started together ask together once, and then never again.
func TestUpdatesDrawApart(t *testing.T) {
	const daemons, period = 1000, 6 * time.Hour
	var busiest []int
	for round := range 3 {
		minutes := map[time.Duration]int{}
		for i := range daemons {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				ctx, end := context.WithCancel(t.Context())
				did := 0
				nowAndThen(ctx, period, rand.New(rand.NewPCG(uint64(i), 0)).Int64N, func(context.Context) {
					if did++; did == round+1 {
						minutes[time.Since(begin).Truncate(time.Minute)]++
						end()
					}
				})
			})
		}
		most := 0
		for _, n := range minutes {
			most = max(most, n)
		}
		busiest = append(busiest, most)
	}
	if busiest[0] != daemons || busiest[1] > daemons/25 || busiest[2] > daemons/25 {
		t.Errorf("in the busiest minute of each round %v of %d ask", busiest, daemons)
	}
}

// The daemon's own update is a process that fetches and verifies; what it found is in force at the next look.
func TestDaemonUpdatesItsLists(t *testing.T) {
	m := newMachine(t, "[serve]\nsources = [\"list\"]\n")
	var log lockedLog
	s := m.serving(&log)
	s.program = "starttls-policy" // that of TestMain
	t.Setenv("NOW", "2026-03-02T13:00:00Z")
	if _, err := publish(t.Context(), m.dir+"/operator", m.dir+"/public", "2026-03-02T12:00:00Z",
		[]byte(`{"policies": {"a.example": {"mode": "enforce", "mxs": ["new.a.example"]}}}`)); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.says(t, "a.example", sniA)
	s.runUpdate(t.Context())
	s.reload()
	s.says(t, "a.example", "OK secure match=new.a.example servername=hostname")
	s.says(t, "t.example", no)
	// With every mirror gone it says so, and the list stays.
	if err := os.RemoveAll(m.dir + "/public"); err != nil {
		t.Fatal(err)
	}
	s.runUpdate(t.Context())
	s.reload()
	s.says(t, "a.example", "OK secure match=new.a.example servername=hostname")
	if !strings.Contains(log.String(), `level=WARN msg=update result="exit status 40"`) || s.unreported.Load() != 0 {
		t.Errorf("%d without a report; the log:\n%s", s.unreported.Load(), log.String())
	}
}

// An update of the daemon that leaves no report is counted, for nothing else tells of it before a day is over; one that
// says itself how it ended is not counted twice.
func TestUpdatesWithoutReport(t *testing.T) {
	m := newMachine(t, "[serve]\nsources = [\"list\"]\n")
	var log lockedLog
	s := m.serving(&log)
	script := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "update")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	writes := "cp " + m.dir + "/var/update.json " + m.dir + "/new && mv " + m.dir + "/new " + m.dir + "/var/update.json\n"
	for _, c := range []struct {
		name, program, says string
		counted             int64
	}{
		{"absent", filepath.Join(m.dir, "absent"), "absent: no such file", 1},
		{"broken configuration", script("echo no list; exit 2"), `result="exit status 2" output="no list\n"`, 1},
		{"killed", script("kill -9 $$"), `result="signal: killed"`, 1},
		{"failed, and said so", script(writes + "exit 40"), `result="exit status 40"`, 0},
		{"good", script(writes), "", 0},
		{"good, and has nothing to do", script("exit 0"), "", 0},
	} {
		before, said := s.unreported.Load(), len(log.String())
		s.program = c.program
		s.runUpdate(t.Context())
		if got := s.unreported.Load() - before; got != c.counted {
			t.Errorf("%s: counted %d times, want %d", c.name, got, c.counted)
		}
		if got := log.String()[said:]; c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%s: the log says %q, want %q", c.name, got, c.says)
		}
	}
	// Without a state folder there is no report either.
	if err := os.RemoveAll(filepath.Join(m.dir, "var", lastUpdate)); err != nil {
		t.Fatal(err)
	}
	s.program = script("exit 1")
	s.runUpdate(t.Context())
	ended, end := context.WithCancel(t.Context())
	end()
	s.runUpdate(ended) // the daemon ends it, and that is nobody's fault
	if got := value(t, parseMetrics(t, string(s.metricsText())), metricPrefix+"updates_unreported_total"); got != 4 {
		t.Errorf("%f in all, want 4", got)
	}
}
