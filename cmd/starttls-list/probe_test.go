package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// probeLab is a lab with a good, an expired and a greylisting domain, and the flags that lead the command there.
type probeLab struct {
	*lab.Lab
	dir   string
	flags []string
}

func startProbeLab(t *testing.T) *probeLab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for name, b := range map[string]lab.Behaviour{"good": lab.Good, "expired": lab.Expired, "grey": lab.Greeting421} {
		mx := "mx." + name + ".example"
		if err := l.AddHost(lab.Host{Name: mx, Behaviour: b}); err != nil {
			t.Fatal(err)
		}
		if err := l.AddDomain(lab.Domain{Name: name + ".example", MX: []string{mx}}); err != nil {
			t.Fatal(err)
		}
		if err := l.AddRecord(`_smtp._tls.` + name + `.example. 60 IN TXT "v=TLSRPTv1; rua=mailto:tls@` + name + `.example"`); err != nil {
			t.Fatal(err)
		}
	}
	p := &probeLab{Lab: l, dir: t.TempDir()}
	p.write(t, "roots.pem", string(l.RootsPEM()))
	p.flags = []string{"probe", "--allow-loopback", "--resolver", l.Resolver().String(), "--roots", p.path("roots.pem"),
		"--smtp-port", fmt.Sprint(l.SMTPPort()), "--https-port", fmt.Sprint(l.HTTPSPort())}
	return p
}

func (p *probeLab) path(name string) string { return filepath.Join(p.dir, name) }

