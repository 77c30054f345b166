package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// says is what the daemon answers a Postfix that knows SNI.
func (s *served) says(t *testing.T, domain, want string) {
	t.Helper()
	if got := (withRefresh{s}).Answer(t.Context(), "sni", domain).String(); got != want {
		t.Errorf("%s: %q, want %q", domain, got, want)
	}
}

const (
	sniA = "OK secure match=mx.a.example servername=hostname"
	sniT = "OK secure match=mx.t.example servername=hostname"
	no   = "NOTFOUND "
)

// A new configuration is taken up whole or not at all, and what is in memory of a list outlives it.
func TestReconfigure(t *testing.T) {
	const quiet = "[serve]\nsources = [\"list\"]\n"
	m := newMachine(t, quiet)
	var log lockedLog
	s := m.serving(&log)
	s.says(t, "a.example", sniA)
	s.says(t, "t.example", no)
	logs := func(want string) {
		t.Helper()
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}

	// Early adopters, and an override: at once. Keys above the first table go in front.
	text, err := os.ReadFile(m.configPath)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(m.configPath, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s.reconfigure()
	}
	write("early-adopter = [\"t.example\"]\n" + string(text) + "[[override]]\ndomain = \"a.example\"\nreason = \"x\"\n")
	s.says(t, "t.example", sniT)
	s.says(t, "a.example", no)

	// What is wrong changes nothing.
	for _, wrong := range []string{"[nonsense", string(text) + "[[override]]\ndomain = \"b.example\"\n", ""} {
		write(wrong)
		s.says(t, "t.example", sniT)
		s.says(t, "a.example", no)
	}
	logs("configuration not read, the one before stays")

	// A list that can no longer be read is answered from memory; the next one behind it is new.
	if err := os.Remove(filepath.Join(m.dir, "var", "example", "policy.json")); err != nil {
		t.Fatal(err)
	}
	write(string(text) + "[[list]]\nname = \"other\"\nmirrors = [\"/nowhere\"]\n")
	s.says(t, "a.example", sniA)
	s.says(t, "t.example", no)
	logs("list not read, the one before stays")
	if held := s.current.Load().Lists(); len(held) != 2 || held[0].Name != "example" || held[1].Name != "other" || held[1].Release != nil {
		t.Errorf("%d lists: %+v", len(held), held)
	}

	// Taken out, it is gone; and back, from the disk, where it is not.
	write(strings.Replace(string(text), `name = "example"`, `name = "another"`, 1))
	s.says(t, "a.example", no)
	write(string(text))
	s.says(t, "a.example", no)

	// [serve] takes a restart.
	write(strings.Replace(string(text), quiet, "[serve]\nsources = [\"list\"]\nmode = \"0666\"\n", 1))
	logs("they are taken up by a restart only")
	if ok, failed := s.configReloads.ok.Load(), s.configReloads.failed.Load(); ok != 5 || failed != 3 {
		t.Errorf("%d configurations taken up, %d refused", ok, failed)
	}
}

// A list whose state is gone, or whose folder is, stays as it was verified, is complained about once, and is read again when
// the state is back.
func TestStateIsGone(t *testing.T) {
	m := newMachine(t, "[serve]\nsources = [\"list\"]\n")
	var log lockedLog
	s := m.serving(&log)
	state := filepath.Join(m.dir, "var", "example", "state.json")
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.reload()
		s.says(t, "a.example", sniA)
	}
	s.reconfigure()
	s.says(t, "a.example", sniA)
	if n := strings.Count(log.String(), "list not read, the one before stays"); n != 2 || strings.Contains(log.String(), "never fetched\" list") {
		t.Errorf("%d complaints, want one of the reload and one of the new configuration:\n%s", n, log.String())
	}
	if err := os.WriteFile(state, text, 0o644); err != nil {
		t.Fatal(err)
	}
	before := s.listReloads.ok.Load()
	s.reload()
	s.says(t, "a.example", sniA)
	if s.listReloads.ok.Load() != before+1 {
		t.Error("not read again")
	}
}

// The kill switch is logged when it is pulled and when it is put back, once each, with its reason.
func TestSwitchIsLogged(t *testing.T) {
	m := newMachine(t, "[serve]\nsources = [\"list\"]\n")
	m.runs(0, "disable", "--reason", "an outage")
	var log lockedLog
	s := m.serving(&log)
	for range 3 {
		s.tellSwitch()
	}
	m.runs(0, "enable")
	for range 3 {
		s.tellSwitch()
	}
	m.runs(0, "disable", "--reason", "another")
	s.tellSwitch()
	for want, n := range map[string]int{
		`level=WARN msg="all policies are switched off" since=2026-03-01T13:00:00Z reason="an outage"`: 1,
		`level=WARN msg="all policies are in force again"`:                                             1,
		`level=WARN msg="all policies are switched off" since=2026-03-01T13:00:00Z reason=another`:     1,
	} {
		if got := strings.Count(log.String(), want); got != n {
			t.Errorf("%d times %s\n%s", got, want, log.String())
		}
	}
}
