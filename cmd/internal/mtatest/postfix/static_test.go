package postfix

import (
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
)

// TestStatic delivers by the table that "join" and "update" write, with nothing of ours running.
func TestStatic(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, v)
			all := destinations
			if v.patterns {
				all = exact(all)
			}
			s.settle(all)
			s.StartPostfix(s.join(fragment(all)))
			s.deliver(all, v.patterns)
			s.skipped(v)

			// The kill switch lets everything go that waits, and nothing after it.
			s.Output(mtatest.Program, "disable", "--reason", "a test")
			s.letGo(all)
			s.empty()
			s.Output(mtatest.Program, "enable")
			s.deliver(again(all), v.patterns)

			// When the list has expired, the timer's next update lets go, and tells whoever listens.
			s.expired("update")
			s.letGo(again(all))
			s.empty()
			s.expired("status")
		})
	}
}

// deliver sends to all destinations at once and checks each; patterns says that they mean one label.
func (s *server) deliver(destinations []destination, patterns bool) {
	s.t.Helper()
	if patterns {
		destinations = exact(destinations)
	}
	mark, heard := s.mark(), s.heard(destinations)
	takes := make(map[string]bool) // hosts that are to get mail
	var recipients []string
	for _, d := range destinations {
		recipients = append(recipients, d.recipient())
		if delivered(d.want) {
			takes[d.last()] = true
		}
	}
	s.send(recipients...)
	got := s.results(mark, recipients...)
	for _, d := range destinations {
		s.check(d, got[d.recipient()])
	}
	// Who is to get nothing hears nothing at all, not even who writes; mx.thief.example, for one.
	for name, n := range s.heard(destinations) {
		if !takes[name] && n != heard[name] {
			s.t.Errorf("%s heard %d commands of mail transactions", name, n-heard[name])
		}
	}
}

// skipped makes sure that a Postfix that knows patterns has not even connected to hosts that no policy names.
func (s *server) skipped(v version) {
	s.t.Helper()
	for _, name := range []string{"mx.thief.example", "b.a.mail.tall.example"} {
		stats, err := s.lab.Stats(name)
		s.must(err)
		if v.patterns && stats.Sessions > 0 {
			s.t.Errorf("%s had %d sessions", name, stats.Sessions)
		}
	}
}

// heard counts the commands of mail transactions at each host so far.
func (s *server) heard(destinations []destination) map[string]int {
	s.t.Helper()
	out := make(map[string]int)
	for _, d := range destinations {
		for _, h := range d.hosts {
			commands, err := s.lab.Heard(h.name)
			s.must(err)
			out[h.name] = len(commands)
		}
	}
	return out
}

// again are the destinations that wait for mail, with another recipient.
func again(destinations []destination) []destination {
	var out []destination
	for _, d := range destinations {
		if d.waits() && d.rcpt == "" {
			d.rcpt = "again@" + d.domain
			out = append(out, d)
		}
	}
	return out
}

// letGo has Postfix try again, and wants everything delivered that had to wait: as if there were no list.
func (s *server) letGo(destinations []destination) {
	s.t.Helper()
	mark := s.mark()
	s.flush()
	var waiting []destination
	var recipients []string
	for _, d := range destinations {
		if d.waits() {
			waiting, recipients = append(waiting, d), append(recipients, d.recipient())
		}
	}
	got := s.results(mark, recipients...)
	for _, d := range waiting {
		if r := got[d.recipient()]; r.status != "sent" || r.trust == "Verified" {
			s.t.Errorf("%s: %+v, want it delivered opportunistically", d.recipient(), r)
		}
		last := d.last()
		if n := s.arrived(last, d.recipient(), true) + s.arrived(last, d.recipient(), false); n != 1 {
			s.t.Errorf("%s: arrived %d times", d.recipient(), n)
		}
	}
}

// expired runs a command when every list has expired.
func (s *server) expired(command string) {
	s.t.Helper()
	cmd := s.Command(s.t.Context(), mtatest.Shifted, command)
	cmd.Env = append(cmd.Env, mtatest.ClockVar+"=480h")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 30 || !strings.Contains(string(out), "expired") {
		s.t.Errorf("%s, 20 days later: exit %d: %s", command, code, out)
	}
}

// join follows a list as an administrator does, and returns the lines that join wants to have in main.cf.
func (s *server) join(fragment string, args ...string) string {
	s.t.Helper()
	public, fingerprint := list(s.t, fragment)
	s.Share(public, "/srv/mirror")
	s.fingerprint = fingerprint
	return s.joinAgain(args...)
}

// joinAgain joins the list that is there already.
func (s *server) joinAgain(args ...string) string {
	s.t.Helper()
	out := s.Output(mtatest.Program, append([]string{"join", "/srv/mirror", "--fingerprint", s.fingerprint, "--name", "example"}, args...)...)
	_, rest, ok := strings.Cut(out, "\nAdd to /etc/postfix/main.cf")
	if !ok {
		s.t.Fatalf("join says nothing of main.cf:\n%s", out)
	}
	var lines string
	for line := range strings.Lines(rest) {
		if setting, ok := strings.CutPrefix(line, "  "); ok {
			lines += setting
		}
	}
	if !strings.Contains(lines, "smtp_tls_policy_maps = ") || !strings.Contains(lines, "smtp_tls_CAfile = ") {
		s.t.Fatalf("join does not set Postfix up:\n%s", out)
	}
	return lines
}
