package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	rfc8460 "github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// contributed puts into a store what so many operators contribute of one domain on a day, as if it were the day after.
func contributed(t *testing.T, folder string, operators int, day rfc8460.Day, e rfc8460.Contributed) {
	t.Helper()
	s, err := tlsrpt.Open(folder, tlsrpt.Options{Now: func() time.Time { return (day + 1).Begin().Add(6 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range operators {
		who, err := policy.ParseDomain(fmt.Sprintf("op%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		c := rfc8460.Contribution{ID: fmt.Sprintf("%032x", i), Day: day, Entries: []rfc8460.Contributed{e}}
		if err := s.Contribute(t.Context(), who, c); err != nil {
			t.Fatal(err)
		}
	}
}

// ran runs starttls-list and returns what it says.
func ran(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out, said bytes.Buffer
	if code := run(t.Context(), args, nil, &out, &said); code != want {
		t.Fatalf("%v: exit code %d, not %d\n%s%s", args, code, want, out.String(), said.String())
	}
	return out.String() + said.String()
}

// daily is what "tlsrpt serve" logs once a day.
func daily(t *testing.T, path string) string {
	t.Helper()
	cfg, store, err := openTLSRPT(path, true)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := cfg.tlsrptServer(store, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Daily(t.Context()); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// TestTLSRPTTable goes the whole way: contributions, the week's table, what the operator alone is told, and the release that
// publishes the table and tells what it shows.
func TestTLSRPTTable(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := pipeline.Setup(".", pipeline.SetupOptions{Plain: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	config := func(more string) string {
		path := "tlsrpt" + fmt.Sprint(len(more)) + ".toml"
		text := "source = \"list\"\ntrust = \"trust\"\nstate = \"state\"\n[keys]\nrelease = [\"keys/release.key\"]\nlog = \"keys/log.key\"\n" +
			"[[mirror]]\nname = \"public\"\nurl = \"public\"\n[tlsrpt]\nstate = \"store\"\nhost = \"reports.operator.example\"\n" + more
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, err := policy.ParseDomain("good.example")
	if err != nil {
		t.Fatal(err)
	}
	month := cells.MonthOf(rfc8460.DayOf(time.Now()))
	due := slices.DeleteFunc(slices.Concat(month.Before().Weeks(), month.Weeks()), func(w cells.Week) bool { return w.Due().After(time.Now()) })
	week := due[len(due)-1]
	fault := rfc8460.Contributed{Domain: good, Type: rfc8460.STS, Successful: 100, Failed: 50,
		Details: []rfc8460.ContributedDetail{{Result: rfc8460.CertificateHostMismatch, MX: rfc8460.UnlistedMX, Failed: 50}}}
	contributed(t, "store", 20, week.Month().Before().First()+3, fault)
	contributed(t, "store", 20, week.First()+1, fault)
	yesterday := rfc8460.DayOf(time.Now()) - 1
	contributed(t, "store", 2, yesterday, fault)

	ran(t, 3, "tlsrpt", "table", "--config", config(""))
	path := config("tables = \"tables\"\n")
	if said := ran(t, 0, "tlsrpt", "table", "--config", path); !strings.Contains(said, "week from "+week.String()) ||
		!strings.Contains(said, "1 domain, ") || !strings.Contains(said, "good.example: most ok, many host-mismatch") {
		t.Errorf("%s", said)
	}
	if said := ran(t, 0, "tlsrpt", "table", "good.example", "--week", week.String(), "--config", path); !strings.Contains(said, ": most ok, many host-mismatch\n") {
		t.Errorf("%s", said)
	}
	for _, name := range []string{"trial.example", "nobody.example"} {
		if said := ran(t, 0, "tlsrpt", "table", name, "--config", path); !strings.HasSuffix(said, ": insufficient data\n") {
			t.Errorf("%s", said)
		}
	}
	table := ran(t, 0, "tlsrpt", "table", "--json", "--config", path)
	if _, err := cells.Parse([]byte(strings.TrimSuffix(table, "\n"))); err != nil {
		t.Errorf("%s: %v", table, err)
	}
	ran(t, 3, "tlsrpt", "table", "--week", "2026-01-02", "--config", path)
	ran(t, 3, "tlsrpt", "table", "--week", "2020-01-01", "--config", path)
	ran(t, 3, "tlsrpt", "table", "--json", "good.example", "--config", path)
	ran(t, 3, "tlsrpt", "table", "--config", config("tables = \"tables\"\nlist = \"nowhere.json\"\n"))

	if said := ran(t, 1, "tlsrpt", "alerts", "--config", path); !strings.Contains(said, "feedback.unlisted-mx: good.example: ") || strings.Contains(said, "op1.example") {
		t.Errorf("%s", said)
	}
	ran(t, 1, "tlsrpt", "alerts", "--json", "--config", path)

	// Without an observer there is no evidence, so the table is told and not published; nobody is held either, for want of a gate.
	if said := ran(t, 0, "release", "--config", path); !strings.Contains(said, "feedback.fault: good.example: ") {
		t.Errorf("%s", said)
	}
	// A host without the source takes the list that was published.
	if said := ran(t, 1, "tlsrpt", "alerts", "--config", config("list = \"public/policy.json\"\n")); !strings.Contains(said, "good.example") {
		t.Errorf("%s", said)
	}
	if log := daily(t, config("list = \"public/policy.json\"\n")); !strings.Contains(log, "feedback.unlisted-mx domain=good.example") || strings.Contains(log, "op1.example") {
		t.Errorf("serve without tables: %s", log)
	}
	if err := os.RemoveAll("tables"); err != nil {
		t.Fatal(err)
	}
	if said := ran(t, 1, "release", "--config", path); !strings.Contains(said, "feedback.refused") {
		t.Errorf("%s", said)
	}
	ran(t, 3, "release", "--config", config("tables = \"tables\"\ncanaries = [\"not a domain\"]\n"))
}

// The examples of table and alerts are what an empty store says.
func TestTLSRPTTableTranscripts(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := pipeline.Setup(".", pipeline.SetupOptions{Plain: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	text := "source = \"list\"\n[tlsrpt]\nstate = \"store\"\nhost = \"reports.operator.example\"\ntables = \"tables\"\n"
	if err := os.WriteFile(configName, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tlsrpt.Open("store", tlsrpt.Options{}); err != nil {
		t.Fatal(err)
	}
	transcript(t, newTLSRPTTableCommand().Example)
	transcript(t, newTLSRPTAlertsCommand().Example)
}

// TestCanariesConfigured: canaries reach the gate, and what contributors are told; the domain that people test their set-up
// against is one.
func TestCanariesConfigured(t *testing.T) {
	c := &config{TLSRPT: tlsrptConfig{Canaries: []string{"canary.example"}, Host: "reports.operator.example", Contributions: true}}
	c.Probe.Resolver = "127.0.0.1:53"
	c.Site.TestDomain = "broken.example"
	p := &pipeline.Publisher{Gate: &pipeline.Gate{}}
	c.setFeedback(p)
	canary, err := policy.ParseDomain("canary.example")
	if err != nil {
		t.Fatal(err)
	}
	if broken, err := policy.ParseDomain("broken.example"); err != nil || !p.Gate.Canaries[broken] || len(p.Gate.Canaries) != 2 {
		t.Errorf("%+v, %v", p.Gate, err)
	}
	if !p.Gate.Canaries[canary] || p.Feedback != nil {
		t.Errorf("%+v", p.Gate)
	}
	opts, _, err := c.intakeOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	told := opts.Notices(rfc8460.Contribution{Entries: []rfc8460.Contributed{{Domain: canary, Successful: 20}}})
	if len(told) != 1 || told[0] != rfc8460.NoticeCanary {
		t.Errorf("%v", told)
	}
}
