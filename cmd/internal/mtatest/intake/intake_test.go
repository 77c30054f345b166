package intake

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/lab/sender"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func TestMain(m *testing.M) { os.Exit(mtatest.Run(m)) }

const (
	program  = "/usr/bin/starttls-list"
	settings = "/etc/policylist/tlsrpt.toml"
	address  = "reports@operator.example"
	userID   = 64321 // of policylist-tlsrpt
)

// operator is a machine with a mail server and a store of reports, in which a.example has enrolled.
type operator struct {
	*mtatest.Machine
	t      *testing.T
	lab    *lab.Lab
	sender *sender.Sender
	domain policy.Domain
}

// TestPipes lets each mail server pipe reports in, with one build of the program.
func TestPipes(t *testing.T) {
	built := filepath.Join(t.TempDir(), "starttls-list")
	// As cmd/starttls-list's own tests build it, so that it is compiled once.
	build := exec.Command("go", "build", "-buildvcs=false", "-o", built, "github.com/starttls-everywhere/policylist/cmd/starttls-list")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("Postfix", func(t *testing.T) { postfix(t, newOperator(t, "postfix", built)) })
	t.Run("Exim", func(t *testing.T) { exim(t, newOperator(t, "exim", built)) })
}

func newOperator(t *testing.T, tree, built string) *operator {
	t.Helper()
	l := mtatest.NewLab(t)
	o := &operator{Machine: mtatest.NewMachine(t, l, "/", tree), t: t, lab: l}
	o.Write(program, "", 0o755)
	o.Share(built, program)
	o.Write("/etc/passwd", o.Read("/etc/passwd")+"policylist-tlsrpt:x:64321:64321::/nonexistent:/usr/sbin/nologin\n", 0o644)
	o.Write("/etc/group", o.Read("/etc/group")+"policylist-tlsrpt:x:64321:\n", 0o644)
	o.configure()
	o.Output("/bin/sh", "-ec", "install -d -o policylist-tlsrpt -m 700 /var/lib/policylist-tlsrpt")
	var err error
	if o.domain, err = policy.ParseDomain("a.example"); err != nil {
		t.Fatal(err)
	}
	if o.sender, err = sender.New(l, "sender.test"); err != nil {
		t.Fatal(err)
	}
	o.enrol()
	return o
}

// configure writes the configuration.
func (o *operator) configure() {
	o.Write(settings, "[probe]\nresolver = \""+o.lab.Resolver().String()+"\"\n[tlsrpt]\nstate = \"/var/lib/policylist-tlsrpt/store\"\nhost = \"reports.operator.example\"\n", 0o644)
}

// tlsrpt runs the program as the store's user.
func (o *operator) tlsrpt(args ...string) []byte {
	o.t.Helper()
	cmd := o.Command(o.t.Context(), program, append(append([]string{"tlsrpt"}, args...), "--json", "--config", settings)...)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: userID, Gid: userID}
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (o *operator) enrol() {
	o.t.Helper()
	for _, want := range []string{"waiting", "enrolled"} {
		var e struct{ State, URI string }
		if err := json.Unmarshal(o.tlsrpt("enrol", "a.example"), &e); err != nil || e.State != want {
			o.t.Fatalf("%+v, %v", e, err)
		}
		if want == "waiting" {
			if err := o.lab.AddRecord(`_smtp._tls.a.example. 60 IN TXT "v=TLSRPTv1; rua=` + e.URI + `"`); err != nil {
				o.t.Fatal(err)
			}
		}
	}
}

