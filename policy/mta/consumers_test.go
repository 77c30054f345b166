package mta

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// put writes a file below dir and returns its path.
func put(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func format(t testing.TB, name string) Format {
	t.Helper()
	f, ok := FindFormat(name)
	if !ok {
		t.Fatalf("no format %s", name)
	}
	return f
}

// mxCases are what a server that compares names has to say about the MX hosts of example's domains.
var mxCases = []struct {
	domain, mx string
	allowed    bool
}{
	{"exact.example", "mx1.exact.example", true},
	{"exact.example", "mx2.exact.example", true},
	{"exact.example", "x.mx1.exact.example", false},
	{"exact.example", "exact.example", false},
	{"exact.example", "mx1.evil.example", false},
	{"star.example", "mx.star.example", true},
	{"star.example", "good.mx.star.example", false}, // one label
	{"star.example", "star.example", false},
	{"star.example", "xstar.example", false},
	{"mixed.example", "mx.mixed.example", true},
	{"mixed.example", "a.mail.mixed.example", true},
	{"mixed.example", "mail.mixed.example", false},
}

// The cases are what the list itself says.
func TestMXCases(t *testing.T) {
	for _, c := range mxCases {
		p, ok := example(t).Lookup(domain(t, c.domain))
		if !ok || p.Allows(domain(t, c.mx)) != c.allowed {
			t.Errorf("%+v", c)
		}
	}
}

// Exim takes the settings as they are, finds our entries, and its event refuses exactly the hosts that the list does
// not have. A mistyped option is refused, so the check can fail.
func TestEximReadsOurCDB(t *testing.T) {
	tree, dir, f := tool.Tree(t, "exim"), t.TempDir(), format(t, "exim")
	data, _ := file(t, f, example(t))
	path := put(t, dir, f.File, string(data))
	macros, rest, ok := strings.Cut(f.Settings(path), "\n\n")
	router, transport, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatal("the settings are not of three parts")
	}
	text := macros + "\nprimary_hostname = mail.example\ndomainlist local_domains = mail.example\nspool_directory = " + dir +
		"\nbegin routers\n" + router + "\nbegin transports\n" + transport
	config := put(t, dir, "exim.conf", text)
	exim := func(args ...string) (string, error) {
		out, err := tool.Command(t.Context(), t, tree, "usr/sbin/exim4", append([]string{"-C", config}, args...)...).CombinedOutput()
		return string(out), err
	}
	out, err := exim("-bV")
	if err != nil || !strings.Contains(out, "cdb") || !strings.Contains(out, "Event") || strings.Contains(out, "rror") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exim("-bP", "router", "starttls_policy"); err != nil || !strings.Contains(out, "transport = starttls_policy_smtp") {
		t.Errorf("%v\n%s", err, out)
	}
	action := regexp.MustCompile(`(?s)event_action = (.*)$`).FindStringSubmatch(transport)
	if action == nil {
		t.Fatal("the settings have no event_action")
	}
	expression := strings.NewReplacer("\\\n", "", "STARTTLS_POLICY", path, "$event_name", "tcp:connect").Replace(strings.TrimSpace(action[1]))
	var ask []string
	for _, c := range mxCases {
		ask = append(ask, strings.NewReplacer("$host", c.mx, "$domain", c.domain).Replace(expression))
	}
	for d := range example(t).All() {
		ask = append(ask, fmt.Sprintf("${lookup{%s}cdb{%s}{$value}{none}}", d, path))
	}
	cmd := tool.Command(t.Context(), t, tree, "usr/sbin/exim4", "-C", config, "-be")
	cmd.Stdin = strings.NewReader(strings.Join(ask, "\n") + "\n")
	answers := strings.Split(strings.ReplaceAll(output(t, cmd), "> ", ""), "\n")
	if len(answers) < len(ask) {
		t.Fatalf("%d answers to %d questions: %q", len(answers), len(ask), answers)
	}
	for i, c := range mxCases {
		want := ""
		if !c.allowed {
			want = "the policy list of " + c.domain + " has no " + c.mx
		}
		if answers[i] != want {
			t.Errorf("%s for %s: %q, want %q", c.mx, c.domain, answers[i], want)
		}
	}
	entries, i := read(t, f, data), len(mxCases)
	for d := range example(t).All() {
		want, ok := entries[d.String()]
		if !ok {
			want = "none"
		}
		if answers[i] != want {
			t.Errorf("%s: %q, want %q", d, answers[i], want)
		}
		i++
	}
	put(t, dir, "exim.conf", strings.Replace(text, "hosts_require_tls", "hosts_required_tls", 1))
	if out, err := exim("-bV"); err == nil && !strings.Contains(out, "rror") {
		t.Errorf("a mistyped option passes:\n%s", out)
	}
}

