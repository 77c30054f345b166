package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// TestProbeOptOut: who asked not to be probed is not visited, and a list that is not understood stops the program.
func TestProbeOptOut(t *testing.T) {
	p := startProbeLab(t)
	p.write(t, "optout.txt", "# they wrote on 2026-11-01\nexpired.example\n")
	p.write(t, "broken.txt", "good.example\nall of the others\n")
	code, out, errs := p.run(t, "expired.example", "good.example", "--opt-out", p.path("optout.txt"))
	if code != exitInconclusive || !strings.Contains(out, "expired.example  inconclusive  probe.opted-out") || errs != "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if s, err := p.Stats("mx.expired.example"); err != nil || s.Sessions != 0 {
		t.Errorf("it was visited: %+v, %v", s, err)
	}
	for _, file := range []string{"broken.txt", "none.txt"} {
		code, _, errs := p.run(t, "good.example", "--opt-out", p.path(file))
		if code != exitUsage || !strings.Contains(errs, "--opt-out") {
			t.Errorf("%s: exit %d, %s", file, code, errs)
		}
	}
	if code, _, errs := p.run(t, "good.example", "--samples", "3"); code != exitUsage || !strings.Contains(errs, "--samples") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestProbeEscapes: terminal escapes in replies and certificates reach neither the terminal nor JSON nor the evidence.
func TestProbeEscapes(t *testing.T) {
	p := startProbeLab(t)
	for _, b := range []lab.Behaviour{lab.Escapes, lab.EscapeName, lab.Garbage} {
		name := string(b) + ".example"
		if err := p.AddHost(lab.Host{Name: "mx." + name, Behaviour: b}); err != nil {
			t.Fatal(err)
		}
		if err := p.AddDomain(lab.Domain{Name: name, MX: []string{"mx." + name}}); err != nil {
			t.Fatal(err)
		}
		if err := p.AddRecord(name + ". 60 IN MX 50 \\027[2J\\007.evil."); err != nil {
			t.Fatal(err)
		}
		_, text, errs := p.run(t, name, "--out", p.path("evidence"))
		_, lines, more := p.run(t, name, "--json")
		evidence, err := os.ReadFile(p.path("evidence"))
		if err != nil {
			t.Fatal(err)
		}
		for kind, out := range map[string]string{"text": text, "JSON": lines, "evidence": string(evidence), "errors": errs + more} {
			if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < 0x20 || r > 0x7e) }); i >= 0 {
				t.Errorf("%s: %s has byte %#x at %d\n%q", b, kind, out[i], i, out)
			}
		}
		if !strings.Contains(string(evidence), `\\x1b`) {
			t.Errorf("%s: what the server sent is not in the evidence\n%s", b, evidence)
		}
		for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
			var r struct {
				Findings []struct{ Summary string }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				if strings.ContainsFunc(f.Summary, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
					t.Errorf("%s: a finding says %q", b, f.Summary)
				}
			}
		}
	}
}
