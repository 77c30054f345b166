package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// chroot is what Debian's scripts put into the folder of a chrooted smtp.
const chroot = `cd /var/spool/postfix && mkdir -p etc starttls-policy && chmod 755 etc starttls-policy
for f in resolv.conf hosts services nsswitch.conf; do if [ -e /etc/$f ]; then cp /etc/$f etc; fi; done
sed -i 's/^smtp unix - - n/smtp unix - - y/' /etc/postfix/master.cf
cat >>/etc/starttls-policy/config.toml <<'END'
[serve]
listen = ["unix:/var/spool/postfix/starttls-policy/socket"]
sources = ["list"]
update = "off"
group = "postfix"
END
`

// TestChroot: what doctor says of the socket of a chrooted smtp is what becomes of mail.
func TestChroot(t *testing.T) {
	t.Parallel()
	s := newServer(t, "/", "postfix")
	s.Output("/bin/sh", "-ec", chroot)
	daemon := s.Command(t.Context(), mtatest.Program, "serve")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	const socket = "/var/spool/postfix/starttls-policy/socket"
	if !s.Until(func() bool { return s.Command(t.Context(), mtatest.Program, "ping").Run() == nil }) {
		t.Fatal("serve does not answer")
	}
	for _, c := range []struct{ name, before, maps, codes, result string }{
		{"relative", "true", "socketmap:unix:starttls-policy/socket:floor", "", "Verified TLS connection established to mx.good.example"},
		{"absolute", "true", "socketmap:unix:" + socket + ":floor", "doctor.socket.chroot", "status=deferred (client TLS configuration problem)"},
		{"forbidden", "chmod 600 " + socket, "socketmap:unix:starttls-policy/socket:floor", "doctor.socket.permission", "status=deferred (client TLS configuration problem)"},
		{"folder", "chmod 660 " + socket + " && chmod 700 /var/spool/postfix/starttls-policy", "socketmap:unix:starttls-policy/socket:floor", "doctor.socket.permission", "status=deferred (client TLS configuration problem)"},
		{"group", "chmod 755 /var/spool/postfix/starttls-policy", "socketmap:unix:starttls-policy/socket:floor", "", "Verified TLS connection established to mx.good.example"},
	} {
		s.Output("/bin/sh", "-ec", c.before+" && postconf -e 'smtp_tls_policy_maps = "+c.maps+"' && postfix reload")
		r := s.examine()
		if got := codes(r.Findings); got != c.codes {
			t.Errorf("%s: %s, want %s\n%+v", c.name, got, c.codes, r.Findings)
		}
		// The command that doctor names for the second is the first.
		if c.name == "absolute" && !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
			return f.Fix == "postconf -e 'smtp_tls_policy_maps = socketmap:unix:starttls-policy/socket:floor' && postfix reload"
		}) {
			t.Errorf("%+v", r.Findings)
		}
		if log := s.deliver(destinations[0]); !strings.Contains(log, c.result) {
			t.Errorf("%s: no %q in\n%s", c.name, c.result, log)
		}
	}
}
