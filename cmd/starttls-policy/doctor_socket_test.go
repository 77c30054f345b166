package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// transcriptTime is the day of the tests' release.
func transcriptTime() time.Time { return time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC) }

// configure puts a [serve] with a resolver that validates behind the configuration that join wrote, and takes [postfix] out
// of it.
func (s server) configure(serve string) {
	s.t.Helper()
	before, _, _ := strings.Cut(s.read("joined.toml"), "[postfix]")
	if !strings.Contains(serve, "resolver =") {
		serve += fmt.Sprintf("resolver = %q\n", resolverWith(s.t, dns.RcodeSuccess, true))
	}
	s.put("c.toml", before+"[serve]\n"+serve)
}

// startServe starts the daemon until the test ends, and waits for its socket.
func (s server) startServe(socket string) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", filepath.Join(s.dir, "c.toml")}, world{io.Discard, io.Discard, transcriptTime})
	}()
	s.t.Cleanup(func() {
		stop()
		<-ended
	})
	if !eventually(func() bool { return isSocket(socket) }, nil) {
		s.t.Fatal("serve does not listen")
	}
}

func online(l *look) { l.offline = false }

// The daemon at a unix socket below the queue directory is reached by every smtp, asked about a listed and an unlisted
// name, and told apart from whatever else may be there.
func TestDoctorAsksTheDaemon(t *testing.T) {
	s := joined(t)
	queue := filepath.Join(s.postfix.Config, "queue")
	socket := filepath.Join(queue, "p/s")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	s.configure("listen = [\"unix:" + socket + "\"]\nsources = [\"list\"]\nupdate = \"off\"\nmode = \"0600\"\n")
	s.startServe(socket)
	stale := filepath.Join(queue, "p/stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	base := s.file("main.cf")
	for _, c := range []struct{ name, maps, owner, codes string }{
		{"relative", "socketmap:unix:p/s:floor", "root", ""},
		{"absolute", "socketmap:unix:" + socket + ":floor", "root", "doctor.socket.chroot"},
		{"by proxymap", "proxy:socketmap:unix:" + socket + ":floor", "root", ""},
		{"forbidden", "socketmap:unix:p/s:floor", "nobody", "doctor.socket.permission doctor.socket.permission"},
		{"nowhere", "socketmap:unix:p/t:floor", "root", "doctor.map.unused doctor.socket.missing doctor.socket.missing"},
		{"stale", "socketmap:unix:p/stale:floor", "root", "doctor.map.unused doctor.socket.silent doctor.socket.silent"},
		{"too new", "socketmap:unix:p/s:tlsrpt", "root", "doctor.dialect.new"},
		{"older", "socketmap:unix:p/s:postfix", "root", "doctor.dialect.old doctor.protocols"},
		{"unknown user", "socketmap:unix:p/s:floor", "no-such-user", "doctor.unseen doctor.unseen"},
	} {
		s.restore("main.cf", base)
		s.appendTo("main.cf", "smtp_tls_policy_maps = "+c.maps+"\n")
		for _, offline := range []bool{false, true} {
			found := s.examine(func(l *look) {
				l.offline = offline
				l.account = func(string) (identity, error) { return account(c.owner) }
			})
			if got := codesOf(found); got != c.codes {
				t.Errorf("%s, offline %t: %s, want %s\n%+v", c.name, offline, got, c.codes, found)
			}
		}
	}
}

// fakeDaemon answers socketmap questions by their text, "*" stands for all others. It speaks the protocol without the
// package under test.
func fakeDaemon(t *testing.T, answers map[string]string) (address string, asked func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var log lockedLog
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				var n int
				if _, err := fmt.Fscanf(r, "%d:", &n); err != nil || n > 1000 {
					return
				}
				text := make([]byte, n+1)
				if _, err := io.ReadFull(r, text); err != nil {
					return
				}
				question := string(text[:n])
				fmt.Fprintln(&log, question)
				answer, ok := answers[question]
				if !ok {
					answer = answers["*"]
				}
				fmt.Fprintf(c, "%d:%s,", len(answer), answer)
			}()
		}
	}()
	return l.Addr().String(), log.String
}

