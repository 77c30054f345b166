package mtatest

import (
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

// TestMachine: the lab is what a machine takes for the Internet, what is written there stays there, and the program is
// the one under test; both Debians.
func TestMachine(t *testing.T) {
	for name, base := range map[string]func(t *testing.T) string{
		"this Debian": func(*testing.T) string { return "/" }, "Debian 13": func(t *testing.T) string { return tool.Tree(t, "trixie") },
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLab(t)
			m := NewMachine(t, l, base(t))
			if got := m.Output("/bin/cat", "/etc/resolv.conf"); !strings.Contains(got, l.Resolver().Addr().String()) {
				t.Errorf("resolv.conf is %q", got)
			}
			if l.SMTPPort() != 25 || l.HTTPSPort() != 443 || l.Resolver().Port() != 53 {
				t.Errorf("ports %d, %d, %d", l.SMTPPort(), l.HTTPSPort(), l.Resolver().Port())
			}
			m.Output("/bin/sh", "-ec", "echo here >/etc/only-on-the-machine")
			if _, err := os.Stat("/etc/only-on-the-machine"); err == nil {
				t.Fatal("the machine's files are this machine's")
			}
			if got := m.Read("/etc/only-on-the-machine"); got != "here\n" {
				t.Errorf("read %q", got)
			}
			if got := m.Output(Program, "--version"); !strings.Contains(got, "starttls-policy") {
				t.Errorf("%s is %q", Program, got)
			}
			if out, err := m.Command(t.Context(), Shifted, "status").CombinedOutput(); err == nil {
				t.Errorf("a shifted clock without a shift: %s", out)
			}
		})
	}
}
