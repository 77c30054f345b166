package postfix

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

var update = flag.Bool("update", false, "write the golden files")

// reported are destinations of every kind, each with many recipients.
var reported = []destination{
	{domain: "good.example", mode: "enforce", mxs: []string{"mx.good.example"}, hosts: []host{{"mx.good.example", lab.Good}}, want: "Verified"},
	{domain: "suffix.example", mode: "enforce", mxs: []string{".mail.suffix.example"}, hosts: []host{{"a.mail.suffix.example", lab.Good}}, want: "Verified"},
	{domain: "free.example", hosts: []host{{"mx.free.example", lab.Good}}, want: "Trusted"},
	{domain: "trial.example", mode: "testing", mxs: []string{"mx.other.example"}, hosts: []host{{"mx.trial.example", lab.Good}}, want: "Trusted"},
	{domain: "bare.example", mode: "testing", mxs: []string{"mx.bare.example"}, hosts: []host{{"mx.bare.example", lab.NoStartTLS}}, want: "clear"},
	{domain: "forged.example", mode: "enforce", mxs: []string{"mx.forged.example"}, hosts: []host{{"mx.thief.example", lab.Good}}, want: notNamed},
	{domain: "stripped.example", mode: "enforce", mxs: []string{"mx.stripped.example"}, hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered},
	{domain: "old.example", mode: "enforce", mxs: []string{"mx.old.example"}, hosts: []host{{"mx.old.example", lab.TLS11Only}}, want: noHandshake},
	{domain: "wrong.example", mode: "enforce", mxs: []string{"mx.wrong.example"}, hosts: []host{{"mx.wrong.example", lab.WrongName}}, want: notVerified},
	{domain: "expired.example", mode: "enforce", mxs: []string{"mx.expired.example"}, hosts: []host{{"mx.expired.example", lab.Expired}}, want: notVerified},
	{domain: "selfsigned.example", mode: "enforce", mxs: []string{"mx.selfsigned.example"}, hosts: []host{{"mx.selfsigned.example", lab.SelfSigned}}, want: notVerified},
}

// unreported are those of which Postfix 3.10 tells nobody: where no policy asks for TLS a server without it is no failure, and
// where no MX host is one that the policy names there is no session.
var unreported = map[string]bool{"bare.example": true, "forged.example": true}

const (
	// recipients of each domain: comfortably within the bucket of 20, whatever is lost on a loaded machine.
	recipients = 32
	// Every recipient has a session of its own, and a destination that fails is tried for each.
	reporting = `smtp_tlsrpt_enable = yes
smtp_tlsrpt_socket_name = tlsrpt/socket
smtp_destination_recipient_limit = 1
smtp_destination_concurrency_failed_cohort_limit = 0
smtp_connection_cache_on_demand = no
`
	spoolOfReports = "/var/spool/tlsrpt"
)

