package lab_test

import (
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// TestWhatGoesOutInClearIsHeard: a client without a policy goes on in clear where STARTTLS is missing, and encrypts where
// it is there; the lab tells one from the other.
func TestWhatGoesOutInClearIsHeard(t *testing.T) {
	l := start(t)
	for behaviour, encrypted := range map[lab.Behaviour]bool{lab.Good: true, lab.Stripped: false, lab.EarlyTrap: true} {
		name := "mx" + string(behaviour) + ".a.example"
		must(t, l.AddHost(lab.Host{Name: name, Behaviour: behaviour}))
		addrs, err := l.Addresses(name)
		must(t, err)
		c, err := smtp.Dial(addrs[0].String())
		must(t, err)
		if encrypted {
			must(t, c.StartTLS(clientTLS(l, name)))
		}
		must(t, c.Mail("sender@b.example"))
		must(t, c.Rcpt("someone@a.example"))
		w, err := c.Data()
		must(t, err)
		_, err = w.Write([]byte("Subject: hello\r\n\r\n.hello\r\n"))
		must(t, err)
		must(t, w.Close())
		must(t, c.Quit())
		heard, err := l.Heard(name)
		must(t, err)
		want := []lab.Command{{Verb: "MAIL", Address: "sender@b.example", TLS: encrypted},
			{Verb: "RCPT", Address: "someone@a.example", TLS: encrypted}, {Verb: "DATA", TLS: encrypted}}
		if !slices.Equal(heard, want) {
			t.Errorf("%q: heard %+v", behaviour, heard)
		}
		mail, err := l.Mail(name)
		must(t, err)
		if len(mail) != 1 || mail[0].TLS != encrypted || mail[0].From != "sender@b.example" || !strings.Contains(string(mail[0].Data), "hello") {
			t.Errorf("%q: mailbox %+v", behaviour, mail)
		}
	}
	if _, err := l.Heard("unknown.example"); err == nil {
		t.Error("a host that was never added is known")
	}
}
