package postfix

import (
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
	s.SetUpPostfix()
	return s
}

// send queues one message for each recipient.
func (s *server) send(recipients ...string) {
	s.t.Helper()
	for _, r := range recipients {
		s.sum++
		s.SendMail(r, fmt.Sprintf("Subject: %d\n\nfor %s\n", s.sum, r))
	}
}

// flush has Postfix try everything in its queue again.
func (s *server) flush() {
	s.t.Helper()
	s.Output("/usr/sbin/postqueue", "-f")
}

// mark is where the log ends now.
func (s *server) mark() int { return len(s.Read(mtatest.PostfixLog)) }

// results waits until every recipient has at least one result in the log behind mark, and returns the last of each.
func (s *server) results(mark int, recipients ...string) map[string]result {
	s.t.Helper()
	var found map[string]result
	missing := s.until(func() []string {
		found = readLog(s.Read(mtatest.PostfixLog)[mark:])
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

// until waits until nothing is missing any more, and returns what is.
func (s *server) until(missing func() []string) []string {
	s.t.Helper()
	var left []string
	s.Until(func() bool { left = missing(); return len(left) == 0 })
	return left
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