// TestFeedback: Postfix 3.10 delivers by our policies to hosts good and broken, and tells a collector through libtlsrpt. What
// "feedback --dry-run" makes of the collector's files is the golden document; what it makes of the same Postfix's log is another,
// whose differences stand in its own file.
func TestFeedback(t *testing.T) {
	t.Parallel()
	for name, join := range map[string]func(*server, string) string{
		"table": func(s *server, fragment string) string { return s.join(fragment) },
		"daemon": func(s *server, fragment string) string {
			place := places["3.10"]
			lines := s.joinDaemon(fragment, place.listen)
			s.hold(place.listen).activate(mtatest.Program)
			return lines
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, versions[1])
			s.settle(reported)
			for _, d := range reported {
				s.must(s.lab.AddRecord(fmt.Sprintf(`_smtp._tls.%s. 60 IN TXT "v=TLSRPTv1; rua=mailto:tls@%[1]s"`, d.domain)))
			}
			c := s.collect("tlsrpt/socket")
			s.StartPostfix(join(s, fragment(reported)) + reporting)
			day := tlsrpt.DayOf(time.Now())
			s.deliverMany()
			for _, d := range reported {
				switch n := c.sessions(d.domain); {
				case unreported[d.domain] && n > 0:
					t.Errorf("%s: %d reports; this Postfix has learnt to tell of it", d.domain, n)
				case !unreported[d.domain] && (n < recipients*2/3 || n > recipients):
					t.Errorf("%s: %d reports of %d sessions", d.domain, n, recipients)
				}
			}
			c.report(spoolOfReports, day)
			s.Write(configuration, s.Read(configuration)+"\n[testing]\nlog = \""+mtatest.PostfixLog+"\"\n"+
				"\n[feedback]\nurl = \"https://list.example/feedback/v1\"\ncontributor = \"sender.example\"\nsource = \"spool\"\nspool = \""+spoolOfReports+"\"\n", 0o644)
			s.Output(mtatest.Program, "feedback", "key")
			s.tells("feedback.golden", day)
			s.Write(configuration, strings.Replace(s.Read(configuration), "source = \"spool\"\nspool = \""+spoolOfReports+"\"\n", "source = \"log\"\n", 1), 0o644)
			if now := tlsrpt.DayOf(time.Now()); now != day {
				t.Skip("the day ended meanwhile, and the log's deliveries are of two")
			}
			s.tells("feedback-log.golden", day)
		})
	}
}

const configuration = "/etc/starttls-policy/config.toml"

// deliverMany sends one message to many recipients of each domain, and waits for what becomes of each.
func (s *server) deliverMany() {
	s.t.Helper()
	var all []string
	for _, d := range reported {
		for i := range recipients {
			all = append(all, fmt.Sprintf("u%d@%s", i, d.domain))
		}
	}
	cmd := s.Command(s.t.Context(), "/usr/sbin/sendmail", append([]string{"-f", "sender@sender.example", "--"}, all...)...)
	cmd.Stdin = strings.NewReader("Subject: all\n\nfor all\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("sendmail: %v: %s", err, out)
	}
	got := s.results(0, all...)
	for _, d := range reported {
		for i := range recipients {
			r := got[fmt.Sprintf("u%d@%s", i, d.domain)]
			if delivered(d.want) != (r.status == "sent") {
				s.t.Errorf("%s: %+v, want %s", d.domain, r, d.want)
			}
		}
	}
}

// tells compares what would be sent, without what is random, with a golden file, of which lines that begin with "#" are for
// people.
func (s *server) tells(golden string, day tlsrpt.Day) {
	s.t.Helper()
	out := s.Output(mtatest.Program, "feedback", "--dry-run", "--day", day.String())
	head, body, found := strings.Cut(out, "\r\n\r\n")
	if !found || len(body)%tlsrpt.PadTo != 0 {
		s.t.Fatalf("no request:\n%s", out)
	}
	if _, err := tlsrpt.ValidateContribution([]byte(body)); err != nil {
		s.t.Error(err)
	}
	head = regexp.MustCompile(`(?m)^(Policylist-Signature: ).*$`).ReplaceAllString(strings.ReplaceAll(head, "\r", ""), "${1}SIGNATURE")
	body = regexp.MustCompile(`("report-id":")[0-9a-f]{32}`).ReplaceAllString(strings.TrimRight(body, " "), "${1}ID")
	body = strings.ReplaceAll(body, day.String(), "DAY")
	got := head + "\n\n" + strings.NewReplacer(`[{"failure-details"`, "[\n"+`{"failure-details"`, `},{"failure-details"`, "},\n"+`{"failure-details"`, `}],"report-id"`, "}\n"+`],"report-id"`).Replace(body) + "\n"
	path := filepath.Join("testdata", golden)
	text, err := os.ReadFile(path)
	var comment strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			comment.WriteString(line)
		}
	}
	if *update {
		s.must(os.MkdirAll("testdata", 0o755))
		s.must(os.WriteFile(path, []byte(comment.String()+got), 0o644))
		return
	}
	if s.must(err); string(text) != comment.String()+got {
		s.t.Errorf("%s has\n%s\ngot\n%s", golden, text, got)
	}
}