// mail is a signed mail with a report of yesterday, as a program hands it to its mail server.
func (o *operator) mail(id string) string {
	o.t.Helper()
	day := tlsrpt.DayOf(time.Now()) - 1
	r := &tlsrpt.Report{Organization: "Sender", Contact: "tls@sender.test", ID: id, Begin: day.Begin(), End: day.End(),
		Policies: []tlsrpt.Policy{{Type: tlsrpt.STS, Domain: o.domain, Successful: 7}}}
	text, err := o.sender.Mail(r, o.domain, address)
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// status is what the store has: sessions of authenticated reporters, and what could not be read.
func (o *operator) status() (sessions, unreadable int64) {
	o.t.Helper()
	var s struct {
		Days   []struct{ Sessions int64 }
		Counts map[string]int64
	}
	if err := json.Unmarshal(o.tlsrpt("status"), &s); err != nil {
		o.t.Fatal(err)
	}
	for _, d := range s.Days {
		sessions += d.Sessions
	}
	return sessions, s.Counts["unreadable"]
}

// block is the block of README.md that begins with a line, without its fences.
func block(t *testing.T, begin string, nth int) string {
	t.Helper()
	text, err := os.ReadFile("../../../../pipeline/tlsrpt/README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(text), "```\n"+begin)
	if len(all) <= nth {
		t.Fatalf("README.md has no block %d that begins with %q", nth, begin)
	}
	rest, _, _ := strings.Cut(all[nth], "\n```")
	return begin + rest + "\n"
}

// postfix pipes reports in; what cannot be taken now waits in its queue, and what is no report is gone without a bounce.
func postfix(t *testing.T, o *operator) {
	o.SetUpPostfix()
	o.Write("/etc/postfix/master.cf", o.Read("/etc/postfix/master.cf")+block(t, "tlsrpt    unix", 1), 0o644)
	o.Write("/etc/postfix/transport", address+" tlsrpt:\n", 0o644)
	o.Output("/usr/sbin/postmap", "hash:/etc/postfix/transport")
	o.StartPostfix(block(t, "transport_maps", 1))
	logged := func(what string) bool {
		return o.Until(func() bool { return strings.Contains(o.Read(mtatest.PostfixLog), what) })
	}
	o.SendMail(address, o.mail("1"))
	if !o.Until(func() bool { n, _ := o.status(); return n == 7 }) {
		t.Fatal("the report does not count")
	}
	o.SendMail(address, "From: shop@other.example\nSubject: buy\n\nhello\n")
	if !o.Until(func() bool { _, n := o.status(); return n == 1 }) {
		t.Error("what is no report was not taken")
	}
	o.Write(settings, "broken\n", 0o644)
	o.SendMail(address, o.mail("2"))
	if !logged("status=deferred") {
		t.Fatal("with a broken configuration the report is not deferred")
	}
	o.configure()
	o.Output("/usr/sbin/postqueue", "-f")
	if !o.Until(func() bool { n, _ := o.status(); return n == 14 }) {
		t.Error("the report that waited is lost")
	}
	if log := o.Read(mtatest.PostfixLog); strings.Contains(log, "status=bounced") || strings.Contains(log, "non-delivery notification") {
		t.Error("something bounced")
	}
}

// exim does the same.
func exim(t *testing.T, o *operator) {
	o.Output("/bin/sh", "-ec", "chmod u+s /usr/sbin/exim4 && mkdir -p /var/log/exim4 /var/spool/exim4 && chown -R Debian-exim: /var/log/exim4 /var/spool/exim4")
	o.Write("/etc/exim4/exim4.conf", "primary_hostname = mail.operator.example\ndisable_ipv6 = true\nlog_file_path = /var/log/exim4/%slog\n"+
		"begin routers\n"+block(t, "tlsrpt:", 1)+"begin transports\n"+block(t, "tlsrpt:", 2)+"begin retry\n* * F,2h,15m\n", 0o644)
	send := func(text string) {
		t.Helper()
		cmd := o.Command(t.Context(), "/usr/sbin/exim4", "-odf", "-f", "tls@sender.test", address)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("exim: %v\n%s", err, out)
		}
	}
	send(o.mail("1"))
	if n, _ := o.status(); n != 7 {
		t.Fatalf("%d sessions count\n%s", n, o.Read("/var/log/exim4/mainlog"))
	}
	send("From: shop@other.example\nSubject: buy\n\nhello\n")
	if _, n := o.status(); n != 1 {
		t.Error("what is no report was not taken")
	}
	o.Write(settings, "broken\n", 0o644)
	send(o.mail("2"))
	if n := strings.TrimSpace(o.Output("/usr/sbin/exim4", "-bpc")); n != "1" {
		t.Errorf("with a broken configuration %s mails wait", n)
	}
	o.configure()
	o.Output("/usr/sbin/exim4", "-qff")
	if n, _ := o.status(); n != 14 {
		t.Errorf("%d sessions count", n)
	}
	log := o.Read("/var/log/exim4/mainlog")
	if strings.Contains(log, " ** ") || strings.TrimSpace(o.Output("/usr/sbin/exim4", "-bpc")) != "0" {
		t.Errorf("something bounced, or waits:\n%s", log)
	}
}
