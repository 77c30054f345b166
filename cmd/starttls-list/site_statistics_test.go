package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The statistics that survey --stats writes are on the page, with their file; what is no such file gives no site.
func TestSiteBuildTakesASurvey(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	build := func(code int, more ...string) string {
		return list(t, code, append([]string{"site", "build", "--mirror", op.public(), "--trust", op.path("trust/1"), "--out", op.path("www")}, more...)...)
	}
	page := func() string { return readText(t, op.path("www/site/statistics/index.html")) }
	build(0)
	if !strings.Contains(page(), "No survey is published yet.") {
		t.Error("a page without a survey does not say so")
	}
	stats := filepath.Join("..", "..", "pipeline", "survey", "testdata", "march.json")
	build(0, "--survey", stats)
	if !strings.Contains(page(), "What 9 mail domains had deployed") {
		t.Error(page())
	}
	if csv := readText(t, op.path("www/site/statistics/survey.csv")); csv != readText(t, strings.TrimSuffix(stats, ".json")+".csv") {
		t.Errorf("survey --csv writes something else than\n%s", csv)
	}
	put(t, op.path("bad.json"), []byte(strings.Replace(readText(t, stats), `"domains": 9`, `"domains": 8`, 1)))
	build(exitUsage, "--survey", op.path("bad.json"))
	build(exitUsage, "--survey", op.path("nowhere.json"))
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The command on the page of the log prints the fingerprint that the page shows, before and after a change of keys.
func TestFingerprintOnLogPage(t *testing.T) {
	op := newOperator(t)
	op.release(3)
	put(t, op.path("trust/2"), op.nextTrust(op.p.Trust.Newest().Expires).Note())
	op = openOperator(t, op.dir, op.now)
	op.release(0)
	public := op.copyPublic()
	list(t, 0, "site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public)
	t.Chdir(public)
	page := readText(t, "site/log/index.html")
	out := list(t, 0, pageCommand(t, "site/log/index.html", "trust show")...)
	first := regexp.MustCompile(`fingerprint +([0-9a-f]{64})`).FindStringSubmatch(out)
	if first == nil || !strings.Contains(page, first[1]) {
		t.Errorf("%s is not on the page", out)
	}
	// What join takes is the newest version's.
	newest := regexp.MustCompile(`fingerprint +([0-9a-f]{64})`).FindStringSubmatch(list(t, 0, "trust", "show", "."))
	_, fingerprint, _ := strings.Cut(page, "<h2>Fingerprint</h2>")
	fingerprint, _, _ = strings.Cut(fingerprint, "<h2>")
	if newest == nil || !strings.Contains(fingerprint, newest[1]) || newest[1] == first[1] {
		t.Errorf("%q in %s", newest, fingerprint)
	}
	list(t, 0, pageCommand(t, "site/log/index.html", "audit")...)
}
