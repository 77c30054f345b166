package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func siteOf(t *testing.T, s siteConfig) *config {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "list"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &config{dir: dir, Source: "list", Site: s}
}

// Every key of [site] reaches the pages, and the defaults are none.
func TestSiteConfig(t *testing.T) {
	c := siteOf(t, siteConfig{Enabled: true, URL: "https://list.example/", Repository: "https://forge.example/o/list", Survey: "survey.json", TestDomain: "broken.example",
		ProbeURL: "https://probe.list.example/", TimeLimit: "3m"})
	if err := c.checkSite(); err != nil {
		t.Fatal(err)
	}
	p, err := c.site()
	if err != nil || p.Limit != 3*time.Minute {
		t.Fatalf("%+v, %v", p, err)
	}
	extra, err := p.Extra(t.Context())
	if err != nil || extra.Survey != nil || extra.Incidents == nil {
		t.Errorf("without files: %+v, %v", extra, err)
	}
	put(t, filepath.Join(c.dir, "survey.json"), []byte("{}"))
	put(t, filepath.Join(c.dir, "list/incidents/2026-03-05-late.json"), []byte("{}"))
	extra, err = p.Extra(t.Context())
	if err != nil || extra.Address != "https://list.example/" || extra.Repository != "https://forge.example/o/list" || string(extra.Survey) != "{}" || len(extra.Incidents) != 1 ||
		extra.TestDomain != "broken.example" || extra.ProbeURL != "https://probe.list.example/" || len(extra.Codes) != len(codes()) || extra.Cache != "" || extra.Pending != nil {
		t.Errorf("%+v, %v", extra, err)
	}
	c.Site.Survey = "list" // cannot be read
	if _, err := p.Extra(t.Context()); err == nil {
		t.Error("a folder was taken for a survey")
	}
	put(t, filepath.Join(c.dir, "old.json"), []byte("{}"))
	c.Source, c.Site.Survey = "old.json", ""
	if extra, err := p.Extra(t.Context()); err != nil || extra.Incidents != nil {
		t.Errorf("a list in one file: %+v, %v", extra.Incidents, err)
	}
	c.Site = siteConfig{}
	if p, err := c.site(); p != nil || err != nil || c.checkSite() != nil {
		t.Errorf("the default makes pages: %+v, %v", p, err)
	}
}

func TestSiteConfigIsJudged(t *testing.T) {
	for _, bad := range []siteConfig{
		{URL: "list.example"}, {URL: "ftp://list.example/"}, {URL: "https://"}, {URL: "https://user:word@list.example/"}, {URL: ":"}, {URL: `https://list.example/"x`}, {URL: "https://list.example/?a"},
		{ProbeURL: "javascript:alert(1)"}, {ProbeURL: "/probe"},
		{Repository: "http://forge.example/o/list"}, {Repository: "https://forge.example/o/list?x=1"},
		{TestDomain: "a b"}, {TimeLimit: "2"}, {TimeLimit: "9s"}, {TimeLimit: "61m"}, {TimeLimit: "-1m"},
	} {
		for _, enabled := range []bool{true, false} {
			if bad.Enabled = enabled; siteOf(t, bad).checkSite() == nil {
				t.Errorf("accepted: %+v", bad)
			}
		}
	}
}
