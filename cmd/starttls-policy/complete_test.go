package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// A shell is offered what is held here: listed domains, lists, formats. No mirror is asked, nothing is written, and what
// cannot be read offers nothing.
func TestCompletionReadsTheStateAlone(t *testing.T) {
	dir := t.TempDir()
	public := filepath.Join(dir, "public")
	fingerprint, err := publish(t.Context(), filepath.Join(dir, "operator"), public, "2026-03-01T12:00:00Z", []byte(transcriptEntries))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	files := http.FileServer(http.Dir(public))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	now := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	config := filepath.Join(dir, "config.toml")
	command := func(args ...string) string {
		var out, errs bytes.Buffer
		run(t.Context(), args, world{&out, &errs, func() time.Time { return now }})
		return out.String()
	}
	complete := func(args ...string) []string {
		lines := strings.Split(strings.TrimSpace(command(append([]string{"__complete", args[0], "--config", config}, args[1:]...)...)), "\n")
		return lines[:len(lines)-1] // the last is a directive
	}
	if got := complete("query", ""); len(got) != 0 {
		t.Errorf("without a configuration: %q", got)
	}
	command("join", server.URL+"/", "--fingerprint", fingerprint, "--mta", "none", "--name", "example", "--config", config, "--state", filepath.Join(dir, "var"))
	before, writes := asked.Load(), snapshot(t, dir)
	if before == 0 {
		t.Fatal("join asked nobody")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"query", ""}, "a.example b.example c.example"},
		{[]string{"explain", "B"}, "b.example"},
		{[]string{"refresh", "x"}, ""},
		{[]string{"query", "a.example", ""}, ""},
		{[]string{"update", "--list", ""}, "example"},
		{[]string{"update", "--method", ""}, "auto delta snapshot"},
		{[]string{"export", "--dialect", ""}, "auto legacy sni floor tlsrpt"},
		{[]string{"export", "send"}, "sendmail-sts sendmail"},
		{[]string{"join", "x", "--mta", "none"}, "none"},
	} {
		got := complete(c.args...)
		want := strings.Fields(c.want)
		got = slices.DeleteFunc(got, func(s string) bool {
			return !strings.HasPrefix(s, c.args[len(c.args)-1]) && c.args[len(c.args)-1] != "B"
		})
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", c.args, got, want)
		}
	}
	if asked.Load() != before {
		t.Errorf("completion asked the mirror %d times", asked.Load()-before)
	}
	if after := snapshot(t, dir); after != writes {
		t.Errorf("completion wrote\n%s\nwas\n%s", after, writes)
	}
	if err := os.WriteFile(filepath.Join(dir, "var/example/policy.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := complete("query", ""); len(got) != 0 {
		t.Errorf("from a damaged list: %q", got)
	}
}

// Too many to look at are none: of a part of them the shell would complete what they happen to have in common.
func TestCompletionOffersAllOrNone(t *testing.T) {
	dir := t.TempDir()
	fingerprint, err := publish(t.Context(), filepath.Join(dir, "operator"), filepath.Join(dir, "public"), "2026-03-01T12:00:00Z", bulk(maxCompletions+1, "mx.provider.example"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{world: world{new(bytes.Buffer), new(bytes.Buffer), func() time.Time { return time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC) }},
		configPath: filepath.Join(dir, "config.toml")}
	run(t.Context(), []string{"join", filepath.Join(dir, "public"), "--fingerprint", fingerprint, "--mta", "none", "--config", a.configPath,
		"--state", filepath.Join(dir, "var")}, a.world)
	if got := a.domainsFrom(""); got != nil {
		t.Errorf("%d domains are offered", len(got))
	}
	if got := a.domainsFrom("d00"); len(got) == 0 || len(got) > maxCompletions {
		t.Errorf("%d of the domains are offered", len(got))
	}
}

// snapshot names every file below dir with its size and time.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every command's manual page says what its help says, and the example is a configuration with every key.
func TestManual(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"manual", dir}, world{&out, &out, time.Now}); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out.String())
	}
	var all []*cobra.Command
	for _, c := range newRoot(&app{}).Commands() {
		all = append(append(all, c), c.Commands()...)
	}
	commands := 0
	for _, c := range all {
		if c.Hidden || c.Parent().Name() == "completion" {
			continue
		}
		commands++
		page, err := os.ReadFile(filepath.Join(dir, "man1", strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
		}
		for _, section := range []string{"SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"} {
			if !bytes.Contains(page, []byte("\n.SH \""+section+"\"\n")) {
				t.Errorf("the page of %s has no %s", c.Name(), section)
			}
		}
	}
	pages, err := os.ReadDir(filepath.Join(dir, "man1"))
	if err != nil || len(pages) != commands+1 {
		t.Errorf("%d pages for %d commands, %v", len(pages), commands, err)
	}
	if _, err := parseConfig("example", []byte(exampleConfig())); err != nil {
		t.Error(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "man5", "starttls-policy.toml.5"))
	for _, want := range []string{`.SS "[[list]]"`, `\fBmirrors = ["https://list.example/"]\fR`, `.SS "[serve]"`, `\fBtrust\-ad = false\fR`} {
		if err != nil || !bytes.Contains(page, []byte("\n"+want+"\n")) {
			t.Errorf("the page of the configuration has no line %s, %v", want, err)
		}
	}
	out.Reset()
	if run(t.Context(), []string{"example"}, world{&out, &out, time.Now}) != 0 || out.String() != exampleConfig() {
		t.Errorf("example prints\n%s", out.String())
	}
}
