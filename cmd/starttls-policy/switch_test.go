package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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

func fifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
