package postfix

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// page is what administrators read.
func page(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// resolver stands in for one that looks at DANE and MTA-STS, at its place and under its map's name.
type resolver map[string]string

// Answer implements socketmap.Answerer.
func (r resolver) Answer(_ context.Context, mapName, key string) socketmap.Reply {
	if mapName != "QUERY" && mapName != "postfix" {
		return socketmap.Reply{Temp: "no such map"}
	}
	return socketmap.Reply{Value: r[strings.ToLower(key)]}
}

// serve answers until stop is called.
func (r resolver) serve(t *testing.T, address string) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&socketmap.Server{Answerer: r, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}).Serve(ctx, l)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// moved publishes a policy itself, by which the list is out of date.
var moved = destination{domain: "moved.example", mode: "enforce", mxs: []string{"mx.moved.example"}, hosts: []host{{"mx.new.example", lab.Good}}}

// TestBesideAResolver: with the line that the page has for each resolver, its answers come before the list's, and the list
// protects the others; in the other order the list comes first, and listed domains are delivered to while the resolver is
// down.
func TestBesideAResolver(t *testing.T) {
	t.Parallel()
	lines := regexp.MustCompile(`(?m)^# main\.cf, beside (\S+)\nsmtp_tls_policy_maps = (socketmap:inet:(127\.0\.0\.1:\d+):\S+), \w+:(\S+)$`).FindAllStringSubmatch(page(t), -1)
	if len(lines) != 2 {
		t.Fatalf("the page has %d lines for resolvers", len(lines))
	}
	listed := []destination{
		{domain: "good.example", mode: "enforce", mxs: []string{"mx.good.example"}, hosts: []host{{"mx.good.example", lab.Good}}, want: "Verified"},
		{domain: "stripped.example", mode: "enforce", mxs: []string{"mx.stripped.example"}, hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered},
	}
	free := destination{domain: "free.example", hosts: []host{{"mx.free.example", lab.Good}}, want: "Trusted"}
	all := append([]destination{moved, free}, listed...)
	s := newServer(t, versions[0])
	s.settle(all)
	table, _, _ := strings.Cut(strings.TrimPrefix(s.join(fragment(all)), "smtp_tls_policy_maps = "), "\n")
	// Each order of maps is a transport of its own, chosen by the sender: after "postfix reload" old processes work on.
	orders := map[string]string{}
	for i, line := range lines {
		if _, path, _ := strings.Cut(table, ":"); path != line[4] {
			t.Fatalf("the page's table is %s, join's %s", line[4], path)
		}
		orders[fmt.Sprintf("behind%d", i)], orders[fmt.Sprintf("front%d", i)] = line[2]+", "+table, table+", "+line[2]
	}
	master, transports := s.Read("/etc/postfix/master.cf"), ""
	for name, maps := range orders {
		master += fmt.Sprintf("%s unix - - n - - smtp\n  -o { smtp_tls_policy_maps = %s }\n", name, maps)
		transports += fmt.Sprintf(" {%s@sender.example = %[1]s:}", name)
	}
	s.Write("/etc/postfix/master.cf", master, 0o644)
	s.StartPostfix("smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\nsmtp_tls_security_level = may\n" +
		"sender_dependent_default_transport_maps = inline:{" + transports + " }\n")
	n := 0
	deliver := func(order string, destinations ...destination) {
		t.Helper()
		n++
		mark := s.mark()
		var recipients []string
		for _, d := range destinations {
			recipients = append(recipients, fmt.Sprintf("u%d@%s", n, d.domain))
			cmd := s.Command(t.Context(), "/usr/sbin/sendmail", "-f", order+"@sender.example", "--", recipients[len(recipients)-1])
			cmd.Stdin = strings.NewReader("Subject: test\n\nA word in confidence.\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("sendmail: %v: %s", err, out)
			}
		}
		got := s.results(mark, recipients...)
		for i, d := range destinations {
			r, good := got[recipients[i]], false
			switch d.want {
			case "Verified", "Trusted":
				good = r.status == "sent" && r.trust == d.want
			default:
				good = r.status == "deferred" && strings.Contains(r.why, d.want)
			}
			if !good {
				t.Errorf("%s, with %s: %+v, want %s", recipients[i], orders[order], r, d.want)
			}
		}
	}
	with := func(d destination, want string) destination {
		d.want = want
		return d
	}
	const down = "client TLS configuration problem"
	for i, line := range lines {
		behind, front := fmt.Sprintf("behind%d", i), fmt.Sprintf("front%d", i)
		stop := resolver{"moved.example": "secure match=mx.new.example servername=hostname"}.serve(t, line[3])
		deliver(behind, with(moved, "Verified"), free, listed[0], listed[1])
		deliver(front, with(moved, notVerified), free, listed[0], listed[1])
		stop()
		deliver(behind, with(free, down), with(listed[0], down))
		deliver(front, with(free, down), listed[0], listed[1])
	}
}

