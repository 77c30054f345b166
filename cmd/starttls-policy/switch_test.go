package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
)

// slowPostmap stands in front of the PATH for a postmap that takes its time over a table that is not empty: it tells that it
// began, and goes on when it may. Its table is the text with a first line.
func slowPostmap(t *testing.T, dir string) (began, goOn string) {
	t.Helper()
	began, goOn = filepath.Join(dir, "began"), filepath.Join(dir, "go-on")
	fifo(t, began)
	fifo(t, goOn)
	script := "#!/bin/sh\npath=${1#hash:}\nif grep -q '^[^#]' \"$path\" && [ ! -e " + dir + "/once ]; then\n: > " + dir + "/once\necho > " + began +
		"\nread -r x < " + goOn + "\nfi\n{ echo compiled; cat \"$path\"; } > \"$path.db\"\n"
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "postmap"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return began, goOn
}

// The kill switch holds although a writer was at work when it was pulled: postmap compiles the full table meanwhile, which must
// not go in afterwards.
func TestSwitchHoldsAgainstAWriterInFlight(t *testing.T) {
	const more = "[postfix]\nmap = \"DIR/table\"\ntype = \"hash\"\ndialect = \"sni\"\n[[export]]\nformat = \"json\"\nfile = \"DIR/x.json\"\n"
	for _, writer := range [][]string{{"enable"}, {"update"}, {"rollback", "--undo"}} {
		t.Run(writer[0], func(t *testing.T) {
			m := newMachine(t, more)
			began, goOn := slowPostmap(t, m.dir)
			if writer[0] == "enable" {
				m.runs(0, "disable", "--reason", "before")
			}
			other := &machine{t: t, dir: m.dir, at: m.at, app: m.app}
			other.stdout, other.stderr = &other.out, &other.out
			done := make(chan string)
			go func() {
				run(t.Context(), append(writer, "--config", m.configPath), other.world)
				done <- other.out.String()
			}()
			if _, err := os.ReadFile(began); err != nil {
				t.Fatal(err)
			}
			m.runs(0, "disable", "--reason", "now")
			if err := os.WriteFile(goOn, []byte("\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			said := <-done
			for _, name := range []string{"table", "table.db"} {
				data, err := os.ReadFile(filepath.Join(m.dir, name))
				if err != nil || strings.Contains(string(data), "a.example") || !strings.Contains(string(data), "switched off") {
					t.Errorf("%s: %v\n%s\n%s", name, err, data, said)
				}
			}
			if writer[0] == "update" && !strings.Contains(said, "is EMPTY, everything is switched off") {
				t.Errorf("update does not tell:\n%s", said)
			}
			m.runs(0, "enable")
			if data, err := os.ReadFile(filepath.Join(m.dir, "table.db")); err != nil || !strings.Contains(string(data), "a.example") {
				t.Errorf("enabled again: %v\n%s", err, data)
			}
		})
	}
}

// Whatever stands where the switch is says "off", to commands, to the daemon and in its metrics: somebody meant it.
func TestSwitchThatCannotBeRead(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"empty":    func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"garbage":  func(path string) error { return os.WriteFile(path, []byte("{\"since"), 0o644) },
		"folder":   func(path string) error { return os.Mkdir(path, 0o755) },
		"dangling": func(path string) error { return os.Symlink("nowhere", path) },
		"pipe":     func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "[serve]\nsources = [\"list\"]\n[[export]]\nformat = \"json\"\nfile = \"DIR/x.json\"\n")
			if err := put(filepath.Join(m.dir, "var", switchFile)); err != nil {
				t.Fatal(err)
			}
			m.runs(0, "update")
			if data, err := os.ReadFile(filepath.Join(m.dir, "x.json")); err != nil || strings.Contains(string(data), "a.example") {
				t.Errorf("%v\n%s", err, data)
			}
			if out := m.runs(exitOff, "status"); !strings.Contains(out, "ALL POLICIES ARE OFF since never, until \"starttls-policy enable\": the file disabled cannot be read: ") {
				t.Errorf("status does not tell:\n%s", out)
			}
			s := m.serving(io.Discard)
			s.says(t, "a.example", no)
			for _, text := range []string{string(s.metricsText()), m.runs(0, "status", "--prometheus")} {
				if value(t, parseMetrics(t, text), metricPrefix+"disabled") != 1 {
					t.Errorf("the metrics say that nothing is switched off")
				}
			}
			m.runs(0, "enable")
			m.runs(0, "status")
		})
	}
}

