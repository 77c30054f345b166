package feedback

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// text is a contribution's document without its padding.
func text(t *testing.T, c tlsrpt.Contribution) string {
	t.Helper()
	b, err := tlsrpt.MarshalContribution(c)
	must(t, err)
	return strings.TrimRight(string(b), " ")
}

// says compares the entries of a contribution, one line each: "a.example sts 50/20 starttls-not-supported listed-pattern 20".
func says(t *testing.T, c tlsrpt.Contribution, want ...string) {
	t.Helper()
	var got []string
	for _, e := range c.Entries {
		line := fmt.Sprintf("%s %s %d/%d", e.Domain, e.Type, e.Successful, e.Failed)
		if e.LookUps {
			line += " look-ups"
		}
		for _, d := range e.Details {
			line += strings.TrimSuffix(fmt.Sprintf("; %s %d %s", d.Result, d.Failed, d.MX), " ")
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text(t, c) // valid
}

// report is what tlsrpt-reportd writes of one domain on 2026-03-02: its member names, its ids, and everything that must not leave.
func report(domain, id string, successful, failed int, details string) string {
	return `{"organization-name":"Secret Org","date-range":{"start-datetime":"2026-03-02T00:00:00Z","end-datetime":"2026-03-02T23:59:59Z"},
"contact-info":"postmaster@secret.example","report-id":"2026-03-02T00:00:00Z_idx` + id + `_` + domain + `","policies":[{"summary":{"total-failure-session-count":` +
		fmt.Sprint(failed) + `,"total-successful-session-count":` + fmt.Sprint(successful) + `},"policy":{"policy-type":"sts","policy-domain":"` + domain +
		`","policy-string":["version: STSv1"],"mx-host":["mx.a.example"]},"failure-details":[` + details + `]}]}`
}

func detail(result, mx string, n int) string {
	return fmt.Sprintf(`{"result-type":%q,"receiving-mx-hostname":%q,"sending-mta-ip":"192.0.2.1","receiving-ip":"192.0.2.2",`+
		`"receiving-mx-helo":"secret.helo","failure-reason-code":"secret reason","additional-information":"https://secret.example","failed-session-count":%d}`, result, mx, n)
}

// TestSpool: of a folder's reports only listed domains, buckets and RFC 8460's own words are left.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
	}
	first := report("a.example", "1", 60, 25, detail("certificate-expired", "mx.a.example", 22)+","+detail("certificate-expired", "mx.thief.example", 3))
	write("tlsrpt-a.example-1-x7_.json", first)
	write("tlsrpt-a.example-1-again.json", first) // two destinations of one report
	write("tlsrpt-a.example-2-y.json", report("a.example", "2", 45, 25, detail("validation-failure", "mx.thief.example", 25)))
	write("tlsrpt-unlisted.example-3-z.json", report("unlisted.example", "1", 5000, 0, ""))
	write("tlsrpt-small.example-4-z.json", report("small.example", "1", 19, 0, ""))
	write("tlsrpt-a.example-5-z.json", strings.ReplaceAll(report("a.example", "1", 5000, 0, ""), "2026-03-02", "2026-03-01")) // another day
	write("tlsrpt-t.a.example-6-z.json", strings.Replace(report("t.a.example", "1", 120, 0, ""), `"policy-domain":"t.a.example",`, "", 1))
	write("tlsrpt-b.example-7-z.json", report("b.example", "1", 0, 30,
		strings.Replace(detail("validation-failure", "mx.b.example", 20), "secret reason", "self-signed_certificate", 1)+","+detail("validation-failure", "mx.b.example", 10)))
	write("half.json", report("a.example", "9", 1, 1, "")[:200])
	write(".hidden.json", report("a.example", "10", 5000, 0, ""))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link.json")))
	must(t, os.Mkdir(filepath.Join(dir, "folder.json"), 0o755))
	listed := listing(t, map[string]string{"a.example": "mx.a.example", "b.example": "mx.b.example", "small.example": "mx.small.example", "t.a.example": ".a.example"})
	s, err := ReadSpool(dir, march2, time.Now(), listed)
	must(t, err)
	if s.Files != 9 || s.Reports != 6 || s.Unusable != 1 || len(s.Names) != 1 || !strings.Contains(s.Names[0], "half.json") {
		t.Errorf("%+v", s)
	}
	c := s.Contribution(testKey(t, 1), march2, listed)
	says(t, c, "a.example sts 100/50; certificate-expired 20 listed-pattern; validation-failure 20 unlisted-mx", "b.example sts 0/20; certificate-not-trusted 20 listed-pattern", "t.a.example sts 100/0")
	if got := text(t, c); strings.Contains(strings.ToLower(got), "secret") || strings.Contains(got, "192.0.2") || strings.Contains(got, "mx.") {
		t.Errorf("it tells more than it may:\n%s", got)
	}
	// What is being written is waited for; what cannot be read is an error and not an empty day.
	must(t, os.WriteFile(filepath.Join(dir, "half.json"), []byte("{"), 0o600))
	if _, err := ReadSpool(dir, march2, time.Now(), listed); !errors.Is(err, ErrLater) {
		t.Errorf("%v", err)
	}
	if _, err := ReadSpool(filepath.Join(dir, "none"), march2, time.Now(), listed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestFromLog: the counts of the log, for listed domains, as far as they tell.
func TestFromLog(t *testing.T) {
	listed := listing(t, map[string]string{"a.example": "mx.a.example", "t.a.example": "mx.a.example", "small.example": "mx.small.example"})
	day := func(verified, unknown int64, failed map[trial.Code]int64) []trial.Day {
		d := trial.Day{Date: "2026-03-02", Verified: verified, Unknown: unknown, Failed: failed, Example: "mx.secret.example"}
		d.Deliveries = verified + unknown + d.Failures()
		return []trial.Day{{Date: "2026-03-01", Verified: 1000}, d}
	}
	tally := &trial.Tally{Domains: []trial.DomainTally{
		{Domain: "a.example", Days: day(60, 500, map[trial.Code]int64{trial.CodeClear: 20, trial.CodeHandshake: 50, trial.CodeCertificate: 3})},
		{Domain: "gone.example", Days: day(60, 0, nil)},
		{Domain: "not a domain", Days: day(60, 0, nil)},
		{Domain: "small.example", Days: day(10, 500, map[trial.Code]int64{trial.CodeMX: 9})},
		{Domain: "t.a.example", Days: day(60, 0, map[trial.Code]int64{trial.CodeMX: 500, "testing.new": 20, trial.CodeCertificate: 20})},
	}}
	c := FromLog(tally, testKey(t, 1), march2, listed)
	says(t, c, "a.example sts 50/50; starttls-not-supported 20; validation-failure 50",
		"t.a.example no-policy-found 50/500; certificate-host-mismatch 500 unlisted-mx; certificate-not-trusted 20; validation-failure 20")
	if strings.Contains(text(t, c), "secret") {
		t.Error("the host is told")
	}
	if c := FromLog(&trial.Tally{}, testKey(t, 1), march2, listed); len(c.Entries) != 0 || c.ID == "" {
		t.Errorf("%+v", c)
	}
	for _, code := range trial.Codes() {
		if _, known := logResults[trial.Code(code.ID)]; !known && trial.Code(code.ID).Fails() {
			t.Errorf("%s has no result", code.ID)
		}
	}
}

// TestLookups: what the daemon was asked is counted for listed domains, marked as no sessions, and survives a restart.
func TestLookups(t *testing.T) {
	listed := listing(t, map[string]string{"a.example": "mx.a.example", "b.example": "mx.b.example"})
	var l Lookups
	asked := 0
	is := func(d policy.Domain) bool { asked++; _, ok := listed(d); return ok }
	count := func(n int, name string, source socketmap.Source, downgrade string) {
		var g sync.WaitGroup
		for range n {
			g.Go(func() {
				l.Count(march2, socketmap.Decision{Domain: domain(t, name), Source: source, Downgrade: downgrade}, is)
			})
		}
		g.Wait()
	}
	count(60, "a.example", socketmap.SourceSTS, "")
	if asked != 1 {
		t.Errorf("the list was asked %d times", asked)
	}
	count(25, "a.example", socketmap.SourceList, "its policy cannot be fetched")
	count(25, "b.example", socketmap.SourceDANE, "")
	count(30, "b.example", socketmap.SourceList, "")
	count(500, "unlisted.example", socketmap.SourceSTS, "")
	count(500, "a.example", socketmap.SourceOff, "")
	count(500, "a.example", socketmap.SourceOverride, "")
	count(500, "a.example", socketmap.SourceNone, "")
	want := []string{"a.example sts 50/20 look-ups; sts-policy-fetch-error 20", "b.example no-policy-found 20/0 look-ups", "b.example tlsa 20/0 look-ups"}
	says(t, l.Contribution(testKey(t, 1), march2, listed), want...)
	if r := l.Contribution(testKey(t, 1), march2, listed).Report(); len(r.Policies) != 0 {
		t.Errorf("look-ups count as sessions: %+v", r.Policies)
	}
	path := filepath.Join(t.TempDir(), LookupsFile)
	must(t, l.Save(path))
	var again Lookups
	must(t, again.Load(path))
	says(t, again.Contribution(testKey(t, 1), march2, listed), want...)
	// Old days go, and no more is counted than there is room for.
	again.Count(march2+lookupDays, socketmap.Decision{Domain: domain(t, "a.example"), Source: socketmap.SourceList}, is)
	if days := slices.Collect(maps.Keys(again.days)); !slices.Equal(days, []tlsrpt.Day{march2 + lookupDays}) {
		t.Errorf("%v", days)
	}
	all := func(policy.Domain) bool { return true }
	for i := range maxDomains + 10 {
		again.Count(march2, socketmap.Decision{Domain: domain(t, fmt.Sprintf("d%d.example", i)), Source: socketmap.SourceList}, all)
	}
	if len(again.days[march2]) != maxDomains || again.omitted != 10 {
		t.Errorf("%d domains, %d omitted", len(again.days[march2]), again.omitted)
	}
	must(t, again.Load(filepath.Join(t.TempDir(), "none")))
	must(t, os.WriteFile(path, []byte(`{"days":{"2026-03-02":{"a.example":null,"b.example":{"sts":-1}}}}`), 0o600))
	must(t, again.Load(path))
	says(t, again.Contribution(testKey(t, 1), march2, listed))
	must(t, os.WriteFile(path, []byte(`{"days":`), 0o600))
	if again.Load(path) == nil {
		t.Error("half a file is read")
	}
}

// BenchmarkReadSpool reads a spool of 100 MB: 2,000 reports of a day about as many listed domains, with 200 kinds of failures in
// each. heap-MB is what is kept of them, peak-MB the heap that reading them took.
func BenchmarkReadSpool(b *testing.B) {
	dir, policies, size := b.TempDir(), map[string]string{}, 0
	for i := range 2000 {
		name := fmt.Sprintf("d%d.example", i)
		policies[name] = "mx." + name
		var details []string
		for j := range 200 {
			details = append(details, detail("certificate-expired", fmt.Sprintf("mx%d.%s", j%4, name), j))
		}
		text := report(name, "1", 1000, 500, strings.Join(details, ","))
		size += len(text)
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("tlsrpt-%s-%d-x.json", name, i)), []byte(text), 0o600))
	}
	listed := listing(b, policies)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, err := ReadSpool(dir, march2, time.Now().Add(time.Hour), listed)
		must(b, err)
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapSys-after.HeapReleased)/1e6, "peak-MB")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "heap-MB")
		if c := s.Contribution(testKey(b, 1), march2, listed); len(c.Entries) != 2000 {
			b.Fatalf("%d domains", len(c.Entries))
		}
	}
	b.SetBytes(int64(size))
}

// BenchmarkCount is what counting adds to an answer of the daemon: to be read beside BenchmarkAnswer of package socketmap.
func BenchmarkCount(b *testing.B) {
	var l Lookups
	all := func(policy.Domain) bool { return true }
	var asked []socketmap.Decision
	for i := range 4096 {
		asked = append(asked, socketmap.Decision{Domain: domain(b, fmt.Sprintf("d%d.example", i)), Source: socketmap.SourceList})
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			l.Count(march2, asked[i%len(asked)], all)
		}
	})
}
