package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A configuration never makes the reader panic; one that is accepted names what a release needs.
func FuzzReadConfig(f *testing.F) {
	f.Add(configText)
	f.Add("source = 1\n")
	f.Add("[[mirror]]\nname = \"a\"\nurl = \"s3://\"\n[keys]\nrelease = [\"\"]\n")
	f.Add("[site]\nenabled = true\nurl = \"https://\"\nrepository = \"x\"\nsurvey = \"\"\ntest-domain = \".\"\nprobe-url = \"//\"\ntime-limit = \"-1s\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), configName)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig(path)
		if err == nil && c.checkSite() != nil {
			t.Errorf("accepted %+v", c.Site)
		}
		if err == nil && (c.Source == "" || c.State == "" || c.Trust == "" || len(c.Mirrors) == 0 || len(c.Keys.Release) == 0) {
			t.Errorf("accepted %+v", c)
		}
	})
}
