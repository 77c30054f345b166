package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

const transcriptEntries = `{"policies": {
  "a.example": {"mode": "enforce", "mxs": ["mx1.a.example", "mx2.a.example"]},
  "b.example": {"mode": "enforce", "mxs": [".mail.b.example"]},
  "c.example": {"mode": "testing", "mxs": ["mx.c.example"]}
}}`

// What each command's help shows is what the command prints, on a fresh machine that joins a list of three domains:
// join is run first, then the others one after another. "…" stands for anything within a line, alone on a line for any
// lines. Paths of the test stand for the usual ones.
func TestHelpTranscripts(t *testing.T) {
	dir := t.TempDir()
	fingerprint, err := publish(t.Context(), filepath.Join(dir, "operator"), filepath.Join(dir, "public"), "2026-03-01T12:00:00Z", []byte(transcriptEntries))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "public"))))
	defer server.Close()
	writePostconf(t, dir)
	places := []string{
		"https://list.example/", server.URL + "/",
		"/var/lib/starttls-policy", filepath.Join(dir, "var"),
		"/etc/starttls-policy", filepath.Join(dir, "etc"),
	}
	var back []string
	for i := 0; i < len(places); i += 2 {
		back = append(back, places[i+1], places[i])
	}
	there, here := strings.NewReplacer(append(places, "$FINGERPRINT", fingerprint)...), strings.NewReplacer(back...)
	now := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	command := func(args string) string {
		var out bytes.Buffer
		fields := append(strings.Fields(there.Replace(args)), "--config", filepath.Join(dir, "etc/config.toml"))
		if fields[1] == "join" {
			fields = append(fields, "--state", filepath.Join(dir, "var"))
		}
		run(t.Context(), fields[1:], world{&out, &out, func() time.Time { return now }})
		return here.Replace(out.String())
	}
	seen := 0
	for _, c := range newRoot(&app{}).Commands() {
		if c.Name() == "join" {
			compareTranscript(t, c, command)
		}
	}
	for _, c := range newRoot(&app{}).Commands() {
		switch c.Name() {
		case "join", "help", "completion", "manual", "example":
			continue
		case "serve", "refresh", "ping": // the first does not end, the others need it
			continue
		}
		for _, one := range append([]*cobra.Command{c}, c.Commands()...) {
			seen++
			compareTranscript(t, one, command)
		}
	}
	if seen != 13 {
		t.Errorf("%d commands besides join were compared", seen)
	}
}

// writePostconf puts a Postfix 3.5 that knows only texthash in front of whatever this machine has.
func writePostconf(t *testing.T, dir string) {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	script := "#!/bin/sh\ncase \"$*\" in\n\"-h mail_version\") echo 3.5.25 ;;\n\"-m\") echo texthash ;;\n*) echo ;;\nesac\n"
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "postconf"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

func compareTranscript(t *testing.T, c *cobra.Command, command func(string) string) {
	t.Helper()
	var printed strings.Builder
	for l := range strings.Lines(c.Example) {
		args, ok := strings.CutPrefix(strings.TrimSpace(l), "$ ")
		if !ok {
			continue
		}
		printed.WriteString("  $ " + args + "\n")
		for out := range strings.Lines(command(args)) {
			fmt.Fprintf(&printed, "  %s\n", strings.TrimSuffix(out, "\n"))
		}
	}
	pattern := regexp.QuoteMeta(strings.TrimSuffix(c.Example, "\n") + "\n")
	pattern = regexp.MustCompile(`(?m)^ *…\n`).ReplaceAllString(pattern, `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, "…", `.*`)
	if printed.Len() == 0 || !regexp.MustCompile("^"+pattern+"$").MatchString(printed.String()) {
		t.Errorf("the help of %s shows\n%s\nbut this was printed\n%s", c.Name(), c.Example, printed.String())
	}
}
