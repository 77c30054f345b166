package mtatest

import (
	"context"
	"strings"
	"time"
)

const (
	// PostfixLog is the mail log of a machine's Postfix.
	PostfixLog = "/var/log/postfix.log"
	// patience is how long anything may take on a machine that has other things to do.
	patience = time.Minute
	// lookEvery is how often somebody looks whether it has happened.
	lookEvery = 20 * time.Millisecond
)

// A mail server that only sends, with a stock Debian's settings about TLS. It tries again when a test flushes its queue.
const (
	mainCF = `compatibility_level = 3.6
myhostname = sender.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
maillog_file = ` + PostfixLog + `
smtp_tls_loglevel = 1
minimal_backoff_time = 1s
maximal_backoff_time = 1000s
queue_run_delay = 1000s
smtp_connect_timeout = 10s
`
	masterCF = `pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
)

// SetUpPostfix writes main.cf and master.cf, and does what Debian's install scripts do, for packages that were only unpacked.
func (m *Machine) SetUpPostfix() {
	m.t.Helper()
	m.Output("/bin/sh", "-ec", "chown postfix: /var/lib/postfix && chgrp postdrop /usr/sbin/postqueue /usr/sbin/postdrop && chmod 2755 /usr/sbin/postqueue /usr/sbin/postdrop")
	m.Write("/etc/postfix/main.cf", mainCF, 0o644)
	m.Write("/etc/postfix/master.cf", masterCF, 0o644)
}

// StartPostfix starts it with further settings, lines of main.cf, until the test ends. Of a test that failed the log is shown.
func (m *Machine) StartPostfix(settings string) {
	m.t.Helper()
	m.Write("/etc/postfix/main.cf", m.Read("/etc/postfix/main.cf")+settings, 0o644)
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("Postfix's log:\n%s", m.Read(PostfixLog))
		}
	})
	m.Output("/usr/sbin/postfix", "start")
	m.t.Cleanup(func() {
		if out, err := m.Command(context.Background(), "/usr/sbin/postfix", "stop").CombinedOutput(); err != nil {
			m.t.Errorf("postfix stop: %v: %s", err, out)
		}
	})
}

// SendMail queues one message.
func (m *Machine) SendMail(recipient, text string) {
	m.t.Helper()
	cmd := m.Command(m.t.Context(), "/usr/sbin/sendmail", "-f", "sender@sender.example", "--", recipient)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("sendmail: %v: %s", err, out)
	}
}

// Until waits for something to come true. It returns false when it has not within a minute, or the test is over.
func (m *Machine) Until(done func() bool) bool {
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-m.t.Context().Done():
			return false
		case <-time.After(lookEvery):
		}
	}
	return true
}
