package tlsrpt_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
)

// Which records enrol a domain; the numbers are those of the field notes on TLSRPT.
func TestLook(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.startLab()
	a := domain(t, "a.example")
	token, err := w.store.Enrol(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	uri := intake.ReportURI(host, token)
	others := intake.ReportURI(host, w.store.Token(domain(t, "b.example")))
	for _, c := range []struct {
		txts  []string
		state intake.EnrolmentState
		fault string
	}{
		{nil, intake.Waiting, "no TLSRPT record"},
		{[]string{"v=TLSRPTv1; rua=mailto:t@a.example"}, intake.Waiting, "other destinations"},
		{[]string{"v=TLSRPTv1; rua=" + others}, intake.Waiting, "other destinations"}, // copied from a neighbour
		{[]string{"v=TLSRPTv1; rua=" + uri + "x"}, intake.Waiting, "other destinations"},
		{[]string{"v=TLSRPTv1; rua=" + uri + "?x"}, intake.Waiting, "other destinations"},
		{[]string{"v=TLSRPTv1; rua=" + strings.Replace(uri, "https:", "http:", 1)}, intake.Waiting, "no use"},
		{[]string{"v=TLSRPTv1; rua=" + strings.TrimPrefix(uri, "https://")}, intake.Waiting, "no use"},  // 14: no scheme
		{[]string{"v=TSLRPTv1; rua=" + uri}, intake.Waiting, "must begin with"},                         // 18
		{[]string{"v=TLSRPTv1; rua=" + uri, "v=TLSRPTv1; rua=" + uri}, intake.Waiting, "no use (many)"}, // 17
		{[]string{"v=TLSRPTv1; rua=mailto:t@a.example," + uri}, intake.Enrolled, ""},
		{[]string{"v=TLSRPTv1; rua=mailto:t@a.example"}, intake.Gone, "other destinations"},
		{[]string{"v=TLSRPTv1; rua=mailto:t@a.example; rua=" + uri}, intake.Enrolled, ""},       // 16
		{[]string{"v=TLSRPTv1; rua=postmaster@a.example," + uri}, intake.Enrolled, "no scheme"}, // 14
		{[]string{"v=TLSRPTv1; rua=mailto:0," + uri}, intake.Enrolled, "no mail address"},       // 31
		{[]string{"v=spf1 -all", "v=TLSRPTv1; rua=" + uri}, intake.Enrolled, ""},                // 17
		{[]string{"v=TLSRPTv1; rua=" + strings.Replace(uri, host, "Reports.Operator.EXAMPLE:443", 1)}, intake.Enrolled, ""},
		{[]string{"v=TLSRPTv1; rua=" + strings.ToUpper(uri)}, intake.Gone, "other destinations"}, // a path has its own case
	} {
		w.record("a.example", c.txts...)
		e, err := w.store.Look(t.Context(), w.dns, host, a)
		faults := strings.Join(e.Faults, "; ")
		if err != nil || e.State != c.state || !strings.Contains(faults, c.fault) || c.fault == "" && faults != "" {
			t.Errorf("%q: %s, %q, %v; want %s, %q", c.txts, e.State, faults, err, c.state, c.fault)
		}
	}
	if _, err := w.store.Look(t.Context(), w.dns, host, domain(t, "b.example")); !errors.Is(err, intake.ErrNotAsked) {
		t.Errorf("never asked: %v", err)
	}
}

// A name server that is down ends no enrolment for a week; a record that is gone ends it at once, and its tallies stay.
func TestLookAgain(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	a := domain(t, "a.example")
	look := func() intake.Enrolment {
		t.Helper()
		e, err := w.store.Look(t.Context(), w.dns, host, a)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if _, err := w.store.Add(t.Context(), document(t, reportText("Sender", "1", 1, 0, "a.example"), "sender.example")); err != nil {
		t.Fatal(err)
	}
	if e := look(); e.Due(w.clock.now().Add(23*time.Hour)) || !e.Due(w.clock.now().Add(24*time.Hour)) {
		t.Error("it is not looked at daily")
	}
	if err := w.lab.SetFault("_smtp._tls.a.example", "TXT", lab.DNSServFail); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(24 * time.Hour)
	if e := look(); e.State != intake.Enrolled || !strings.Contains(strings.Join(e.Faults, ""), "failed") || !e.Due(w.clock.now().Add(time.Hour)) {
		t.Errorf("after a day of failures: %+v", e)
	}
	w.clock.pass(7 * 24 * time.Hour)
	if e := look(); e.State != intake.Gone {
		t.Errorf("after a week of failures: %+v", e)
	}
	if err := w.lab.SetFault("_smtp._tls.a.example", "TXT", ""); err != nil {
		t.Fatal(err)
	}
	if e := look(); e.State != intake.Enrolled {
		t.Errorf("once it answers: %+v", e)
	}
	w.record("a.example")
	if e := look(); e.State != intake.Gone {
		t.Errorf("without a record: %+v", e)
	}
	out, err := w.store.Add(t.Context(), document(t, reportText("Sender", "2", 1, 0, "a.example"), "sender.example"))
	if err != nil || out.Foreign != 1 || len(rows(t, w.store, "2026-01-10")) != 1 {
		t.Errorf("%+v, %v, %q", out, err, rows(t, w.store, "2026-01-10"))
	}
	w.clock.pass(91 * 24 * time.Hour)
	if gone, err := w.store.Prune(t.Context()); err != nil || len(gone.Domains) != 1 {
		t.Errorf("%+v, %v", gone, err)
	}
}

// Tokens are the operator's: the same after a restart, another for each domain and secret.
func TestTokens(t *testing.T) {
	w := newWorld(t, intake.Options{})
	a, b := w.store.Token(domain(t, "a.example")), w.store.Token(domain(t, "b.example"))
	if len(a) != 32 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz234567") != "" || a == b {
		t.Errorf("%q, %q", a, b)
	}
	if again := w.open(intake.Options{}).Token(domain(t, "a.example")); again != a {
		t.Errorf("%q becomes %q", a, again)
	}
	if other := newWorld(t, intake.Options{}).store.Token(domain(t, "a.example")); other == a {
		t.Error("two operators have one token")
	}
}