// OpenSMTPD's own checker takes the settings with our table, also when it is empty, and refuses a table that is not there.
func TestOpenSMTPDTakesOurTable(t *testing.T) {
	tree, dir, f := tool.Tree(t, "opensmtpd"), t.TempDir(), format(t, "opensmtpd")
	data, _ := file(t, f, example(t))
	table := put(t, dir, f.File, string(data))
	config := put(t, dir, "smtpd.conf", f.Settings(table)+"action \"outbound\" relay\nmatch from local for any action \"outbound\"\n")
	check := func() (string, error) {
		out, err := tool.Command(t.Context(), t, tree, "usr/sbin/smtpd", "-n", "-f", config).CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || !strings.Contains(out, "configuration OK") {
		t.Errorf("%v\n%s", err, out)
	}
	var expired Buffer
	if err := f.Empty(&expired, header, Expired); err != nil {
		t.Fatal(err)
	}
	put(t, dir, f.File, string(expired.Bytes()))
	if out, err := check(); err != nil {
		t.Errorf("with an empty table: %v\n%s", err, out)
	}
	if err := os.Remove(table); err != nil {
		t.Fatal(err)
	}
	if out, err := check(); err == nil {
		t.Errorf("without the table it is content:\n%s", out)
	}
}

// sendmail is its program, from an unpacked package, with a folder for files.
type sendmail struct {
	t             *testing.T
	tree, m4, dir string
}

// makemap makes a map and returns its path, without the suffix.
func (s *sendmail) makemap(name string, data []byte) string {
	s.t.Helper()
	path := put(s.t, s.dir, name, string(data))
	cmd := tool.Command(s.t.Context(), s.t, s.tree, "usr/libexec/sendmail/makemap", "-C", put(s.t, s.dir, "empty.cf", ""), "hash", path)
	cmd.Stdin = strings.NewReader(string(data))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("makemap: %v\n%s", err, out)
	}
	return path
}

// configure makes a configuration as its administrator would; test folders are not as safe as sendmail likes them.
func (s *sendmail) configure(name, mc string) (path string) {
	s.t.Helper()
	cf := s.tree + "/usr/share/sendmail/cf/"
	source := put(s.t, s.dir, name+".mc", "OSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME', `mail.example')dnl\n"+
		"define(`confDONT_PROBE_INTERFACES', `true')dnl\ndefine(`confDONT_BLAME_SENDMAIL', `MapInUnsafeDirPath')dnl\n"+
		mc+"MAILER(`local')dnl\nMAILER(`smtp')dnl\n")
	return put(s.t, s.dir, name+".cf", output(s.t, exec.CommandContext(s.t.Context(), s.m4, "-D_CF_DIR_="+cf, cf+"m4/cf.m4", source)))
}

// asked is a delivery: ${verify}, the certificate's name, the MX host, the recipient.
type asked struct{ verify, cert, mx, rcpt string }

