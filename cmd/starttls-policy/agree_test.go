package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// agreeing is a machine with two lists, overrides and early adopters, and both set-ups: what Postfix is told by the table has
// to be what the daemon answers, where neither looks at what the domains say themselves.
type agreeing struct {
	*machine
	domains []string
}

// newAgreeing draws both lists and what the administrator says. The second list names domains of the first, too.
func newAgreeing(t *testing.T, rnd *rand.Rand) *agreeing {
	t.Helper()
	m := newMachine(t, "")
	a := &agreeing{machine: m}
	modes := []string{"enforce", "testing"}
	lists := [2][]string{}
	var local strings.Builder
	adopters := []string{`"nobody.example"`}
	for i := range 200 {
		name := fmt.Sprintf("d%03d.example", i)
		a.domains = append(a.domains, name)
		for n := range lists {
			if rnd.IntN(2) == 0 {
				lists[n] = append(lists[n], fmt.Sprintf("%q: {\"mode\": %q, \"mxs\": [\"mx.list%d.example\", \".d%03d.example\"]}", name, modes[rnd.IntN(2)], n, i))
			}
		}
		switch rnd.IntN(8) {
		case 0:
			fmt.Fprintf(&local, "[[override]]\ndomain = %q\nreason = \"x\"\nmxs = [\"mx.mine.example\"]\n", name)
		case 1:
			fmt.Fprintf(&local, "[[override]]\ndomain = %q\nreason = \"x\"\nuntil = \"2026-03-03\"\n", name)
		case 2:
			fmt.Fprintf(&local, "[[override]]\ndomain = %q\nreason = \"x\"\nmxs = [\"mx.past.example\"]\nuntil = \"2026-02-01\"\n", name)
		case 3:
			adopters = append(adopters, fmt.Sprintf("%q", name))
		}
	}
	for n, list := range lists {
		home, public := fmt.Sprintf("%s/operator%d", m.dir, n), fmt.Sprintf("%s/public%d", m.dir, n)
		fingerprint, err := publish(t.Context(), home, public, fmt.Sprintf("2026-03-01T12:%02d:00Z", n), []byte("{\"policies\": {"+strings.Join(list, ",\n")+"}}"))
		if err != nil {
			t.Fatal(err)
		}
		m.runs(0, "join", public, "--fingerprint", fingerprint, "--name", fmt.Sprintf("list%d", n), "--state", m.dir+"/var", "--mta", "none")
	}
	text, err := os.ReadFile(m.configPath)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte("early-adopter = [" + strings.Join(adopters, ", ") + "]\n" + string(text) + local.String() +
		"[serve]\nsources = [\"list\"]\n[postfix]\nmap = \"" + m.dir + "/table\"\ntype = \"texthash\"\ndialect = \"legacy\"\n")
	if err := os.WriteFile(m.configPath, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return a
}

// agree compares them about every domain and returns how many have a line.
func (a *agreeing) agree(when string) (lines int) {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "table"))
	if err != nil {
		a.t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && !strings.HasPrefix(line, "#") {
			table[key] = value
		}
	}
	s := a.serving(io.Discard)
	for _, name := range a.domains {
		want := "NOTFOUND "
		if value, ok := table[name]; ok {
			want = "OK " + value
		}
		if got := (withRefresh{s}).Answer(a.t.Context(), "legacy", name).String(); got != want {
			a.t.Errorf("%s: of %s the daemon says %q, the table %q", when, name, got, want)
		}
	}
	return len(table)
}

// TestTableAndDaemonAgree: who moves from one set-up to the other is told the same by the lists and by himself, also later.
func TestTableAndDaemonAgree(t *testing.T) {
	a := newAgreeing(t, rand.New(rand.NewPCG(6, 1)))
	a.runs(0, "update")
	fresh := a.agree("fresh")
	a.runs(0, "disable", "--reason", "x")
	if n := a.agree("off"); n != 0 {
		t.Errorf("%d lines while everything is off", n)
	}
	a.runs(0, "enable")
	a.at = a.at.Add(72 * time.Hour) // overrides have ended
	a.runs(exitStale, "update")
	a.agree("stale")
	a.at = a.at.AddDate(0, 0, 14)
	a.runs(exitExpired, "update")
	if n := a.agree("expired"); fresh < 50 || n == 0 || n > fresh/2 {
		t.Errorf("%d lines while fresh, %d of overrides alone", fresh, n)
	}
}
