package tlsrpt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/lab/sender"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// mailDomains are the lab's: how their servers treat a sender, and what a report says of five messages then.
var mailDomains = []struct {
	name      string
	behaviour lab.Behaviour
	mode      string // of MTA-STS; "" for none
	mx        string // in the MTA-STS policy; "" for the host
	want      string
}{
	{"good.example", lab.Good, "enforce", "", "sts 5/0"},
	{"plain.example", lab.Good, "", "", "no-policy-found 5/0"},
	{"expired.example", lab.Expired, "enforce", "", "sts 0/5 certificate-expired 5"},
	{"testing.example", lab.Expired, "testing", "", "sts 0/5 certificate-expired 5"},
	{"name.example", lab.WrongName, "enforce", "", "sts 0/5 certificate-host-mismatch 5"},
	{"unknown.example", lab.UnknownCA, "enforce", "", "sts 0/5 certificate-not-trusted 5"},
	{"stripped.example", lab.Stripped, "enforce", "", "sts 0/5 starttls-not-supported 5"},
	{"bare.example", lab.NoStartTLS, "", "", "no-policy-found 0/5 starttls-not-supported 5"},
	{"careless.example", lab.Expired, "", "", "no-policy-found 5/0"}, // nobody looks at the certificate
	{"fetch.example", lab.Good, "broken", "", "sts 0/5 sts-policy-fetch-error 5"},
	{"foreign.example", lab.Good, "enforce", "mx.elsewhere.example", "sts 0/5 validation-failure 5"},
}

// What the lab's sender did with the lab's hosts comes out of the store, by both ways: mail that is signed counts, a POST is shown.
func TestLabReports(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.startLab()
	s, err := sender.New(w.lab, "sender.test")
	if err != nil {
		t.Fatal(err)
	}
	operator := lab.Domain{Name: "operator.test", MX: []string{"mx.operator.test"}}
	if err := errors.Join(w.lab.AddHost(lab.Host{Name: "mx.operator.test"}), w.lab.AddDomain(operator)); err != nil {
		t.Fatal(err)
	}
	in := w.newIntake(intake.IntakeOptions{})
	server := httptest.NewTLSServer(in)
	defer server.Close()
	web := reaching(server)
	for _, m := range mailDomains {
		w.addMailDomain(m.name, m.behaviour, m.mode, m.mx)
		for range 5 {
			if err := s.Deliver(t.Context(), domain(t, m.name), []byte("Subject: x\r\n\r\nx\r\n")); err != nil && !errors.Is(err, sender.ErrNotDelivered) && m.mode == "" {
				t.Errorf("%s: %v", m.name, err)
			}
		}
	}
	if err := in.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range mailDomains {
		r, ok := s.Report(day(t, "2026-01-10"), domain(t, m.name))
		if !ok {
			t.Fatalf("%s: nothing to report", m.name)
		}
		if err := s.Send(t.Context(), r, domain(t, m.name), web); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	if r, ok := s.Report(day(t, "2026-01-10"), domain(t, "operator.test")); ok { // case 19
		t.Errorf("a report about reports: %+v", r)
	}
	w.ingestMailOf("mx.operator.test", len(mailDomains))
	for _, m := range mailDomains {
		if got := w.reported(m.name); !slices.Equal(got, []string{"sender.test true: " + m.want, "The sender.test lab false: " + m.want}) {
			t.Errorf("%s: %q, want %s", m.name, got, m.want)
		}
	}
}

// reaching is a client for which every host is the server.
func reaching(server *httptest.Server) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
}

// addMailDomain makes a mail domain with one host, that passes on its reports by POST and by mail.
func (w *world) addMailDomain(name string, b lab.Behaviour, mode, mx string) {
	w.t.Helper()
	d := lab.Domain{Name: name, MX: []string{"mx." + name}}
	if mx == "" {
		mx = "mx." + name
	}
	if mode != "" {
		d.STS = lab.STSPolicy(strings.Replace(mode, "broken", "enforce", 1), 86400, mx)
	}
	if err := errors.Join(w.lab.AddHost(lab.Host{Name: "mx." + name, Behaviour: b}), w.lab.AddDomain(d)); err != nil {
		w.t.Fatal(err)
	}
	if mode == "broken" {
		w.lab.SetWebFault("mta-sts."+name, lab.WebNotFound)
	}
	token, err := w.store.Enrol(w.t.Context(), domain(w.t, name))
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(name, "v=TLSRPTv1; rua=mailto:reports@operator.test,"+intake.ReportURI(host, token))
	if e, err := w.store.Look(w.t.Context(), w.dns, host, domain(w.t, name)); err != nil || e.State != intake.Enrolled {
		w.t.Fatalf("%s: %+v, %v", name, e, err)
	}
}

// ingestMailOf takes the mail that a host of the lab has accepted, as an MTA pipes it.
func (w *world) ingestMailOf(mx string, want int) {
	w.t.Helper()
	all, err := w.lab.Mail(mx)
	if err != nil || len(all) != want {
		w.t.Fatalf("%d mails, %v; want %d", len(all), err, want)
	}
	in := &intake.Ingester{Store: w.store, DNS: w.dns, Now: w.clock.now}
	for _, m := range all {
		if r := in.Take(w.t.Context(), m.Data, ""); r.Err != nil || len(r.Outcomes) != 1 || !r.Outcomes[0].Authenticated {
			w.t.Errorf("%+v\n%s", r, m.Data)
		}
	}
}

// reported is what each reporter said of a domain on 2026-01-10: policy type, sessions good/failed, results.
func (w *world) reported(name string) (all []string) {
	w.t.Helper()
	err := w.store.Rows(w.t.Context(), day(w.t, "2026-01-10"), day(w.t, "2026-01-10"), func(r intake.Row) error {
		if r.Domain.String() != name {
			return nil
		}
		text := fmt.Sprintf("%s %v:", r.Reporter, r.Authenticated)
		for _, p := range r.Policies {
			text += fmt.Sprintf(" %s %d/%d", p.Type, p.Successful, p.Failed)
			for _, x := range p.Results {
				text += fmt.Sprintf(" %s %d", x.Result, x.Sessions)
			}
		}
		all = append(all, text)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// Two hosts that only sent each other reports have nothing to report (case 19).
func TestLabReportsAboutReports(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.startLab()
	s, err := sender.New(w.lab, "sender.test")
	if err != nil {
		t.Fatal(err)
	}
	w.addMailDomain("broken.example", lab.Expired, "enforce", "")
	w.record("broken.example", "v=TLSRPTv1; rua=mailto:tls@broken.example")
	broken := domain(t, "broken.example")
	r := &tlsrpt.Report{Organization: "x", Contact: "x@sender.test", ID: "1", Begin: day(t, "2026-01-10").Begin(), End: day(t, "2026-01-10").End(),
		Policies: []tlsrpt.Policy{{Type: tlsrpt.STS, Domain: broken, Successful: 1}}}
	if err := s.Send(t.Context(), r, broken, http.DefaultClient); err != nil {
		t.Errorf("a report waits for a good certificate: %v", err)
	}
	if mails, err := w.lab.Mail("mx.broken.example"); err != nil || len(mails) != 1 {
		t.Errorf("%d mails, %v", len(mails), err)
	}
	if r, ok := s.Report(day(t, "2026-01-10"), broken); ok {
		t.Errorf("%+v", r)
	}
}