// decide tells for each question whether both rulesets let the mail go.
func (s *sendmail) decide(cf string, questions []asked) (verdicts []bool) {
	s.t.Helper()
	var in strings.Builder
	for _, q := range questions {
		fmt.Fprintf(&in, ".D{verify}%s\n.D{cipher_bits}256\n.D{cn_subject}\n.C{cert_altnames}%s\n.D{server_name}%s\n.D{rcpt_addr}%s\ntls_server %s\ntls_rcpt %[4]s\n",
			q.verify, q.cert, q.mx, q.rcpt, q.verify)
	}
	cmd := tool.Command(s.t.Context(), s.t, s.tree, "usr/libexec/sendmail/sendmail", "-C", cf, "-bt")
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	answers := regexp.MustCompile(`(?m)^(?:> )?tls_(server|rcpt) +returns: (.*)$`).FindAllStringSubmatch(string(out), -1)
	if len(answers) != 2*len(questions) {
		s.t.Fatalf("%d answers to %d questions:\n%s", len(answers), len(questions), out)
	}
	for i := 0; i < len(answers); i += 2 {
		ok := true
		for _, a := range answers[i : i+2] {
			ok = ok && !strings.HasPrefix(strings.TrimSpace(a[2]), "$# error")
			if strings.Contains(a[2], "error") && !strings.Contains(a[2], "$@ 4 .") {
				s.t.Errorf("%+v would bounce: %s", questions[i/2], a[2])
			}
		}
		verdicts = append(verdicts, ok)
	}
	return verdicts
}

// sendmail, in its test mode, decides with our files as the settings have it: about names with FEATURE(`sts'), about chain
// and certificate with the access database. What the second lets pass is what the help says of it.
func TestSendmailDecidesByOurFiles(t *testing.T) {
	s := &sendmail{t, tool.Tree(t, "sendmail"), tool.Path(t, "m4"), t.TempDir()}
	stsFormat, accessFormat := format(t, "sendmail-sts"), format(t, "sendmail")
	data, _ := file(t, stsFormat, example(t))
	sts := s.configure("sts", stsFormat.Settings(s.makemap(stsFormat.File, data)))
	data, _ = file(t, accessFormat, example(t))
	access := s.configure("access", strings.ReplaceAll(accessFormat.Settings("x"), "/etc/mail/access", s.makemap("access", data)))
	var questions []asked
	var want []bool
	for i, c := range mxCases {
		questions, want = append(questions, asked{"OK", c.mx, c.mx, fmt.Sprintf("u%d@%s", i, c.domain)}), append(want, c.allowed)
	}
	for _, q := range []struct {
		asked
		ok bool
	}{
		{asked{"FAIL", "mx1.exact.example", "mx1.exact.example", "u@exact.example"}, false},
		{asked{"NONE", "mx1.exact.example", "mx1.exact.example", "u@exact.example"}, false},
		{asked{"NONE", "mx1.exact.example", "mx1.exact.example", "u@hosted-b.example"}, true}, // testing
		{asked{"NONE", "mx1.exact.example", "mx1.exact.example", "u@unlisted.example"}, true},
		{asked{"NONE", "mx1.exact.example", "mx1.exact.example", "u@below.exact.example"}, true},
		{asked{"OK", "other.example", "aspmx.l.provider.example", "u@hosted-a.example"}, false},
	} {
		questions, want = append(questions, q.asked), append(want, q.ok)
	}
	for i, ok := range s.decide(sts, questions) {
		if ok != want[i] {
			t.Errorf("sts: %+v: may go: %t", questions[i], ok)
		}
	}
	for i, ok := range s.decide(access, questions) {
		expect := want[i]
		switch q := questions[i]; {
		case q.verify == "OK" && q.cert == q.mx:
			expect = true // whatever the host's name
		case q.rcpt == "u@below.exact.example":
			expect = false // below a listed name
		}
		if ok != expect {
			t.Errorf("access: %+v: may go: %t", questions[i], ok)
		}
	}
}
