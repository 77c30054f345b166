package site

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func incidentFile(name, text string) policy.File {
	return policy.File{Path: "list/incidents/" + name, Data: []byte(text)}
}

// The page tells of incidents, the newest first, as text; that there are none, or that nobody said.
func TestIncidents(t *testing.T) {
	o := whole(t)
	page := func(files []policy.File) (string, *memory) {
		t.Helper()
		sink := fresh(t, o.read(Extra{Incidents: files, Address: "https://list.operator.example/"}))
		checkPage(t, sink, "site/incidents/index.html")
		return string(sink.objects["site/incidents/index.html"]), sink
	}
	if text, sink := page(nil); !strings.Contains(text, "Incidents are not told here yet.") || sink.objects["site/incidents/atom.xml"] != nil {
		t.Error(text)
	}
	if text, sink := page([]policy.File{}); !strings.Contains(text, "No incidents.") || sink.objects["site/incidents/atom.xml"] == nil {
		t.Error(text)
	}
	files := []policy.File{
		incidentFile("2026-03-02-witness-down.json", `{"title": "A witness was <b>down</b>", "began": "2026-03-02T10:00:00Z", "ended": "2026-03-02T14:30:00Z",
			"text": ["Late & slow.", "<script>alert(1)</script>"], "domains": ["a.example", "never.example"], "releases": [2, 3]}`),
		incidentFile("2026-03-05-late.json", `{"title": "Late", "began": "2026-03-05T00:00:00Z", "text": ["We look."]}`),
	}
	text, sink := page(files)
	for _, want := range []string{`<section id="i-2026-03-02-witness-down">`, "A witness was &lt;b&gt;down&lt;/b&gt;", "&lt;script&gt;alert(1)", "2 March 2026, 14:30 UTC", "it goes on",
		"About releases 2, 3.", `<a href="../domain/a.example/index.html">a.example</a>, never.example.`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Index(text, "i-2026-03-05") > strings.Index(text, "i-2026-03-02") {
		t.Error("the newest is not first")
	}
	var feed struct {
		Entries []struct {
			ID    string `xml:"id"`
			Title string `xml:"title"`
			Link  struct {
				Href string `xml:"href,attr"`
			} `xml:"link"`
			Updated string `xml:"updated"`
		} `xml:"entry"`
	}
	must(t, xml.Unmarshal(sink.objects["site/incidents/atom.xml"], &feed))
	if len(feed.Entries) != 2 || feed.Entries[1].Title != "A witness was <b>down</b>" || feed.Entries[1].Updated != "2026-03-02T14:30:00Z" ||
		feed.Entries[1].Link.Href != "https://list.operator.example/site/incidents/index.html#i-2026-03-02-witness-down" || !strings.HasSuffix(feed.Entries[1].ID, "incident/2026-03-02-witness-down") {
		t.Errorf("%+v", feed.Entries)
	}
	// A release without another incident leaves the page as it is.
	o.publish(set("a.example", policy.Testing))
	build(t, o.read(Extra{Incidents: files, Address: "https://list.operator.example/"}), sink)
	if sink.put["site/incidents/index.html"]+sink.put["site/incidents/atom.xml"] > 0 {
		t.Error("the page was written again")
	}
}

// What check would not pass is refused, with its place; so are two of one name.
func TestIncidentsAreChecked(t *testing.T) {
	o := story(t)
	good := `{"title": "x", "began": "2026-03-02T10:00:00Z", "text": ["y"]}`
	for _, files := range [][]policy.File{
		{incidentFile("2026-03-02-x.json", "{")},
		{incidentFile("2026-03-03-x.json", good)},
		{incidentFile("2026-03-02-x.json", good), incidentFile("2026-03-02-x.json", good)},
	} {
		_, err := Read(t.Context(), o.mirror, o.chain(), Extra{Incidents: files})
		if !errors.Is(err, ErrExtra) || !strings.Contains(err.Error(), "2026-03-0") {
			t.Errorf("%v", err)
		}
	}
}
