package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// The page for mail administrators names only commands and flags that exist.
func TestUsagePageCommands(t *testing.T) {
	data, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
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
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	for domain, mx := range map[string]string{"a.example": "mx1.a.example", "b.example": ".mail.b.example"} {
		d, err1 := policy.ParseDomain(domain)
		m, err2 := policy.ParseMXPattern(mx)
		p, err3 := policy.NewPolicy(policy.Enforce, []policy.MXPattern{m})
		list, err4 := policy.NewList([]policy.Entry{{Domain: d, Policy: p}})
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err1, err2, err3, err4)
		}
		view := &namedView{"example", mirror.View{List: list, Release: &mirror.ReleaseLeaf{Origin: "log.example/list", Release: 1}, Freshness: mirror.Fresh}}
		text, _, err := tableText([]*namedView{view}, localSay{}, mta.Options{Dialect: mta.Legacy})
		if err != nil {
			t.Fatal(err)
		}
		want := domain + "  secure match=" + mx
		if !strings.Contains(string(text), "\n"+want+"\n") || !strings.Contains(string(page), "`"+want+" …`") {
			t.Errorf("the page and the table do not both say %q:\n%s", want, text)
		}
	}
}

// The page says of each format what the help says, and its settings are those that the servers' own checkers take.
func TestUsagePageFormats(t *testing.T) {
	data, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
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
