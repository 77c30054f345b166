package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
)

const daemonFeedback = `[feedback]
url = "https://127.0.0.1:1/feedback/v1"
contributor = "sender.example"
source = "daemon"
[serve]
listen = ["unix:DIR/sock"]
sources = ["mta-sts", "list"]
resolver = "127.0.0.1:1"
`

// TestDaemonCounts: what the daemon was asked is told of, marked as what it is, over a restart; nothing is counted unless
// [feedback] says so, and no longer when it stops to.
func TestDaemonCounts(t *testing.T) {
	m := newMachine(t, daemonFeedback)
	ask := func(s *served, n int, domain string) {
		t.Helper()
		for range n {
			s.says(t, domain, map[string]string{"a.example": sniA}[domain]+map[bool]string{true: no}[domain != "a.example"])
		}
	}
	s := m.serving(io.Discard)
	ask(s, 15, "a.example") // nobody answers at the resolver, which is what an attacker would bring about
	ask(s, 30, "t.example")
	ask(s, 30, "unlisted.example")
	s.saveLookups()
	s.live.Close()
	s = m.serving(io.Discard)
	ask(s, 10, "a.example")
	s.saveLookups()
	m.runs(0, "feedback", "key")
	const entry = `{"failure-details":[{"failed-session-count":20,"result-type":"sts-policy-fetch-error"}],"policy":{"policy-domain":"D","policy-string":["look-ups"],"policy-type":"sts"},"summary":{"total-failure-session-count":20,"total-successful-session-count":0}}`
	want := `"policies":[` + strings.Replace(entry, "D", "a.example", 1) + "," + strings.Replace(entry, "D", "t.example", 1) + `]`
	if got := m.runs(0, "feedback", "--dry-run", "--day", "2026-03-01"); !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	m.configure(daemonFeedback[strings.Index(daemonFeedback, "[serve]"):])
	s.reconfigure()
	ask(s, 30, "a.example")
	var l feedback.Lookups
	path := filepath.Join(m.dir, "var", feedback.LookupsFile)
	if err := l.Load(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.saveLookups()
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("counted while it was off: %v\n%s", err, after)
	}
	s.live.Close()
}

// Sources that cannot tell anything are refused.
func TestFeedbackRefusals(t *testing.T) {
	const good = "[feedback]\nurl = \"https://list.example/feedback/v1\"\ncontributor = \"sender.example\"\nsource = \"spool\"\nspool = \"/spool\"\n"
	parse := func(text string) error {
		_, err := parseConfig("config.toml", []byte("[[list]]\nname = \"a\"\nmirrors = [\"/srv\"]\n"+text))
		return err
	}
	if err := parse(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"https", "http", "is not a feedback URL"},
		{"/feedback/v1", "/", "is not a feedback URL"},
		{"url = \"https://list.example/feedback/v1\"\n", "", "url is missing"},
		{"contributor = \"sender.example\"\n", "", "contributor is missing"},
		{"sender.example", "a b", "config.toml:6:"},
		{"source = \"spool\"\n", "", "source is missing"},
		{"\"spool\"", "\"mail\"", "it is \"spool\", \"log\" or \"daemon\""},
		{"spool = \"/spool\"\n", "", "go together"},
		{"\"spool\"", "\"log\"", "go together"},
		{"source = \"spool\"\nspool = \"/spool\"", "source = \"log\"", "needs log in [testing]"},
		{"source = \"spool\"\nspool = \"/spool\"", "source = \"daemon\"", "needs [serve]"},
		{"source = \"spool\"\nspool = \"/spool\"", "source = \"daemon\"\n[serve]\nsources = [\"list\"]", "needs [serve]"},
		{"/spool\"\n", "/spool\"\nlist = \"b\"\n", "no list of the name b"},
		{"/spool\"\n", "/spool\"\n[[list]]\nname = \"b\"\nmirrors = [\"/srv\"]\n", "list is missing"},
		{"/spool\"\n", "/spool\"\nrate = 1\n", "there is no key"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if err := parse(text); text == good || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v, want %q", text, err, c.want)
		}
	}
}
