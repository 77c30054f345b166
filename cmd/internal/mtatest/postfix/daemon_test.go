package postfix

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// socket is held by the test, as systemd holds that of a unit: nobody answers there while the daemon is down, and what is
// asked waits.
type socket struct {
	s    *server
	file *os.File
}

// hold listens at a place as in [serve].
func (s *server) hold(place string) *socket {
	s.t.Helper()
	path, unix := strings.CutPrefix(place, "unix:")
	if !unix {
		l, err := net.Listen("tcp", place)
		s.must(err)
		defer l.Close() // the file is another descriptor of the same socket
		return s.keep(l.(*net.TCPListener).File())
	}
	s.Output("/bin/mkdir", "-p", filepath.Dir(path))
	folder, err := os.Open(s.Path(filepath.Dir(path)))
	s.must(err)
	defer folder.Close()
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)) // a socket's name has at most 107 bytes
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	s.must(err)
	l.SetUnlinkOnClose(false)
	defer l.Close()
	s.Output("/bin/chmod", "0666", path)
	return s.keep(l.File())
}

func (s *server) keep(file *os.File, err error) *socket {
	s.t.Helper()
	s.must(err)
	s.t.Cleanup(func() { file.Close() })
	return &socket{s, file}
}

// daemon is "starttls-policy serve" at work.
type daemon struct {
	s    *server
	kill func()
	mu   sync.Mutex
	log  bytes.Buffer
}

// Write takes the daemon's log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *daemon) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// activate starts the daemon and passes it the socket, as sd_listen_fds(3) has it.
func (k *socket) activate(program string, env ...string) *daemon {
	k.s.t.Helper()
	d := &daemon{s: k.s}
	cmd := k.s.Command(k.s.t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve`, program)
	cmd.Env = append(cmd.Env, env...)
	cmd.ExtraFiles = []*os.File{k.file}
	cmd.Stdout, cmd.Stderr = d, d
	k.s.must(cmd.Start())
	d.kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if k.s.t.Failed() {
			k.s.t.Logf("the daemon's log:\n%s", d.said())
		}
	})
	k.s.t.Cleanup(d.kill)
	return d
}

// places are where the daemon of each version listens: over TCP, away from other tests, and below Postfix's queue directory.
var places = map[string]struct{ listen, socketmap string }{
	"3.7":  {"127.0.0.7:8461", "socketmap:inet:127.0.0.7:8461:floor"},
	"3.10": {"unix:/var/spool/postfix/starttls-policy/socket", "socketmap:unix:starttls-policy/socket:tlsrpt"},
}

// TestDaemon delivers by what the daemon answers.
func TestDaemon(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			all := exact(append(slices.Clone(destinations), own...))
			s := newServer(t, v)
			s.settle(all)
			s.publishOwn()
			place := places[v.name]
			lines := s.joinDaemon(fragment(all), place.listen)
			if !strings.Contains(lines, "smtp_tls_policy_maps = "+place.socketmap+"\n") {
				t.Fatalf("join wants to have %q in main.cf", lines)
			}
			k := s.hold(place.listen)
			d := k.activate(mtatest.Program)
			s.StartPostfix(lines + "smtp_dns_support_level = dnssec\n")
			s.deliver(all, true)
			s.skipped(v)
			d = s.killed(k, d)

			// The kill switch, looked at ten times a second.
			s.Output(mtatest.Program, "disable", "--reason", "a test")
			s.says(place.socketmap, "good.example", false)
			s.letGo(all)
			s.empty()
			s.Output(mtatest.Program, "enable")
			s.says(place.socketmap, "good.example", true)
			s.deliver(again(all), true)

			// When the list has expired it is let go of, and the domains' own policies are not.
			d.kill()
			k.activate(mtatest.Shifted, mtatest.ClockVar+"=480h")
			listed := slices.DeleteFunc(again(all), func(d destination) bool { return d.mode == "" })
			s.letGo(listed)
			for _, d := range again(own) {
				if d.mode == "" {
					s.silent(d)
				}
			}
			s.expired("status")
		})
	}
}

// joinDaemon joins, has the daemon listen at place and ask for DANE as well, and returns what join then wants to have in
// main.cf.
func (s *server) joinDaemon(fragment, place string) string {
	s.t.Helper()
	const path, listen = "/etc/starttls-policy/config.toml", "\nlisten = [\"127.0.0.1:8461\"]\n"
	s.join(fragment, "--daemon")
	before := s.Read(path)
	after := strings.Replace(before, listen, "\nlisten = [\""+place+"\"]\nsources = [\"dane\", \"mta-sts\", \"list\"]\ntrust-ad = true\n", 1)
	if before == after {
		s.t.Fatalf("the configuration does not say %q:\n%s", listen, before)
	}
	s.Write(path, after, 0o644)
	return s.joinAgain("--daemon")
}

// says waits until the daemon has a policy for the domain, or has none.
func (s *server) says(socketmap, domain string, policy bool) {
	s.t.Helper()
	if left := s.until(func() []string {
		cmd := s.Command(s.t.Context(), "/usr/sbin/postmap", "-q", domain, socketmap)
		cmd.Dir = "/var/spool/postfix"
		out, _ := cmd.Output()
		if (len(out) > 0) != policy {
			return []string{string(out)}
		}
		return nil
	}); len(left) > 0 {
		s.t.Errorf("%s: the daemon goes on to say %q", domain, left)
	}
}

// killed kills the daemon while mail is on its way. It waits, listed or not, in the queue that it is in, and is delivered
// when the daemon is back.
func (s *server) killed(k *socket, d *daemon) *daemon {
	s.t.Helper()
	d.kill()
	late := []destination{
		{domain: "good.example", rcpt: "late@good.example", hosts: []host{{"mx.good.example", lab.Good}}, want: "Verified"},
		{domain: "free.example", rcpt: "late@free.example", hosts: []host{{"mx.free.example", lab.Good}}, want: "Trusted"},
		{domain: "stripped.example", rcpt: "late@stripped.example", hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered},
	}
	mark := s.mark()
	var recipients []string
	for _, l := range late {
		recipients = append(recipients, l.recipient())
	}
	s.send(recipients...)
	if left := s.until(func() []string {
		if strings.Count(s.Read(mtatest.PostfixLog)[mark:], "(queue active)") < len(late) {
			return recipients
		}
		return nil
	}); len(left) > 0 {
		s.t.Errorf("not all of %q was tried", left)
	}
	if got := readLog(s.Read(mtatest.PostfixLog)[mark:]); len(got) > 0 {
		s.t.Errorf("results without an answer of the daemon: %+v", got)
	}
	d = k.activate(mtatest.Program)
	got := s.results(mark, recipients...)
	for _, l := range late {
		s.check(l, got[l.recipient()])
	}
	return d
}