// TestLeave does what the page says, in its order: mail flows all the time, what waited goes out, and nothing is left.
func TestLeave(t *testing.T) {
	t.Parallel()
	_, leave, ok := strings.Cut(page(t), "\n## Leave\n")
	if !ok {
		t.Fatal("the page does not say how to leave")
	}
	leave, _, _ = strings.Cut(leave, "\n## ")
	commands := map[string]string{} // by their first word
	for _, m := range regexp.MustCompile(`(?m)^ +# ((\S+) .*)$`).FindAllStringSubmatch(leave, -1) {
		if _, twice := commands[m[2]]; !twice {
			commands[m[2]] = m[1]
		}
	}
	s := newServer(t, versions[0])
	stripped := destination{domain: "stripped.example", mode: "enforce", mxs: []string{"mx.stripped.example"}, hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered}
	free := destination{domain: "free.example", hosts: []host{{"mx.free.example", lab.Good}}, want: "Trusted"}
	s.settle([]destination{stripped, free})
	before := s.files()
	s.StartPostfix(s.join(fragment([]destination{stripped})))
	s.Output(mtatest.Program, "update")
	s.deliver([]destination{stripped, free}, false)
	for i, name := range []string{"postconf", "postfix", "rm"} {
		command, ok := commands[name]
		if !ok {
			t.Fatalf("the page has no %q among %q", name, commands)
		}
		s.Output("/bin/sh", "-ec", command)
		if name == "postfix" {
			s.letGo([]destination{stripped})
		}
		free.rcpt = string(rune('a'+i)) + "@free.example"
		s.deliver([]destination{free}, false)
	}
	for path := range s.files() {
		if !before[path] {
			t.Errorf("left behind: %s", path)
		}
	}
}

// files are those of the machine that are not Postfix's own.
func (s *server) files() map[string]bool {
	s.t.Helper()
	out := s.Output("/bin/sh", "-c", `find /etc /opt /srv /usr/local /var -xdev \( -path /var/spool/postfix -o -path /var/lib/postfix -o -path /srv/mirror -o -name postfix.log \) -prune -o -print`)
	paths := map[string]bool{}
	for path := range strings.Lines(out) {
		paths[strings.TrimSpace(path)] = true
	}
	return paths
}

// TestLeaveOut: by the configuration that the page has, update takes the domains out of the table whose own word comes
// first, and Postfix's DANE and the resolver behind the table decide about them, in both directions. Nobody else loses the
// list's protection.
func TestLeaveOut(t *testing.T) {
	t.Parallel()
	part := regexp.MustCompile("(?s)\n(\\[leave-out\\]\nsources = \\[\"dane\"\\].*?)\n```\n").FindStringSubmatch(page(t))
	if part == nil {
		t.Fatal("the page has no [leave-out]")
	}
	stale := func(name string, behaviour lab.Behaviour, want string) destination {
		return destination{domain: name, mode: "enforce", mxs: []string{"mx.stale.example"}, hosts: []host{{"mx." + name, behaviour}}, want: want}
	}
	before := []destination{
		stale("dane.example", lab.Good, notVerified), stale("impostor.example", lab.Good, notVerified), stale("sts.example", lab.Good, notVerified),
		{domain: "stripped.example", mode: "enforce", mxs: []string{"mx.stripped.example"}, hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered},
	}
	s := newServer(t, versions[0])
	s.settle(before)
	for _, name := range []string{"dane.example", "impostor.example"} {
		mx := "mx." + name
		sent, err := s.lab.Sent(mx)
		s.must(err)
		record := s.lab.TLSA(mx, 3, 1, 1, sent[0])
		if name == "impostor.example" { // somebody else answers at the host's address
			record = s.lab.TLSAName(mx) + " 60 IN TLSA 3 1 1 " + strings.Repeat("ab", 32)
		}
		s.must(s.lab.AddRecord(record))
		s.lab.SetSecure(true, name, mx, s.lab.TLSAName(mx))
	}
	s.must(s.lab.SetSTS("sts.example", lab.STSPolicy("enforce", 604800, "mx.sts.example")))
	maps, _, _ := strings.Cut(s.join(fragment(before)), "\n")
	resolver{"sts.example": "secure match=mx.sts.example servername=hostname"}.serve(t, "127.0.0.2:8642")
	s.StartPostfix("smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\nsmtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n" +
		maps + ", socketmap:inet:127.0.0.2:8642:QUERY\n")
	s.deliver(before, false)

	text := strings.Replace(part[1], `"dane"]`, `"dane", "mta-sts"]`, 1)
	text = strings.Replace(text, "127.0.0.1:53", s.lab.Resolver().String(), 1)
	s.Write("/etc/starttls-policy/config.toml", s.Read("/etc/starttls-policy/config.toml")+"\n"+text+"\n", 0o644)
	out := s.Output(mtatest.Program, "update")
	if !strings.Contains(out, "3 left out (own policies)") || strings.Contains(out, "left out: stripped.example") || strings.Contains(out, "WARNING") {
		t.Errorf("update:\n%s", out)
	}
	after := []destination{stale("dane.example", lab.Good, "Verified"), stale("impostor.example", lab.Good, notVerified), stale("sts.example", lab.Good, "Verified"), before[3]}
	for i := range after {
		after[i].rcpt = "again@" + after[i].domain
	}
	s.deliver(after, false)
}
