package site

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// hostile are texts that strangers' servers, or whoever writes a list's documents, might say to run something in a reader's
// browser, or to spoil the page. What would run sets pwned, asks evil.example for something, or opens a dialog.
var hostile = []string{
	`<script>window.pwned=1</script>`,
	`</script><script>alert(1)</script>`,
	`"><img src=x onerror="window.pwned=1">`,
	`'><svg onload=window.pwned=1>`,
	`" autofocus onfocus="window.pwned=1" style="position:fixed;inset:0" x="`,
	`</code></pre></p></main><iframe srcdoc="<script>parent.pwned=1</script>">`,
	`<a href="javascript:window.pwned=1" id=lure>click</a> javascript:window.pwned=1`,
	`<style>body{display:none}</style><link rel=stylesheet href=http://evil.example/x.css>`,
	`<base href="http://evil.example/"><meta http-equiv=refresh content="0;url=http://evil.example/">`,
	`<form action=http://evil.example/><button>Look up</button></form><plaintext><!--`,
	`</title></noscript><textarea>]]>{{.}}{{template "layout" .}}${alert(1)}`,
	"\u202egnihton\u2066 \u200b\x00\x07\x1b]8;;http://evil.example\x07 \x1b[2J",
	strings.Repeat("W", 1500),
	strings.Repeat("x\u0300\u0301\u0302\u0303", 300),
}

// victims are the domains that the hostile texts are about. The names themselves can only be long, or look like others.
var victims = []string{
	"a.example",
	strings.Repeat(strings.Repeat("l", 63)+".", 3) + strings.Repeat("o", 53) + ".example", // 253 bytes
	"xn--mgbh0fb.xn--kgbechtv", // from right to left
	"xn--80ak6aa92e.example",   // Cyrillic letters that look like Latin ones
}

// hostileEvidence has every hostile text in each place where evidence takes one.
func hostileEvidence(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	line := func(v any) {
		data, err := json.Marshal(v)
		must(t, err)
		b.Write(append(data, '\n'))
	}
	type object = map[string]any
	line(object{"files": []string{}, "format": "policylist/evidence/v1", "kind": "merged", "quorum": 2})
	cells := object{}
	var rows []object
	for _, text := range hostile {
		cells[text] = text
	}
	for _, domain := range victims {
		var seen []object
		for i, text := range hostile {
			other := hostile[(i+1)%len(hostile)]
			sessions := []object{{"address": text, "stage": text, "detail": other, "greeting": object{"code": 220, "lines": []string{other, text}}}}
			seen = append(seen, object{"at": "2026-03-01T11:00:00Z", "codes": []string{text, other}, "domain": domain, "kind": "domain", "since": text,
				"vantage": text, "verdict": text, "observed": object{"hosts": []object{{"name": text, "sessions": sessions}}}})
		}
		line(object{"at": "2026-03-01T11:00:00Z", "codes": append([]string{"cert.expired"}, hostile...), "domain": domain, "kind": "domain", "seen": seen, "since": "2026-02-28T09:00:00Z", "verdict": "fail"})
		rows = append(rows, object{"cells": cells, "domain": domain})
	}
	line(object{"at": "2026-03-01T11:00:00Z", "codes": []string{"sts.none"}, "domain": "stays.example", "kind": "domain", "since": "2026-02-28T09:00:00Z", "verdict": "warn",
		"seen": []object{{"at": "2026-03-01T11:00:00Z", "codes": []string{"sts.none"}, "domain": "stays.example", "kind": "domain", "since": "2026-02-28T09:00:00Z", "vantage": "north", "verdict": "warn"},
			{"at": "2026-03-01T11:00:00Z", "codes": []string{}, "domain": "stays.example", "kind": "domain", "since": "2026-02-28T09:00:00Z", "vantage": "south", "verdict": "pass"}}})
	line(object{"files": []string{}, "kind": "end"})
	line(object{"feedback": object{"domains": rows, "else": "insufficient data", "format": "feedback/1", "from": "2026-02-22", "providers": []string{}, "to": "2026-02-28"}, "kind": "feedback", "sha256": "00"})
	return b.String()
}

// hostilePending has them in what the gate holds: of a victim, and of a domain that was never listed.
func hostilePending(t testing.TB) []byte {
	t.Helper()
	var changes []Held
	for _, domain := range []string{victims[0], "wait.example"} {
		h := Held{Domain: domain, Class: "added", Since: "2026-03-01T12:00:00Z", Until: "2026-03-15T12:00:00Z"}
		for _, text := range hostile {
			h.Codes = append(h.Codes, text)
			h.Findings = append(h.Findings, Found{text, text, text})
		}
		changes = append(changes, h)
	}
	data, err := json.Marshal(map[string]any{"held": changes})
	must(t, err)
	return data
}

// showcase is a list with a domain in each state, of which strangers say the worst.
func showcase(t testing.TB) (*operator, Extra) {
	t.Helper()
	o := story(t)
	o.evidence = hostileEvidence(t)
	o.rotate()
	o.add([]byte(hostile[0])) // an entry without effect
	edits := []policy.Edit{set("xn--bcher-kva.example", policy.Enforce, ".mail.example", "mx.example"), set("begins.example", policy.Testing)}
	for _, domain := range victims[1:] {
		edits = append(edits, set(domain, policy.Testing, "mx.example"))
	}
	o.publish(edits...)
	survey, err := os.ReadFile("../../schema/valid/survey/whole.json")
	must(t, err)
	survey = bytes.Replace(survey, []byte(`"north"`), jsonText(t, hostile[2]), 1)
	incident, err := json.Marshal(map[string]any{"title": hostile[0], "began": "2026-03-02T10:00:00Z", "text": hostile[:11], "domains": victims, "releases": []int{2}})
	must(t, err)
	return o, Extra{Incidents: []policy.File{{Path: "list/incidents/2026-03-02-words.json", Data: incident}}, ProbeURL: "https://probe.example/?a=1&b=\"2",
		Pending: hostilePending(t), Survey: survey, Repository: "https://forge.example/operator/list", TestDomain: "broken.example",
		Explain: func(id string) (policy.Code, bool) {
			return policy.Code{ID: id, Summary: hostile[0], Fix: hostile[2]}, id == "cert.expired"
		}}
}

func jsonText(t testing.TB, s string) []byte {
	t.Helper()
	data, err := json.Marshal(s)
	must(t, err)
	return data
}

// published is a site in a folder and on a server, below a path.
type published struct {
	*memory
	folder  string
	address string
	// before answers a request instead of the site when it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func publish(t testing.TB, m *Model) *published {
	t.Helper()
	p := &published{memory: fresh(t, m), folder: t.TempDir()}
	for path, data := range p.objects {
		file := filepath.Join(p.folder, filepath.FromSlash(path))
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, data, 0o644))
	}
	root, err := os.OpenRoot(p.folder)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	site := http.StripPrefix("/lists/2026", Handler(root))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.before == nil || !p.before(w, r) {
			site.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p.address = server.URL + "/lists/2026/"
	return p
}
