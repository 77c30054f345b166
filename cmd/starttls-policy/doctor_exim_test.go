package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// A real Exim with the settings that export prints is fine; one that leaves parts of them out is not.
func TestDoctorWithExim(t *testing.T) {
	tree := tool.Tree(t, "exim")
	s := server{t: t, dir: t.TempDir()}
	config := filepath.Join(s.dir, "exim.conf")
	cmd := tool.Command(t.Context(), t, tree, "usr/sbin/exim4", "-C", config)
	script := "#!/bin/sh\nexec '" + strings.Join(cmd.Args, "' '") + "' \"$@\"\n"
	s.put("bin/exim4", script)
	if err := os.Chmod(filepath.Join(s.dir, "bin/exim4"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	var err error
	s.fingerprint, err = publish(t.Context(), filepath.Join(s.dir, "operator"), filepath.Join(s.dir, "public"), "2026-03-01T12:00:00Z", []byte(transcriptEntries))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := s.join("--mta", "exim")
	parts := strings.SplitN(r.Settings, "\n\n", 3)
	if len(parts) != 3 {
		t.Fatalf("settings:\n%s", r.Settings)
	}
	const others = "\nothers:\n  driver = dnslookup\n  domains = ! +local_domains\n  transport = remote\n"
	write := func(routers, transports string) {
		s.put("exim.conf", parts[0]+"\nprimary_hostname = mail.example\ndomainlist local_domains = mail.example\nspool_directory = "+s.dir+
			"\nlog_file_path = "+s.dir+"/%slog\nkeep_environment =\nbegin routers\n"+routers+"\nbegin transports\n"+transports+"\nremote:\n  driver = smtp\n")
	}
	for _, c := range []struct{ name, routers, transports, codes, says string }{
		{"as printed", parts[1] + others, parts[2], "", ""},
		{"without the router", others, parts[2], "doctor.exim.unused", "exim-tls-policy.cdb"},
		{"behind another", others + parts[1], parts[2], "doctor.exim.router", "move the router starttls_policy in front of others"},
		{"without TLS", parts[1] + others, strings.Replace(parts[2], "  hosts_require_tls = *\n", "", 1), "doctor.exim.transport", "hosts_require_tls = "},
		{"without names", parts[1] + others, strings.Replace(parts[2], "  event_action", "  headers_add", 1), "doctor.exim.transport", "event_action"},
		{"many domains", parts[1] + others, strings.Replace(parts[2], "  multi_domain = false\n", "", 1), "doctor.exim.transport", "several domains"},
		{"nonsense", "x:\n", parts[2], "doctor.exim.unseen", "-bV"},
	} {
		write(c.routers, c.transports)
		// Whatever this machine has beside Exim is none of this test's business.
		found := slices.DeleteFunc(s.examine(nil), func(f doctor.Finding) bool { return !strings.HasPrefix(f.Code, "doctor.exim.") })
		if got := codesOf(found); got != c.codes || c.codes != "" && !strings.Contains(found[0].Found+found[0].Fix, c.says) {
			t.Errorf("%s: %s, want %s\n%+v", c.name, got, c.codes, found)
		}
	}
	write(parts[1]+others, parts[2])
	if _, out, _ := s.run("doctor", "--offline"); !strings.Contains(out, "Exim 4.96") || strings.Contains(out, "doctor.exim.") {
		t.Error(out)
	}
}
