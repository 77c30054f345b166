// Package doctor has doctor look at real Postfixes that deliver, and at the logs that they write.
package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

func TestMain(m *testing.M) { os.Exit(mtatest.Run(m)) }

// destination is a domain below "example", its host, and how its deliveries are to be counted.
type destination struct {
	name, host, mx string // mx: the list's pattern, "" for not listed
	behaviour      lab.Behaviour
	fault          string // "clear", "untrusted", "outside"; "" for fine
}

var destinations = []destination{
	{"good", "mx.good.example", "mx.good.example", lab.Good, ""},
	{"pattern", "mx.pattern.example", ".pattern.example", lab.Wildcard, ""},
	{"plain", "mx.plain.example", "mx.plain.example", lab.NoStartTLS, "clear"},
	{"self", "mx.self.example", "mx.self.example", lab.SelfSigned, "untrusted"},
	{"robbed", "mx.thief.example", "mx.robbed.example", lab.Good, "outside"},
	{"unlisted", "mx.unlisted.example", "", lab.Good, ""},
}

// server is a machine whose Postfix delivers into a lab.
type server struct {
	*mtatest.Machine
	t *testing.T
}

func newServer(t *testing.T, base string, trees ...string) *server {
	l := mtatest.NewLab(t)
	s := &server{mtatest.NewMachine(t, l, base, trees...), t}
	var entries []string
	for _, d := range destinations {
		err := errors.Join(l.AddHost(lab.Host{Name: d.host, Behaviour: d.behaviour}), l.AddDomain(lab.Domain{Name: d.name + ".example", MX: []string{d.host}}))
		if err != nil {
			t.Fatal(err)
		}
		if d.mx != "" {
			entries = append(entries, fmt.Sprintf("%q: {\"mode\": \"enforce\", \"mxs\": [%q]}", d.name+".example", d.mx))
		}
	}
	public := filepath.Join(t.TempDir(), "public")
	fingerprint, err := mtatest.Publish(t.Context(), filepath.Join(t.TempDir(), "operator"), public, time.Now().Add(-time.Minute), []byte(`{"policies": {`+strings.Join(entries, ",\n")+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	s.Share(public, "/srv/list")
	s.SetUpPostfix()
	s.StartPostfix("smtp_tls_security_level = may\nsmtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\n")
	s.Output(mtatest.Program, "join", "/srv/list", "--fingerprint", fingerprint, "--name", "example")
	return s
}

// deliver sends one mail to each destination and returns what the log says of them, from here on.
func (s *server) deliver(destinations ...destination) string {
	s.t.Helper()
	mark := len(s.Read(mtatest.PostfixLog))
	for _, d := range destinations {
		s.SendMail("u@"+d.name+".example", "Subject: test\n\ntest\n")
	}
	var log string
	if !s.Until(func() bool {
		log = s.Read(mtatest.PostfixLog)[mark:]
		return !slices.ContainsFunc(destinations, func(d destination) bool { return !strings.Contains(log, ": to=<u@"+d.name+".example>") })
	}) {
		s.t.Fatal("not every mail has a result")
	}
	// What was deferred is tried again by the next reload, and would be taken for the next mail.
	s.Output("/usr/sbin/postsuper", "-d", "ALL")
	return log
}

// tell runs doctor and reads what it prints; the exit code has to be that of the findings.
func (s *server) tell(into any, args ...string) {
	s.t.Helper()
	cmd := s.Command(s.t.Context(), mtatest.Program, append([]string{"doctor", "--json"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) || json.Unmarshal(out, into) != nil {
		s.t.Fatalf("doctor %q: %v\n%s", args, err, out)
	}
	if errors := strings.Contains(string(out), `"severity": "error"`); errors != (err != nil) {
		s.t.Errorf("doctor %q: %v, and errors were found: %t", args, err, errors)
	}
}

type report struct {
	Server   string           `json:"mail_server"`
	Findings []doctor.Finding `json:"findings"`
}

func (s *server) examine() report {
	s.t.Helper()
	var r report
	s.tell(&r)
	return r
}

func (s *server) history(log string) doctor.HistoryReport {
	s.t.Helper()
	s.Write("/tmp/mail.log", log, 0o644)
	s.Output("/bin/gzip", "-f", "/tmp/mail.log")
	var r doctor.HistoryReport
	s.tell(&r, "--log", "/tmp/mail.log.gz")
	return r
}

// codes leaves out what is right in these machines: no witnesses, no systemd, the lab's resolver.
func codes(findings []doctor.Finding) string {
	var out []string
	for _, f := range findings {
		if f.Code != "doctor.trust.unwitnessed" && !strings.HasPrefix(f.Code, "doctor.resolver.") {
			out = append(out, f.Code)
		}
	}
	return strings.Join(out, " ")
}

// TestDoctor follows an administrator: what would change, by the log of a Postfix that knows no list; the command that doctor
// names; then what did change; and a Postfix whose daemon is gone.
func TestDoctor(t *testing.T) {
	for _, v := range []struct {
		name string
		make func(*testing.T) *server
	}{
		{"3.7", func(t *testing.T) *server { return newServer(t, "/", "postfix") }},
		{"3.10", func(t *testing.T) *server { return newServer(t, tool.Tree(t, "trixie")) }},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := v.make(t)
			s.before()
			s.mend()
			s.after()
			s.withoutDaemon()
			s.farResolver()
		})
	}
}

func (s *server) before() {
	s.t.Helper()
	r := s.history(s.deliver(destinations...))
	want := map[string]doctor.Destination{}
	for _, d := range destinations {
		w := doctor.Destination{Domain: d.name + ".example", Mode: "enforce", Sent: 1}
		switch d.fault {
		case "clear":
			w.Clear = 1
		case "untrusted":
			w.Untrusted = 1
		case "outside":
			w.Outside, w.Hosts = 1, []string{d.host}
		default:
			w.Fine = 1
		}
		want[w.Domain] = w
	}
	if r.Attempts != 6 || r.Connections != 5 || r.Destinations != 6 || r.Good != 4 || r.Enforce != 5 || r.Waits != 3 || r.First == "" {
		s.t.Errorf("%+v", r)
	}
	for _, got := range r.Listed {
		if w := want[got.Domain]; fmt.Sprint(got) != fmt.Sprint(w) {
			s.t.Errorf("%+v, want %+v", got, w)
		}
	}
	if got := codes(r.Findings); got != "doctor.log.waits doctor.log.waits doctor.log.waits" {
		s.t.Errorf("the log: %s", got)
	}
}

// mend runs the command that doctor names, whole.
func (s *server) mend() {
	s.t.Helper()
	r := s.examine()
	if codes(r.Findings) != "doctor.map.unused" || !strings.HasPrefix(r.Server, "Postfix 3.") {
		s.t.Fatalf("%s: %+v", r.Server, r.Findings)
	}
	s.Output("/bin/sh", "-ec", r.Findings[0].Fix)
	if r := s.examine(); codes(r.Findings) != "" {
		s.t.Fatalf("mended: %+v", r.Findings)
	}
}

func (s *server) after() {
	s.t.Helper()
	r := s.history(s.deliver(destinations...))
	for _, got := range r.Listed {
		i := slices.IndexFunc(destinations, func(d destination) bool { return d.name+".example" == got.Domain })
		if fault := destinations[i].fault; (fault == "") != (got.Fine == 1) || (fault != "") != (got.Deferred == 1) {
			s.t.Errorf("%s: %+v", fault, got)
		}
	}
	if codes(r.Findings) != "" || r.Waits != 0 || len(r.Listed) != 5 {
		s.t.Errorf("%+v", r)
	}
}

func (s *server) withoutDaemon() {
	s.t.Helper()
	s.Output("/bin/sh", "-ec", "postconf -e 'smtp_tls_policy_maps = socketmap:unix:private/nobody:x, '\"$(postconf -h smtp_tls_policy_maps)\" && postfix reload")
	if r := s.examine(); codes(r.Findings) != "doctor.map.order doctor.socket.missing" {
		s.t.Errorf("%+v", r.Findings)
	}
	if r := s.history(s.deliver(destinations...)); !strings.Contains(codes(r.Findings), "doctor.log.configuration") {
		s.t.Errorf("%+v", r)
	}
}

// farResolver: the lab's resolver is no program of this machine, and so its word about DNSSEC is not to be believed.
func (s *server) farResolver() {
	s.t.Helper()
	remote := func() bool {
		return slices.ContainsFunc(s.examine().Findings, func(f doctor.Finding) bool { return f.Code == "doctor.resolver.remote" })
	}
	if remote() {
		s.t.Error("nobody believes the resolver yet")
	}
	const config = "/etc/starttls-policy/config.toml"
	s.Write(config, s.Read(config)+"[leave-out]\nsources = [\"dane\"]\ntrust-ad = true\n", 0o644)
	if !remote() {
		s.t.Errorf("a resolver on another machine is believed: %+v", s.examine().Findings)
	}
}