// A mistake in the configuration does not keep anybody from the kill switch. Where the rest can be read, the files are emptied as
// well; where not, it says so and fails.
func TestSwitchInAWrongConfiguration(t *testing.T) {
	const files = "[postfix]\nmap = \"DIR/table\"\n"
	for wrong, code := range map[string]int{"[nonsense]\nx = 1\n": 0, "[wrong\n": exitUsage, "[serve]\nlisten = [\"nowhere\"]\n": exitUsage} {
		m := newMachine(t, files)
		m.runs(0, "update")
		m.configure(files + wrong)
		out := m.runs(code, "disable", "--reason", "now")
		off := readSwitch(m.dir + "/var")
		table, err := os.ReadFile(m.dir + "/table")
		if off == nil || off.Reason != "now" || err != nil || strings.Contains(string(table), "a.example") != (code != 0) || !strings.Contains(out, "c.toml:") {
			t.Errorf("%s: %+v, %v\n%s\n%s", wrong, off, err, out, table)
		}
		// Pulled again it keeps its reason, and does what was left to do.
		m.configure(files)
		if out := m.runs(0, "disable", "--reason", "later"); !strings.Contains(out, "off since 2026-03-01T13:00:00Z, until \"starttls-policy enable\": now") {
			t.Errorf("%s:\n%s", wrong, out)
		}
		if table, err := os.ReadFile(m.dir + "/table"); err != nil || strings.Contains(string(table), "a.example") || readSwitch(m.dir+"/var").Reason != "now" {
			t.Errorf("%s: %v\n%s", wrong, err, table)
		}
	}
}

// On a full disk the switch is pulled all the same, and a table that Postfix reads as it is gets empty.
func TestSwitchOnAFullDisk(t *testing.T) {
	tracer, w := strace.Find(t), newCrashWorld(t)
	for _, name := range []string{"var/" + switchFile, "var/" + defaultTable} {
		c := copyClient(t, w.base.dir)
		if !strings.Contains(string(c.read("c.toml")), "texthash") {
			t.Skip("the table is compiled here")
		}
		p := strace.Point{Path: filepath.Join(c.dir, name), Call: "/^rename", Inject: "error=ENOSPC"}
		r := strace.Run(t, tracer, p, w.program, c.arguments("disable", "--reason", "full")...)
		if !r.Fired || readSwitch(filepath.Join(c.dir, "var")) == nil {
			t.Errorf("%s: fired %t:\n%s", name, r.Fired, r.Output)
		}
		if table := c.read("var/" + defaultTable); strings.Contains(string(table), "secure match=") {
			t.Errorf("%s: the table is not empty:\n%s\n%s", name, r.Output, table)
		}
	}
}

// A state folder that nobody can look into, here because something else stands in its place, changes nothing for the daemon:
// neither do all policies end, nor does a switch that was pulled come back.
func TestSwitchThatNobodyCanLookAt(t *testing.T) {
	for _, off := range []bool{false, true} {
		m := newMachine(t, "[serve]\nsources = [\"list\"]\n")
		want, state := sniA, filepath.Join(m.dir, "var")
		if off {
			m.runs(0, "disable", "--reason", "x")
			want = no
		}
		var log lockedLog
		s := m.serving(&log)
		if err := os.Rename(state, state+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		now := s.off()
		for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); now = s.off() {
			s.tellSwitch()
		}
		s.says(t, "a.example", want)
		families := parseMetrics(t, string(s.metricsText()))
		if now != off || value(t, families, metricPrefix+"disabled") != truth(off) {
			t.Errorf("off %t: %t", off, now)
		}
		if n := strings.Count(log.String(), "nobody can tell whether policies are switched off"); n != 1 || strings.Contains(log.String(), "in force again") {
			t.Errorf("off %t: told %d times:\n%s", off, n, log.String())
		}
		if err := errors.Join(os.Remove(state), os.Rename(state+".away", state)); err != nil {
			t.Fatal(err)
		}
		s.tellSwitch()
		s.says(t, "a.example", want)
	}
}

func fifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