func (p *probeLab) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run calls the command with the lab's flags in front.
func (p *probeLab) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append(p.flags[:len(p.flags):len(p.flags)], args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestProbeTranscript: the transcript in the help text is what the command prints, addresses and times apart.
func TestProbeTranscript(t *testing.T) {
	p := startProbeLab(t)
	code, out, errs := p.run(t, "good.example", "expired.example")
	blur := func(s string) string {
		s = regexp.MustCompile(`\[[0-9.]+\]`).ReplaceAllString(s, "[ADDRESS]")
		return regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(s, "TIME")
	}
	var want []string
	lines := strings.Split(probeExample, "\n")
	for _, line := range lines[1 : len(lines)-2] {
		want = append(want, strings.TrimPrefix(line, "  "))
	}
	if got := strings.TrimSuffix(blur(out), "\n"); got != blur(strings.Join(want, "\n")) || code != exitFail || errs != "" {
		t.Errorf("exit %d, %s\ngot\n%s\nthe help says\n%s", code, errs, got, strings.Join(want, "\n"))
	}
}

func TestProbeExitCodes(t *testing.T) {
	p := startProbeLab(t)
	p.write(t, "broken/a.json", "{")
	for _, c := range []struct {
		args []string
		code int
		says string // on standard error
	}{
		{[]string{"good.example"}, exitPass, ""},
		{[]string{"GOOD.example."}, exitPass, ""},
		{[]string{"grey.example", "good.example"}, exitInconclusive, ""},
		{[]string{"grey.example", "expired.example"}, exitFail, ""},
		{[]string{"good.example", "--canary", "grey.example"}, exitInconclusive, ""},
		{[]string{}, exitUsage, "no domain given"},
		{[]string{"not a name"}, exitUsage, "not a usable host name"},
		{[]string{"--all"}, exitUsage, "name one source list"},
		{[]string{"--all", "--changed", "--base", "HEAD", "x"}, exitUsage, "exclude each other"},
		{[]string{"--changed", "x"}, exitUsage, "belong together"},
		{[]string{"--all", filepath.Join(p.dir, "nowhere")}, exitUsage, "no usable source"},
		{[]string{"--all", filepath.Join(p.dir, "broken")}, exitFail, "has errors"},
		{[]string{"good.example", "--shard", "3/2"}, exitUsage, "--shard"},
		{[]string{"good.example", "--resolver", "nowhere"}, exitUsage, "--resolver"},
		{[]string{"good.example", "--roots", filepath.Join(p.dir, "none.pem")}, exitUsage, "--roots"},
		{[]string{"good.example", "--ehlo", "localhost"}, exitUsage, "EHLO"},
		{[]string{"good.example", "--allow-loopback=false"}, exitUsage, "--ehlo"},
		{[]string{"good.example", "--vantage-key", "x"}, exitUsage, "--out"},
		{[]string{"good.example", "--no-such-flag"}, exitUsage, "no-such-flag"},
		{[]string{"good.example", "--previous", filepath.Join(p.dir, "roots.pem")}, exitUsage, "not valid evidence"},
	} {
		code, _, errs := p.run(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) || (errs == "") != (c.says == "") {
			t.Errorf("%q: exit %d, want %d: %s", c.args, code, c.code, errs)
		}
	}
}

// TestProbeAllAndEvidence probes a source list, signs the evidence, and takes "since" from it the next time.
func TestProbeAllAndEvidence(t *testing.T) {
	p := startProbeLab(t)
	p.write(t, "list/list.json", `{"author": "Lab", "origin": "lab.example/list"}`)
	p.write(t, "list/domains.json", `{"policies": {
		"good.example": {"mode": "enforce", "mxs": ["mx.good.example"]},
		"expired.example": {"mode": "testing", "mxs": ["mx.expired.example", "mx2.expired.example"]}
	}}`)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "vantage.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	code, out, errs := p.run(t, "--all", p.path("list"), "--json", "--vantage", "north", "--canary", "good.example",
		"--vantage-key", p.path("vantage.pem"), "--out", p.path("evidence.jsonl"))
	if code != exitFail || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var codes []string
	for line := range strings.Lines(out) {
		var r struct {
			Domain   string
			Verdict  string
			Codes    []string
			Findings []struct{ Code, Fix string }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		codes = append(codes, r.Domain+" "+r.Verdict+" "+strings.Join(r.Codes, " "))
	}
	if got := strings.Join(codes, "; "); got != "expired.example fail cert.expired mx.unused-pattern; good.example pass " {
		t.Errorf("printed %q", got)
	}
	file, err := os.Open(p.path("evidence.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e, err := probe.ReadEvidence(file, probe.MaxEvidence)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(key.Public().(ed25519.PublicKey)); err != nil || len(e.Records) != 2 || e.Header.Vantage != "north" {
		t.Errorf("%v, header %+v, %d records", err, e.Header, len(e.Records))
	}
	if code, _, errs := p.run(t, "good.example", "--vantage", "north", "--previous", p.path("evidence.jsonl")); code != exitPass {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := p.run(t, "good.example", "--vantage", "south", "--previous", p.path("evidence.jsonl")); code != exitUsage ||
		!strings.Contains(errs, `it is of vantage "north", not of this one, "south"`) {
		t.Errorf("another vantage's evidence: exit %d: %s", code, errs)
	}
	left, err := filepath.Glob(p.path("*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestProbeChanged: only what a change touches is probed, an alias edit as a change of each member.
func TestProbeChanged(t *testing.T) {
	p := startProbeLab(t)
	git := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "git", append([]string{"-C", p.path("list"), "-c", "user.name=t", "-c", "user.email=t@t.example"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	source := func(mx string) {
		p.write(t, "list/list.json", `{"author": "Lab", "origin": "lab.example/list"}`)
		p.write(t, "list/domains.json", `{"policy-aliases": {"a": {"mode": "testing", "mxs": [`+mx+`]}}, "policies": {
			"good.example": {"policy-alias": "a"},
			"expired.example": {"mode": "testing", "mxs": ["mx.expired.example"]}
		}}`)
	}
	source(`"mx.good.example", "mx2.good.example"`)
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	code, out, errs := p.run(t, "--changed", "--base", "HEAD", p.path("list"))
	if code != exitPass || out != "" {
		t.Errorf("nothing changed: exit %d, %q %s", code, out, errs)
	}
	source(`"mx.good.example"`)
	code, out, errs = p.run(t, "--changed", "--base", "HEAD", p.path("list"))
	if code != exitPass || out != "good.example  pass\n" {
		t.Errorf("an alias was narrowed: exit %d, %q %s", code, out, errs)
	}
	if code, _, errs = p.run(t, "--changed", "--base", "nowhere", p.path("list")); code != exitUsage {
		t.Errorf("no such revision: exit %d %s", code, errs)
	}
}
