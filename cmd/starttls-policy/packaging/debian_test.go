package packaging

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// system is a Debian of its own, with Postfix and without systemd running: a copy of a root folder.
type system struct {
	t    *testing.T
	root string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	base := tool.Tree(t, "trixie")
	dir, err := os.MkdirTemp("", "debian-")
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t, filepath.Join(dir, "root")}
	t.Cleanup(func() { asRoot(t, "", "rm", "-rf", dir) })
	asRoot(t, "", "cp", "-a", base, s.root)
	// A cache that was packed and unpacked has lost its devices.
	asRoot(t, "", "sh", "-c", `[ -c "$0/dev/null" ] || mknod -m 666 "$0/dev/null" c 1 3`, s.root)
	return s
}

// try runs a shell's line inside, as a user, and returns what it said and its exit code.
func (s *system) try(user, line string) (string, int) {
	s.t.Helper()
	args := append(tool.AsRoot(s.t.Context(), s.t), "chroot", "--userspec="+user, s.root, "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", line)
	var out bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// run is try as root, of a line that must end with this code and say all of these.
func (s *system) run(code int, line string, want ...string) string {
	s.t.Helper()
	out, got := s.try("root:root", line)
	if got != code {
		s.t.Fatalf("%s: exit code %d, want %d\n%s", line, got, code, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			s.t.Fatalf("%s: does not say %q\n%s", line, w, out)
		}
	}
	return out
}

// files are all of the system, with owner, kind and mode, but for dpkg's own records, logs, and the copies that passwd's
// programs keep; what /etc has is compared in full.
func (s *system) files() string {
	s.t.Helper()
	list := s.run(0, `find / -xdev \( -path /proc -o -path /dev -o -path /var/lib/dpkg -o -path /var/log -o -path /run -o -path /tmp \) -prune -o -printf '%p %u:%g %M\n' | sort`)
	sums := s.run(0, `find /etc -xdev -type f -exec sha256sum {} + | sort -k 2`)
	return regexp.MustCompile(`(?m)^.*/etc/(passwd|group|shadow|gshadow|subuid|subgid)-.*\n|^.*/etc/\.pwd\.lock.*\n`).ReplaceAllString(list+sums, "")
}

// bring copies a file or folder of this machine to a path inside.
func (s *system) bring(from, to string) {
	s.t.Helper()
	asRoot(s.t, "", "cp", "-r", from, filepath.Join(s.root, to))
	asRoot(s.t, "", "chown", "-R", "0:0", filepath.Join(s.root, to))
}

const entries = `{"policies": {"a.example": {"mode": "enforce", "mxs": ["mx.a.example"]}}}`

// newSupplied is a system that has two versions of the package, and a list to join.
func newSupplied(t *testing.T) *system {
	s := newSystem(t)
	s.bring(deb(t, "v1.2.3"), "/old.deb")
	s.bring(deb(t, "v1.3.0"), "/new.deb")
	home, public := filepath.Join(t.TempDir(), "home"), filepath.Join(t.TempDir(), "public")
	fingerprint, err := mtatest.Publish(t.Context(), home, public, time.Now().Add(-time.Minute), []byte(entries))
	if err != nil {
		t.Fatal(err)
	}
	s.bring(public, "/list")
	asRoot(t, fingerprint, "tee", s.root+"/fingerprint")
	return s
}

const (
	state  = "/var/lib/starttls-policy"
	join   = `starttls-policy join /list --fingerprint "$(cat /fingerprint)" --name example`
	listed = "postmap -q a.example cdb:" + state + "/postfix-tls-policy"
)

// The life of an installation: nothing is lost by an upgrade, nothing stays behind a purge, and at no moment does main.cf
// name a table or a socket that has gone, for Postfix would defer all mail.
func TestDebianPackage(t *testing.T) {
	s := newSupplied(t)
	before := s.files()
	s.run(0, "dpkg -i /old.deb")
	s.run(0, "starttls-policy --version", "v1.2.3")
	s.run(2, "starttls-policy status", "join")
	s.run(0, "getent passwd starttls-policy", state)
	s.run(0, "stat -c %U:%a "+state, "starttls-policy:755")
	s.run(0, join, "cdb:"+state+"/postfix-tls-policy")
	s.run(0, listed, "secure match=mx.a.example")
	t.Run("what root makes is the user's", s.userUpdates)
	t.Run("upgrade", s.upgrade)
	t.Run("remove with a socket in use", s.socketInUse)
	t.Run("remove with a table in use", s.tableInUse)
	t.Run("purge with Postfix in a container", s.postfixElsewhere)
	t.Run("purge", func(t *testing.T) { s.purge(t, before) })
}

// The units run as their own user, and join as root.
func (s *system) userUpdates(t *testing.T) {
	s.t = t
	if out, code := s.try("starttls-policy:starttls-policy", "starttls-policy update"); code != 0 {
		t.Fatalf("update ends with %d\n%s", code, out)
	}
	if foreign := s.run(0, "find "+state+" ! -user starttls-policy"); foreign != "" {
		t.Errorf("not the user's:\n%s", foreign)
	}
}

// The administrator's changes stay, and so does the state.
func (s *system) upgrade(t *testing.T) {
	s.t = t
	s.run(0, "echo HTTPS_PROXY=http://127.0.0.1:1 >>/etc/default/starttls-policy && echo '# mine' >>/etc/starttls-policy/config.toml")
	sums := "sha256sum /etc/default/starttls-policy /etc/starttls-policy/config.toml " + state + "/example/policy.json"
	old := s.run(0, sums)
	s.run(0, "dpkg -i /new.deb")
	s.run(0, "starttls-policy --version", "v1.3.0")
	if now := s.run(0, sums); now != old {
		t.Errorf("%s, was\n%s", now, old)
	}
	s.run(0, "starttls-policy status", "fresh, 1 domain in force")
	s.run(0, listed, "secure match=mx.a.example")
}

// While main.cf asks the daemon the package stays, whole and at work. Another program's socket is none of its business.
func (s *system) socketInUse(t *testing.T) {
	s.t = t
	const unit = "/etc/systemd/system/sockets.target.wants/starttls-policy.socket"
	held := func(where, maps string) {
		t.Helper()
		s.run(0, "postconf -e 'smtp_tls_policy_maps = "+maps+"'")
		s.run(1, "dpkg -r starttls-policy", "still names", "postfix reload")
		s.run(0, "dpkg-query -W -f '${db:Status-Status}' starttls-policy", "installed")
		s.run(0, "starttls-policy status", "fresh, 1 domain in force")
	}
	s.run(0, "mkdir -p "+filepath.Dir(unit)+" && ln -s /usr/lib/systemd/system/starttls-policy.socket "+unit)
	held("unit", "inline:{x.example=none} socketmap:inet:localhost:8461:floor")
	s.run(0, "rm -r "+filepath.Dir(unit)+" && cp /etc/starttls-policy/config.toml /aside.toml")
	s.run(0, `printf '[serve]\nlisten = ["127.0.0.1:9999",\n  "unix:/var/spool/postfix/tls/socket"]\n' >>/etc/starttls-policy/config.toml`)
	held("configuration, TCP", "socketmap:inet:127.0.0.1:9999:sni")
	held("configuration, unix", "pipemap:{socketmap:unix:tls/socket:sni,static:x}")
	s.run(0, "postconf -X smtp_tls_policy_maps && cp -p /etc/postfix/master.cf /aside.cf && postconf -P smtp/unix/smtp_tls_policy_maps=socketmap:unix:/var/spool/postfix/tls/socket:sni")
	s.run(1, "dpkg -r starttls-policy", "still names socketmap:unix:")
	s.run(0, "mv /aside.cf /etc/postfix/master.cf && mv /aside.toml /etc/starttls-policy/config.toml")
	s.run(0, "postconf -e smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8461:QUERY")
	s.run(0, "dpkg -r starttls-policy && dpkg -i /new.deb")
	s.run(0, listed, "secure match=mx.a.example")
}

// A table that main.cf names stays, empty, and what stays can be looked up in; installed again, all is in force again.
func (s *system) tableInUse(t *testing.T) {
	s.t = t
	s.run(0, "postconf -e smtp_tls_policy_maps=proxy:cdb:"+state+"/postfix-tls-policy")
	s.run(0, "cp /etc/starttls-policy/config.toml /aside.toml && echo '[wrong' >>/etc/starttls-policy/config.toml")
	s.run(1, "dpkg -r starttls-policy", "cannot be emptied", "config.toml:")
	// Nor with no table in main.cf: another mail server may read what stays full.
	s.run(0, "postconf -X smtp_tls_policy_maps")
	s.run(1, "dpkg -r starttls-policy", "not all that mail servers read could be emptied")
	s.run(0, "postconf -e smtp_tls_policy_maps=proxy:cdb:"+state+"/postfix-tls-policy")
	s.run(0, "mv /aside.toml /etc/starttls-policy/config.toml")
	s.run(0, listed, "secure match=mx.a.example")
	s.run(0, "dpkg -r starttls-policy", "An empty table stays")
	s.nothing()
	s.run(0, "dpkg -i /new.deb")
	s.run(0, listed, "secure match=mx.a.example")
	// What the administrator has switched off stays off.
	s.run(0, "starttls-policy disable --reason mine && dpkg -r starttls-policy && dpkg -i /new.deb")
	s.nothing()
	s.run(0, "starttls-policy enable")
	s.run(0, "dpkg -P starttls-policy", "an empty table stays in "+state)
	s.nothing()
	s.run(2, "getent passwd starttls-policy")
	s.run(0, "test ! -e /etc/starttls-policy && test ! -e /etc/default/starttls-policy && stat -c %U "+state, "root")
}

// nothing checks that of the state only an empty table is there, or that it is empty while the package is installed.
func (s *system) nothing() {
	s.t.Helper()
	if out := s.run(1, listed); out != "" {
		s.t.Errorf("a lookup says %q", out)
	}
	if _, code := s.try("root:root", "test -e /usr/bin/starttls-policy || test -e /etc/starttls-policy"); code == 0 {
		return
	}
	if left := strings.Fields(s.run(0, "cd "+state+" && ls -A")); strings.Join(left, " ") != "postfix-tls-policy postfix-tls-policy.cdb" {
		s.t.Errorf("left behind: %q", left)
	}
}

// Where there is no Postfix and a table all the same, somebody else reads it.
func (s *system) postfixElsewhere(t *testing.T) {
	s.t = t
	s.run(0, "postconf -X smtp_tls_policy_maps && rm -r "+state)
	s.run(0, "dpkg -i /new.deb && "+join)
	s.run(0, listed, "secure match=mx.a.example")
	s.run(0, "mv /usr/sbin/postconf /aside && dpkg -P starttls-policy", "for a Postfix elsewhere", "may still name it")
	s.run(0, "mv /aside /usr/sbin/postconf")
	s.nothing()
}

// Where nothing names it, nothing stays: with a user that adduser made, as on machines without systemd-sysusers.
func (s *system) purge(t *testing.T, before string) {
	s.t = t
	s.run(0, "rm -r "+state)
	s.run(0, "mv /usr/bin/systemd-sysusers /aside && dpkg -i /old.deb && mv /aside /usr/bin/systemd-sysusers")
	s.run(0, "getent passwd starttls-policy", state)
	s.run(0, join)
	s.run(0, "dpkg -P starttls-policy")
	if after := s.files(); after != before {
		s.t.Errorf("not as it was:\n%s", difference(before, after))
	}
}

// difference are the lines that only one has.
func difference(a, b string) string {
	var out strings.Builder
	for i, pair := range [][2]string{{a, b}, {b, a}} {
		has := map[string]bool{}
		for l := range strings.Lines(pair[1]) {
			has[l] = true
		}
		for l := range strings.Lines(pair[0]) {
			if !has[l] {
				fmt.Fprintf(&out, "%c %s", "-+"[i], l)
			}
		}
	}
	return out.String()
}