// What answers, and how, is looked at; offline nothing is asked for which anybody would have to look something up.
func TestDoctorJudgesAnswers(t *testing.T) {
	s := joined(t)
	base := s.file("main.cf")
	ours := func(more ...string) map[string]string {
		out := map[string]string{"*": "NOTFOUND ", "refresh doctor.invalid": "OK doctor.invalid: none", "floor a.example": "OK secure match=mx1.a.example:mx2.a.example"}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for _, c := range []struct {
		name    string
		answers map[string]string
		codes   string
	}{
		{"ours", ours(), ""},
		{"temporary", ours("floor doctor.invalid", "TEMP the disk"), "doctor.socket.answer"},
		{"everybody is listed", ours("floor doctor.invalid", "OK secure match=x"), "doctor.socket.answer"},
		{"nobody is listed", ours("floor a.example", "NOTFOUND "), "doctor.socket.list"},
		{"temporary for the list", ours("floor a.example", "TEMP the disk"), "doctor.socket.answer"},
		{"no protocol", map[string]string{"*": "HTTP/1.1 400 Bad Request"}, "doctor.socket.silent"},
		{"another program", map[string]string{"*": "NOTFOUND "}, "doctor.socket.stranger"},
	} {
		address, asked := fakeDaemon(t, c.answers)
		s.restore("main.cf", base)
		s.appendTo("main.cf", "smtp_tls_policy_maps = socketmap:inet:"+address+":floor\n")
		s.configure("listen = [\"" + address + "\"]\nsources = [\"list\"]\n")
		found := s.examine(online)
		if got := codesOf(found); got != c.codes {
			t.Errorf("%s: %s, want %s\n%+v", c.name, got, c.codes, found)
		}
		before := asked()
		s.examine(nil)
		if said := strings.TrimPrefix(asked(), before); said != "floor .invalid\n" {
			t.Errorf("%s: offline it asks %q", c.name, said)
		}
	}
}

// Permissions are read as the kernel reads them: the first class that fits, and every folder on the way.
func TestBlocked(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "d")
	path := filepath.Join(dir, "s")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	owner, member, other := identity{"u", int(stat.Uid), nil}, identity{"u", int(stat.Uid) + 1, []int{7, int(stat.Gid)}}, identity{"u", int(stat.Uid) + 1, []int{int(stat.Gid) + 1}}
	if stat.Uid == 0 {
		owner.uid = 1 // root may do anything, so its own class cannot be seen
	}
	for _, c := range []struct {
		who          identity
		folder, file fs.FileMode
		says         string
	}{
		{member, 0o750, 0o660, ""}, {other, 0o755, 0o666, ""},
		{member, 0o750, 0o600, "may not write"}, {member, 0o700, 0o660, "may not enter"}, {member, 0o705, 0o606, "may not write"},
		{other, 0o750, 0o666, "may not enter"}, {other, 0o755, 0o660, "may not write"},
		{identity{"root", 0, nil}, 0, 0, ""}, {owner, 0o755, 0o622, ""},
	} {
		if err := os.Chmod(path, c.file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, c.folder); err != nil {
			t.Fatal(err)
		}
		got := c.who.blocked(base, path)
		if os.Chmod(dir, 0o755); got == "" && c.says != "" || !strings.Contains(got, c.says) {
			t.Errorf("%+v: %q, want %q", c, got, c.says)
		}
	}
	if got := other.blocked(base, filepath.Join(base, "absent")); !strings.Contains(got, "no such file") {
		t.Errorf("absent: %q", got)
	}
}

// resolverWith is a name server on loopback that gives every question the same answer.
func resolverWith(t *testing.T, code int, secure bool) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, code)
		m.AuthenticatedData = secure
		if code == dns.RcodeSuccess {
			m.Answer = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 1}, Ns: "a.root.example."}}
		}
		w.WriteMsg(m)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return conn.LocalAddr().String()
}

// The resolver is asked once, and believed only where it says that it has validated.
func TestDoctorAsksTheResolver(t *testing.T) {
	s := joined(t)
	for _, c := range []struct {
		code         int
		secure, dane bool
		codes        string
	}{
		{dns.RcodeSuccess, true, false, ""},
		{dns.RcodeSuccess, true, true, "doctor.dnssec.off"},
		{dns.RcodeSuccess, false, false, "doctor.resolver.plain"},
		{dns.RcodeSuccess, false, true, "doctor.dnssec.off doctor.resolver.dane"},
		{dns.RcodeServerFailure, false, false, "doctor.resolver.silent"},
		{dns.RcodeNameError, false, false, "doctor.resolver.plain"}, // no root, but an answer
	} {
		sources, trust := `"list"`, "false"
		if c.dane {
			sources, trust = `"dane", "list"`, "true"
		}
		address, _ := fakeDaemon(t, map[string]string{"*": "NOTFOUND ", "refresh doctor.invalid": "OK doctor.invalid: none", "floor a.example": "OK dane-only"})
		base := s.file("main.cf")
		s.appendTo("main.cf", "smtp_tls_policy_maps = socketmap:inet:"+address+":floor\n")
		s.configure(fmt.Sprintf("listen = [%q]\nsources = [%s]\ntrust-ad = %s\nresolver = %q\n", address, sources, trust, resolverWith(t, c.code, c.secure)))
		found := s.examine(online)
		if got := codesOf(found); got != c.codes {
			t.Errorf("%+v: %s\n%+v", c, got, found)
		}
		s.restore("main.cf", base)
	}
}
