package postfix

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

func TestMain(m *testing.M) { os.Exit(mtatest.Run(m)) }

// patience is how long a delivery may take on a machine that has other things to do.
const patience = time.Minute

// A mail server that only sends, with a stock Debian's settings about TLS. Short times, for the tests flush the queue.
const mainCF = `compatibility_level = 3.6
myhostname = sender.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
maillog_file = /var/log/postfix.log
smtp_tls_loglevel = 1
minimal_backoff_time = 1s
maximal_backoff_time = 1000s
queue_run_delay = 1000s
smtp_connect_timeout = 10s
`

const masterCF = `pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// version is a Postfix to test.
type version struct {
	name    string
	machine func(*testing.T, *lab.Lab) *mtatest.Machine
	// dialect is the newest that it reads, of those of tables.
	dialect mta.Dialect
	// patterns says that MX patterns mean one label, as the list has them.
	patterns bool
}

var versions = []version{
	{"3.7", func(t *testing.T, l *lab.Lab) *mtatest.Machine { return mtatest.NewMachine(t, l, "/", "postfix") }, mta.Floor, false},
	{"3.10", func(t *testing.T, l *lab.Lab) *mtatest.Machine {
		return mtatest.NewMachine(t, l, tool.Tree(t, "trixie"))
	}, mta.TLSRPT, true},
}

// server is a machine whose Postfix delivers into a lab.
type server struct {
	*mtatest.Machine
	t   *testing.T
	lab *lab.Lab
	sum int // messages sent

	fingerprint string // of the list that was joined
}

func newServer(t *testing.T, v version) *server {
	l := mtatest.NewLab(t)
	s := &server{Machine: v.machine(t, l), t: t, lab: l}
	number := s.Output("/usr/sbin/postconf", "-dh", "mail_version") // another Debian's may be another, of the same kind
	if got, err := mta.DialectOf(number); err != nil || got != v.dialect {
		t.Fatalf("this is Postfix %s, which is none like %s: %v", number, v.name, err)
	}
	// What Debian's install scripts do, for packages that were only unpacked.
	s.Output("/bin/sh", "-ec", "chown postfix: /var/lib/postfix && chgrp postdrop /usr/sbin/postqueue /usr/sbin/postdrop && chmod 2755 /usr/sbin/postqueue /usr/sbin/postdrop")
	s.Write("/etc/postfix/main.cf", mainCF, 0o644)
	s.Write("/etc/postfix/master.cf", masterCF, 0o644)
	return s
}

// start starts Postfix with further settings.
func (s *server) start(settings string) {
	s.t.Helper()
	s.Write("/etc/postfix/main.cf", s.Read("/etc/postfix/main.cf")+settings, 0o644)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("Postfix's log:\n%s", s.Read("/var/log/postfix.log"))
		}
	})
	s.Output("/usr/sbin/postfix", "start")
	s.t.Cleanup(func() {
		if out, err := s.Command(context.Background(), "/usr/sbin/postfix", "stop").CombinedOutput(); err != nil {
			s.t.Errorf("postfix stop: %v: %s", err, out)
		}
	})
}

// send queues one message for each recipient.
func (s *server) send(recipients ...string) {
	s.t.Helper()
	for _, r := range recipients {
		s.sum++
		cmd := s.Command(s.t.Context(), "/usr/sbin/sendmail", "-f", "sender@sender.example", "--", r)
		cmd.Stdin = strings.NewReader(fmt.Sprintf("Subject: %d\n\nfor %s\n", s.sum, r))
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("sendmail: %v: %s", err, out)
		}
	}
}

// flush has Postfix try everything in its queue again.
func (s *server) flush() {
	s.t.Helper()
	s.Output("/usr/sbin/postqueue", "-f")
}

// mark is where the log ends now.
func (s *server) mark() int { return len(s.Read("/var/log/postfix.log")) }

// results waits until every recipient has at least one result in the log behind mark, and returns the last of each.
func (s *server) results(mark int, recipients ...string) map[string]result {
	s.t.Helper()
	var found map[string]result
	missing := s.until(func() []string {
		found = readLog(s.Read("/var/log/postfix.log")[mark:])
		var missing []string
		for _, r := range recipients {
			if _, ok := found[r]; !ok {
				missing = append(missing, r)
			}
		}
		return missing
	})
	if len(missing) > 0 {
		s.t.Fatalf("no result for %q", missing)
	}
	return found
}

// until waits until there is nothing to wait for any more, and returns what there is.
func (s *server) until(missing func() []string) []string {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := missing()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		select {
		case <-s.t.Context().Done():
			return left
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// empty waits until the queue is empty: nothing was lost, nothing waits.
func (s *server) empty() {
	s.t.Helper()
	if left := s.until(func() []string {
		out := s.Output("/usr/sbin/postqueue", "-j")
		return strings.Fields(out)
	}); len(left) > 0 {
		s.t.Errorf("still in the queue: %v", left)
	}
}

// list publishes the fragment and returns the mirror's folder and the fingerprint.
func list(t *testing.T, fragment string) (public, fingerprint string) {
	t.Helper()
	dir := t.TempDir()
	public = filepath.Join(dir, "public")
	fingerprint, err := mtatest.Publish(t.Context(), filepath.Join(dir, "operator"), public, time.Now().Add(-time.Minute), []byte(fragment))
	if err != nil {
		t.Fatal(err)
	}
	return public, fingerprint
}
