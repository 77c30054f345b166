package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// The page for mail administrators names only commands and flags that exist.
func TestUsagePageCommands(t *testing.T) {
	page := usagePage(t)
	used := regexp.MustCompile("starttls-policy ((?:[a-z]+)(?: [^`|\n]*)?)[`|\n]").FindAllStringSubmatch(page, -1)
	if len(used) < 8 {
		t.Fatalf("the page shows %d commands", len(used))
	}
	for _, u := range used {
		fields := strings.Fields(u[1])
		cmd, _, err := newRoot(&app{}).Find(fields[:1])
		if err != nil || cmd.Name() != fields[0] {
			t.Errorf("the page shows %q", u[0])
			continue
		}
		for _, f := range fields[1:] {
			if name, ok := strings.CutPrefix(f, "--"); ok && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
				t.Errorf("the page shows %q, but %s has no flag --%s", u[0], fields[0], name)
			}
		}
	}
}

// What the page's table of lines says is what a table says.
func TestUsagePageLines(t *testing.T) {
	page := usagePage(t)
	for domain, mx := range map[string]string{"a.example": "mx1.a.example", "b.example": ".mail.b.example"} {
		d, err1 := policy.ParseDomain(domain)
		m, err2 := policy.ParseMXPattern(mx)
		p, err3 := policy.NewPolicy(policy.Enforce, []policy.MXPattern{m})
		list, err4 := policy.NewList([]policy.Entry{{Domain: d, Policy: p}})
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err1, err2, err3, err4)
		}
		view := &namedView{"example", mirror.View{List: list, Release: &mirror.ReleaseLeaf{Origin: "log.example/list", Release: 1}, Freshness: mirror.Fresh}}
		text, _, err := tableOf(view, mta.Options{Dialect: mta.Legacy})
		if err != nil {
			t.Fatal(err)
		}
		want := domain + "  secure match=" + mx
		if !strings.Contains(string(text), "\n"+want+"\n") || !strings.Contains(page, "`"+want+" …`") {
			t.Errorf("the page and the table do not both say %q:\n%s", want, text)
		}
	}
}

// The page says of each format what the help says, and its settings are those that the servers' own checkers take.
func TestUsagePageFormats(t *testing.T) {
	page := usagePage(t)
	for _, f := range mta.Formats() {
		row := "| `" + f.Name + "` | " + f.Server + " | " + f.Enforces + " | " + f.Cannot + " |\n"
		settings := "\n" + f.Settings("/var/lib/starttls-policy/"+f.File) + "```\n"
		for _, want := range []string{row, settings} {
			if strings.Count(page, want) != 1 {
				t.Errorf("the page does not have, once:\n%s", want)
			}
		}
		if help := newExport(&app{}).Long; !strings.Contains(help, f.Enforces) || !strings.Contains(help, f.Cannot) {
			t.Errorf("the help of export does not say what %s does", f.Name)
		}
	}
	for _, tableType := range preferredTypes {
		if !strings.Contains(page, "`"+string(tableType)+"`") {
			t.Errorf("the page does not name the table type %s", tableType)
		}
	}
}

// The lines for main.cf that the page shows are those of join, and of the page that each list's site has.
func TestUsagePagePostfix(t *testing.T) {
	page := usagePage(t)
	for _, line := range append(mta.MainTable("lmdb"), mta.MainDaemon(mta.Floor)...) {
		if !strings.Contains(page, "\n"+line+"\n") && !strings.Contains(page, "\n  "+line+"\n") {
			t.Errorf("the page does not have %q", line)
		}
	}
}

// Every part of a configuration that the page shows is one.
func TestUsagePageConfigurations(t *testing.T) {
	page := usagePage(t)
	blocks := regexp.MustCompile("(?s)\n```toml\n(.*?)\n```\n").FindAllStringSubmatch(page, -1)
	if len(blocks) < 4 {
		t.Fatalf("the page has %d parts of a configuration", len(blocks))
	}
	for _, b := range blocks {
		if _, err := parseConfig("config.toml", []byte("[[list]]\nname = \"a\"\nmirrors = [\"/srv\"]\n"+b[1]+"\n")); err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
	}
}

// Postfix reads every smtp_tls_policy_maps of the page as it stands there. Those of containers name the folder that their
// compose file brings in, in the one type that every Postfix has.
func TestUsagePageMaps(t *testing.T) {
	page, postfix := usagePage(t), tool.NewPostfix(t, "cdb")
	main := filepath.Join(postfix.Config, "main.cf")
	base, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^smtp_tls_policy_maps = (.*)$`).FindAllStringSubmatch(page, -1)
	if len(lines) < 6 {
		t.Fatalf("the page has %d lines for main.cf", len(lines))
	}
	for _, l := range lines {
		if err := os.WriteFile(main, append(slices.Clone(base), l[0]+"\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(main, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		out, err := postfix.Command(t.Context(), t, "postconf", "-h", "smtp_tls_policy_maps").Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != l[1] {
			t.Errorf("Postfix makes of %q: %q, %v", l[1], got, err)
		}
		for _, m := range regexp.MustCompile(`(\w+):`+regexp.QuoteMeta(defaultState)+`/(\S+)`).FindAllStringSubmatch(l[1], -1) {
			if _, ok := compiledSuffix[tableType(m[1])]; !ok || m[2] != defaultTable {
				t.Errorf("%q names no table of ours", l[1])
			}
		}
	}
	mount := "\n    volumes:\n      - " + defaultState + ":" + defaultState + ":ro\n"
	if got := strings.Count(page, mount); got != 2 {
		t.Errorf("the page has %d compose files with the state folder", got)
	}
}

func usagePage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Whoever looks for a part of the page finds it: its beginning leads to every part, and no link leads nowhere.
func TestUsagePageLinks(t *testing.T) {
	page := usagePage(t)
	anchors, parts, fenced := map[string]bool{}, []string{}, false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		heading := strings.TrimLeft(line, "#")
		if fenced || heading == line {
			continue
		}
		// As GitHub makes them: lower case, blanks become hyphens, punctuation goes.
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		anchor = "#" + strings.ReplaceAll(anchor, " ", "-")
		anchors[anchor] = true
		if strings.HasPrefix(line, "## ") {
			parts = append(parts, anchor)
		}
	}
	contents, _, _ := strings.Cut(page, "\n## ")
	for _, p := range parts {
		if !strings.Contains(contents, "]("+p+")") && p != "#codes-of-doctor" {
			t.Errorf("the contents do not lead to %s", p)
		}
	}
	links := regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(page, -1)
	if len(links) < len(parts) || len(parts) < 15 {
		t.Fatalf("%d links, %d parts", len(links), len(parts))
	}
	for _, l := range links {
		if !anchors[l[1]] {
			t.Errorf("a link leads to %s, which there is not", l[1])
		}
	}
}
