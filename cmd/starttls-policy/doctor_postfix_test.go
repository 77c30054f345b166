package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// examine looks at the server as doctor does, without what this machine has by chance: systemd and a resolver.
func (s server) examine(edit func(*look)) []doctor.Finding {
	s.t.Helper()
	a := &app{world: s.world(), configPath: filepath.Join(s.dir, "c.toml")}
	cfg, err := a.loadConfig()
	if err != nil {
		s.t.Fatal(err)
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	l := a.newLook(cfg, lists, true)
	l.systemd, l.resolvConf = filepath.Join(s.dir, "no-systemd"), filepath.Join(s.dir, "resolv.conf")
	if edit != nil {
		edit(l)
	}
	l.gather(s.t.Context())
	return doctor.Examine(l.facts)
}

func (s server) world() world {
	return world{os.Stdout, os.Stderr, transcriptTime}
}

// codesOf are all but one: the list of these tests has no witnesses.
func codesOf(findings []doctor.Finding) string {
	var out []string
	for _, f := range findings {
		if f.Code != "doctor.trust.unwitnessed" {
			out = append(out, f.Code)
		}
	}
	return strings.Join(out, " ")
}

func (s server) appendTo(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.postfix.Config, name)
	held, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(held, text...), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s server) put(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

const (
	pem    = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
	master = "smtp unix - - y - - smtp\nrelay unix - - n - - smtp\n  -o syslog_name=postfix/$service_name\nlmtp unix - - y - - lmtp -o smtp_tls_policy_maps=hash:/absent\n"
)

// asJoined appends the lines that join prints to main.cf, and what else doctor would ask for.
func (s server) asJoined(r joinReport) {
	s.appendTo("master.cf", master)
	s.appendTo("main.cf", strings.Join(r.MainCF.Lines, "\n")+"\nsmtp_tls_loglevel = 1\nsmtp_tls_CAfile = "+s.put("ca.pem", pem)+"\n")
}

// joined is a server on which nothing is wrong, with a postconf that only prints what stands in main.cf: for what is
// not about Postfix's own ways.
func joined(t *testing.T) server {
	t.Helper()
	s := server{t: t, dir: t.TempDir()}
	s.postfix.Config = filepath.Join(s.dir, "postfix")
	s.put("postfix/master.cf", "")
	s.put("postfix/main.cf", "mail_version = 3.7.11\nqueue_directory = "+s.postfix.Config+"/queue\ncompatibility_level = 3.6\nmail_owner = postfix\ndefault_transport = smtp\n")
	s.put("bin/postconf", `#!/bin/sh
case "$1 $2" in
"-m ") echo cdb texthash socketmap ;;
"-F ") for s in "smtp y" "relay n"; do set -- $s; printf '%s\n' "$1/unix/service = $1" "$1/unix/chroot = $2" "$1/unix/command = smtp"; done ;;
"-x -P") ;;
"-h "*) sed -n "s/^$2 = *//p" `+s.postfix.Config+`/main.cf | tail -n 1 ;;
*) cat `+s.postfix.Config+`/main.cf ;;
esac
`)
	if err := os.Chmod(filepath.Join(s.dir, "bin/postconf"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	var err error
	s.fingerprint, err = publish(t.Context(), filepath.Join(s.dir, "operator"), filepath.Join(s.dir, "public"), "2026-03-01T12:00:00Z", []byte(transcriptEntries))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := s.join()
	s.asJoined(r)
	s.put("joined.toml", s.read("c.toml"))
	if got := codesOf(s.examine(nil)); got != "" {
		t.Fatalf("as join says: %s", got)
	}
	return s
}

func (s server) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// A real Postfix that follows the lines of join is fine. Faults in its files are found, and the commands that doctor
// prints mend them.
func TestDoctorWithPostfix(t *testing.T) {
	s := newServer(t)
	r, _ := s.join()
	s.asJoined(r)
	if got := codesOf(s.examine(nil)); got != "" {
		t.Fatalf("as join says: %s", got)
	}
	table := filepath.Join(s.dir, "var", defaultTable)
	for _, c := range []struct{ name, main, master, codes, mended string }{
		{"by one command each", "smtp_tls_policy_maps = socketmap:inet:[::1]:1:x, hash:$table\ntable = " + table + `
smtp_tls_security_level =
smtp_tls_CAfile =
smtp_tls_loglevel = 0
smtp_fallback_relay = [relay.example]
`, "own unix - - n - - smtp\n  -o { smtp_tls_policy_maps = inline:{ {a.example = may} } }\n",
			"doctor.map.order doctor.map.transport doctor.ca.none doctor.socket.silent doctor.level.none doctor.relay.fallback doctor.loglevel",
			"doctor.socket.silent doctor.relay.fallback"},
		{"by hand", "smtp_tls_policy_maps = lmdb:/mine, hash:/absent/mine, hash:" + table + `
smtp_tls_security_level = dane
smtp_tls_CAfile =
smtp_tls_CApath = ` + filepath.Dir(s.put("hashed/5ed36f99.0", "")) + `
smtp_tls_per_site = hash:/absent
relayhost = [relay.example]
transport_maps = inline:{example=smtp:[10.0.0.1]}
`, "own unix - - n - - smtp\n  -o smtp_tls_CApath=/absent -o smtp_tls_security_level=encrypt -o { smtp_tls_policy_maps = inline:{ {a.example = may} }, hash:" + table + " }\n",
			"doctor.map.type doctor.map.missing doctor.dnssec.off doctor.ca.chroot doctor.ca.missing doctor.persite doctor.relay.host doctor.level.dane doctor.level.encrypt doctor.relay.maps",
			"doctor.map.type doctor.map.missing doctor.persite doctor.relay.host doctor.level.dane doctor.level.encrypt doctor.relay.maps"},
	} {
		main, services := s.file("main.cf"), s.file("master.cf")
		s.appendTo("main.cf", c.main)
		s.appendTo("master.cf", c.master)
		found := s.examine(nil)
		if got := codesOf(found); got != c.codes {
			t.Errorf("%s: %s, want %s\n%+v", c.name, got, c.codes, found)
		}
		s.mend(found)
		if got := codesOf(s.examine(nil)); got != c.mended {
			t.Errorf("%s: mended as far as commands can: %s, want %s", c.name, got, c.mended)
		}
		s.restore("main.cf", main)
		s.restore("master.cf", services)
	}
	s.appendTo("main.cf", "not a setting\n")
	found := s.examine(nil)
	if codesOf(found) != "doctor.map.content doctor.unseen doctor.mta.none" && codesOf(found) != "doctor.unseen doctor.mta.none" || !strings.Contains(fmt.Sprint(found), "missing '='") {
		t.Errorf("a Postfix that cannot read its main.cf: %+v", found)
	}
}

func (s server) file(name string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.postfix.Config, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

func (s server) restore(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.postfix.Config, name), data, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// mend runs the command of each finding that is one of postconf alone.
func (s server) mend(found []doctor.Finding) {
	s.t.Helper()
	for _, f := range found {
		command, ok := strings.CutSuffix(f.Fix, " && postfix reload")
		if !ok || !strings.HasPrefix(command, "postconf ") {
			continue
		}
		if out, err := exec.CommandContext(s.t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			s.t.Errorf("%s: %v: %s", command, err, out)
		}
	}
}

// What lies on the disk: a table that is gone or not as it should be, and what is in the way in the state folder.
func TestDoctorLooksAtFiles(t *testing.T) {
	s := joined(t)
	state, table := filepath.Join(s.dir, "var"), filepath.Join(s.dir, "var", defaultTable)
	shell := func(command string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", "cd "+state+"; "+command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	type fault struct{ name, break_, mend, codes string }
	faults := []fault{
		{"compiled form", "rm " + table + ".cdb", "", "doctor.map.missing doctor.map.content"},
		{"spoilt compiled form", "printf x >> " + table + ".cdb", "", "doctor.map.content"},
		{"old compiled form", "touch -d 2020-01-01 " + table + ".cdb", "", ""}, // what is in it counts
		{"text", "echo '# mine' >> " + table, "", "doctor.map.content"},
		{"folder", "chmod 1777 .", "chmod 755 .", ""}, // sticky: others may not replace what is there
		{"open folder", "chmod 777 .", "chmod 755 .", "doctor.map.writable doctor.state.writable"},
		{"open file", "chmod 666 update.json", "chmod 644 update.json", "doctor.state.writable"},
		{"left", "touch -d 2020-01-01 example/.tmp-x", "rm example/.tmp-x", "doctor.state.left"},
		{"at work", "touch -d 2026-03-01T12:30:00Z example/.tmp-x", "rm example/.tmp-x", ""},
		{"damaged", "echo x >> example/policy.json", "", "doctor.list.damaged"},
		{"failed update", `sed -i 's/"exit": 0/"error": "no space", "exit": 1/' update.json`, "", "doctor.update.failed"},
		{"no update", "rm update.json", "", "doctor.update.never"},
	}
	if os.Getuid() == 0 {
		faults = append(faults, fault{"owner", "chown 65534 update.json", "chown 0 update.json", "doctor.state.owner"})
	}
	for _, f := range faults {
		shell(f.break_)
		if found := s.examine(nil); codesOf(found) != f.codes {
			t.Errorf("%s: %s, want %s\n%+v", f.name, codesOf(found), f.codes, found)
		}
		if f.mend != "" {
			shell(f.mend)
		} else if code, out, complaint := s.run("update"); code != 0 {
			t.Fatalf("%s: update: exit %d: %s%s", f.name, code, out, complaint)
		}
		if got := codesOf(s.examine(nil)); got != "" {
			t.Fatalf("after %s: %s", f.name, got)
		}
	}
}

// A chrooted smtp has the resolver of its own folder.
func TestDoctorComparesResolvers(t *testing.T) {
	s := joined(t)
	queue := filepath.Join(s.postfix.Config, "queue/etc")
	if err := os.MkdirAll(queue, 0o755); err != nil {
		t.Fatal(err)
	}
	s.put("resolv.conf", "# ours\nnameserver 127.0.0.1\n")
	for text, want := range map[string]string{"": "doctor.resolver.chroot", "nameserver 127.0.0.1\noptions edns0\n": "", "nameserver 192.0.2.1\n": "doctor.resolver.chroot"} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(queue, "resolv.conf"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := codesOf(s.examine(nil)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		os.Remove(filepath.Join(queue, "resolv.conf"))
	}
}

// Where systemd runs the machine, something of ours has to be started by it.
func TestDoctorLooksAtUnits(t *testing.T) {
	s := joined(t)
	for answers, want := range map[string]string{
		"active\ninactive\ninactive\ninactive":   "",
		"inactive\nactive\nactive\ninactive":     "",
		"inactive\ninactive\ninactive\nfailed":   "doctor.update.unit",
		"inactive\ninactive\ninactive\ninactive": "doctor.update.unit",
		"":                                       "doctor.update.unit",
	} {
		script := "#!/bin/sh\n[ \"$*\" = 'is-active starttls-policy-update.timer starttls-policy.socket starttls-policy.service starttls-policy.timer' ] && echo '" + answers + "'\nexit 3\n"
		if err := os.WriteFile(filepath.Join(s.dir, "bin/systemctl"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := codesOf(s.examine(func(l *look) { l.systemd = s.dir })); got != want {
			t.Errorf("%q: %q, want %q", answers, got, want)
		}
	}
}
