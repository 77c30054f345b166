package main

import (
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// expandFiles is the command "expand FILE…" of scripts: $NAME in a file becomes what the environment has, and $YESTERDAY and
// $TODAY days in UTC, as what is older than a month is no report any more.
func expandFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE…")
	}
	now := time.Now().UTC()
	days := map[string]string{"TODAY": now.Format(time.DateOnly), "YESTERDAY": now.AddDate(0, 0, -1).Format(time.DateOnly)}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), func(key string) string {
			if day, ok := days[key]; ok {
				return day
			}
			return ts.Getenv(key)
		})
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
