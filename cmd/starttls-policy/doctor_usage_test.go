package main

import (
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// The page for administrators explains every code of doctor as --code does, and no other; what it shows of --log is what the
// script of doctor prints.
func TestUsagePageDoctor(t *testing.T) {
	data, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, c := range doctor.Codes() {
		row := "| `" + c.ID + "` | " + string(c.Severity) + " | " + c.Summary + " | " + c.Fix + " |\n"
		if strings.Count(page, row) != 1 {
			t.Errorf("the page does not have, once:\n%s", row)
		}
	}
	if n := strings.Count(page, "\n| `doctor."); n != len(doctor.Codes()) {
		t.Errorf("the page explains %d codes, there are %d", n, len(doctor.Codes()))
	}
	script, err := os.ReadFile("testdata/script/doctor.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, history, _ := strings.Cut(string(script), "-- history.txt --\n")
	shown := strings.Join(strings.SplitAfter(history, "\n")[:5], "")
	if !strings.Contains(page, "/var/log/mail.log\n"+shown+"  …\n") {
		t.Errorf("the page does not show\n%s", shown)
	}
}
