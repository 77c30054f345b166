package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// stream is a file and what JOURNAL_STREAM says when systemd has connected it with the journal.
func stream(t *testing.T) (f *os.File, name string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return f, fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

func written(t *testing.T, f *os.File) string {
	t.Helper()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// In the journal each line begins with its priority and has no time; nothing that is logged can begin a line.
func TestJournalLines(t *testing.T) {
	f, name := stream(t)
	t.Setenv("JOURNAL_STREAM", name)
	log := newLog(f)
	log.Debug("not told")
	log.Info("list in force", "list", "example", "domains", 3)
	log.Warn("possible downgrade", "domain", "a.example")
	log.Error("list not read", "err", "x\n<0>level=INFO msg=forged")
	log.With("list", "a").WithGroup("g").Error("time", slog.TimeKey, 1)
	want := `<6>level=INFO msg="list in force" list=example domains=3
<4>level=WARN msg="possible downgrade" domain=a.example
<3>level=ERROR msg="list not read" err="x\n<0>level=INFO msg=forged"
<3>level=ERROR msg=time list=a g.time=1
`
	if got := written(t, f); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Many goroutines log, and no line is in another one.
func TestJournalLinesStayWhole(t *testing.T) {
	f, name := stream(t)
	t.Setenv("JOURNAL_STREAM", name)
	log := newLog(f)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				log.With("from", i).Warn("x")
			}
		})
	}
	all.Wait()
	lines := regexp.MustCompile(`(?m)^<4>level=WARN msg=x from=[0-7]$`).FindAllString(written(t, f), -1)
	if len(lines) != 800 {
		t.Errorf("%d whole lines", len(lines))
	}
}

// Elsewhere the lines have a time and no priority: a variable that was inherited, or is nonsense, names another stream.
func TestLogElsewhere(t *testing.T) {
	for _, variable := range []string{"", "1:2", "x", "0:0", "99999999999999999999:1"} {
		f, _ := stream(t)
		t.Setenv("JOURNAL_STREAM", variable)
		newLog(f).Warn("x")
		if got := written(t, f); !regexp.MustCompile(`^time=\d{4}-\d\d-\d\dT\S+ level=WARN msg=x\n$`).MatchString(got) {
			t.Errorf("JOURNAL_STREAM=%q: %s", variable, got)
		}
	}
	var b strings.Builder
	newLog(&b).Warn("x")
	if !strings.HasPrefix(b.String(), "time=") {
		t.Errorf("%s", b.String())
	}
}
