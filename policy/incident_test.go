package policy_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/starttls-everywhere/policylist/policy"
)

const goodIncident = `{"title": "A witness was down", "began": "2026-03-02T10:00:00Z", "ended": "2026-03-02T14:30:00Z", "text": ["Late.", "Zu spät."], "domains": ["a.example"], "releases": [124]}`

func TestParseIncident(t *testing.T) {
	i, findings := policy.ParseIncident(policy.File{Path: "list/incidents/2026-03-02-witness-down.json", Data: []byte(goodIncident)})
	if len(findings) > 0 || i.ID != "2026-03-02-witness-down" || i.Title != "A witness was down" || i.Ended.Sub(i.Began) != 270*time.Minute ||
		len(i.Text) != 2 || len(i.Domains) != 1 || i.Domains[0].String() != "a.example" || len(i.Releases) != 1 || i.Releases[0] != 124 {
		t.Errorf("%+v, %v", i, findings)
	}
	for name, c := range map[string]struct{ old, new, code string }{
		"no title":          {`"title": "A witness was down", `, ``, "source.shape"},
		"long title":        {"A witness", strings.Repeat("A", 121), "incident.text"},
		"no text":           {`["Late.", "Zu spät."]`, `[]`, "incident.text"},
		"long text":         {"Late.", strings.Repeat("l", 2001), "incident.text"},
		"direction":         {"Late.", "\\u202e.etaL", "incident.text"},
		"no zone":           {"10:00:00Z", "10:00:00", "incident.time"},
		"end of no form":    {"14:30:00Z", "14:30Z", "incident.time"},
		"end before begin":  {"02T14:30", "01T14:30", "incident.time"},
		"another day":       {"02T10", "01T10", "incident.name"},
		"domain":            {"a.example", "A.example", "domain.syntax"},
		"release":           {"124", "0", "source.shape"},
		"release with dots": {"124", "1.5", "source.shape"},
		"address":           {"Late.", "Ask post@a.example", "note.email"},
		"twice":             {`"title"`, `"title": "x", "title"`, "json.duplicate-key"},
		"another member":    {`"title"`, `"policies": {}, "title"`, "source.unknown-key"},
		"no JSON":           {"}", "", "json.syntax"},
	} {
		if !strings.Contains(goodIncident, c.old) {
			t.Fatalf("%s: no %q", name, c.old)
		}
		_, findings := policy.ParseIncident(policy.File{Path: "incidents/2026-03-02-witness-down.json", Data: []byte(strings.Replace(goodIncident, c.old, c.new, 1))})
		if len(findings) != 1 || findings[0].Code != c.code || findings[0].Line != 1 || findings[0].Fix == "" {
			t.Errorf("%s: %+v", name, findings)
		}
	}
	for _, path := range []string{"incidents/witness-down.json", "incidents/2026-03-02.json", "incidents/2026-03-02-Down.json", "incidents/2026/2026-03-02-witness-down.json", "incidents/2026-03-02-" + strings.Repeat("d", 100) + ".json"} {
		if _, findings := policy.ParseIncident(policy.File{Path: path, Data: []byte(goodIncident)}); len(findings) != 1 || findings[0].Code != "incident.name" {
			t.Errorf("%s: %+v", path, findings)
		}
	}
	for name, want := range map[string]bool{"incidents/a.json": true, "incidents/b/a.json": true, "a/incidents/a.json": false, "incidents.json": false} {
		if policy.IsIncident(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

// FuzzIncident: nothing that a pull request holds makes the reader fall over, and what it accepts can be shown.
func FuzzIncident(f *testing.F) {
	for _, seed := range []string{goodIncident, `{"title": 1, "began": [], "text": {}}`, `{"text": [null], "releases": [1e9, -1], "domains": [""]}`, `[]`, `{"began": "2026-03-02T10:00:00Z"`} {
		f.Add("2026-03-02-x.json", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		i, findings := policy.ParseIncident(policy.File{Path: "incidents/" + name, Data: data})
		if policy.HasErrors(findings) {
			return
		}
		if i.Title == "" || len(i.Text) == 0 || i.Began.IsZero() || !i.Ended.IsZero() && i.Ended.Before(i.Began) || !strings.HasPrefix(i.ID, i.Began.Format(time.DateOnly)+"-") {
			t.Errorf("%+v", i)
		}
		for _, text := range append(i.Text, i.Title) {
			if strings.IndexFunc(text, func(c rune) bool { return unicode.IsControl(c) }) >= 0 || text == "" {
				t.Errorf("%q", text)
			}
		}
	})
}
