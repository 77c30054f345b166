package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// A table leaves out the domains that say something else themselves, provably: over verified HTTPS or by signed DNS. What
// looks like it, and what fails, does not count.
func TestOwnPoliciesComeFirst(t *testing.T) {
	s := newAsking(t, leaveOutBoth+"[[override]]\ndomain = \"override.example\"\nmxs = [\"mx.mine.example\"]\nreason = \"test\"\n")
	s.populate()
	left := []string{"different.example", "dropped.example", "secured.example", "tried.example"}
	s.leaves("before anybody was asked")
	r, text := s.update(s.equip)
	s.leaves("first day", left...)
	if r.Own == nil || r.Own.Asked != len(askedDomains)-1 || r.Own.Unanswered != 3 || len(r.Own.LeftOut) != len(left) || r.Postfix.OwnFirst != len(left) {
		t.Errorf("%+v, %+v", r.Own, r.Postfix)
	}
	for _, want := range []string{"4 left out (own policies)", "own policies: 10 domains asked, 3 without an answer",
		"left out: different.example: it says by MTA-STS: enforce mx.own.example (asked ", "left out: tried.example: it says by MTA-STS: testing",
		"left out: secured.example: it has usable TLSA records for all its MX hosts"} {
		if !strings.Contains(text, want) {
			t.Errorf("update does not say %q:\n%s", want, text)
		}
	}
	for _, name := range []string{"override.example", "testing.example"} {
		if s.lab.Asked("_mta-sts."+name, "TXT") > 0 {
			t.Errorf("%s is asked about for nothing", name)
		}
	}
	if r, _ := s.update(s.equip); r.Own.Asked != 0 || r.Postfix.Written {
		t.Errorf("at once again: %+v", r.Own)
	}
	s.told(left)

	// A day later: one domain has a policy now, of another the record is gone, which an attacker can bring about as well.
	s.must(s.lab.SetSTS("later.example", lab.STSPolicy("enforce", 604800, "mx.own.example")))
	s.must(s.lab.RemoveRecords("_mta-sts.tried.example", "TXT"))
	s.must(s.lab.RemoveRecords("_mta-sts.different.example", "TXT"))
	s.at = s.at.Add(24 * time.Hour)
	s.update(s.equip)
	s.leaves("second day", append(left, "later.example")...)

	// Nobody can be asked: the update works all the same, and what is known stays, but no policy outlives its max_age.
	s.at = s.at.Add(26 * time.Hour)
	nobody := func(*socketmap.Live, leaveOutConfig) error { return errors.New("no resolver") }
	if _, text := s.update(nobody); !strings.Contains(text, "own policies: what was known stays: no resolver") {
		t.Errorf("%s", text)
	}
	s.leaves("third day", "different.example", "dropped.example", "later.example", "secured.example")

	// A policy that a week of asking could not confirm does not keep a domain without the list's protection.
	s.at = s.at.Add(5 * 24 * time.Hour)
	s.update(s.equip)
	s.leaves("after a week", "dropped.example", "later.example", "secured.example")

	// Without the part of the configuration nothing of it counts.
	s.edit(func(text string) string { return strings.Replace(text, leaveOutBoth, "", 1) })
	if r, _ := s.update(s.equip); r.Own != nil {
		t.Errorf("%+v", r.Own)
	}
	s.leaves("without [leave-out]")
}

// told checks what the other commands say while these domains are left out.
func (s *asking) told(left []string) {
	s.t.Helper()
	status := s.run(0, "status")
	for _, name := range left {
		if !strings.Contains(status, "left out: "+name+": it ") {
			s.t.Errorf("status does not name %s:\n%s", name, status)
		}
	}
	if got, want := s.run(0, "status", "--prometheus"), fmt.Sprintf("\nstarttls_policy_left_out_domains %d\n", len(left)); !strings.Contains(got, want) {
		s.t.Errorf("the metrics do not say %q:\n%s", want, got)
	}
	for name, want := range map[string]string{
		"different.example": "(?s)enforce mx.list.example\n.*Postfix: no line\n.*left out of the table: the domain says by MTA-STS: enforce mx.own.example .*RFC 8461",
		"secured.example":   "(?s)Postfix: no line\n.*left out of the table: the domain has usable TLSA.*RFC 7672",
		"plain.example":     "Postfix .*: secure match=mx.list.example",
		"override.example":  "(?s)Postfix .*: secure match=mx.mine.example.*an override of this machine",
	} {
		if got := s.run(0, "explain", name); !regexp.MustCompile(want).MatchString(got) {
			s.t.Errorf("explain %s:\n%s", name, got)
		}
	}
	if hints := s.run(0, "export", "hints"); !strings.HasPrefix(hints, "different.example\n") {
		s.t.Errorf("hints leave out who is to be asked:\n%s", hints)
	}
	for _, format := range []string{"json", "opensmtpd"} {
		if got := s.run(0, "export", format); strings.Contains(got, "different.example") || !strings.Contains(got, "plain.example") {
			s.t.Errorf("%s:\n%s", format, got)
		}
	}
	s.run(0, "disable", "--reason", "test")
	if r, _ := s.update(s.equip); r.Own != nil {
		s.t.Errorf("domains are asked while everything is off: %+v", r.Own)
	}
	if got := s.run(0, "explain", "plain.example"); !strings.Contains(got, "all policies are off") {
		s.t.Errorf("explain while everything is off:\n%s", got)
	}
	s.run(0, "enable")
	s.leaves("enabled again", left...)
}

// One update asks a part; the next goes on where it stopped.
func TestDomainsAreAskedInParts(t *testing.T) {
	s := newAsking(t, leaveOutBoth+"most = 4\n")
	s.populate()
	var waiting []int
	for range 3 {
		r, _ := s.update(s.equip)
		waiting = append(waiting, r.Own.Waiting)
		s.at = s.at.Add(time.Minute)
	}
	if !slices.Equal(waiting, []int{7, 3, 0}) {
		t.Errorf("waiting after each update: %d", waiting)
	}
	s.leaves("at last", "different.example", "dropped.example", "override.example", "secured.example", "tried.example")
}

// A Postfix that does not look at a source itself must not lose the list's protection by it.
func TestSourcesThatPostfixNeglects(t *testing.T) {
	s := newServer(t)
	s.join()
	p := postfixConfig{Map: absolutePath(filepath.Join(s.dir, "var", defaultTable)), Type: "hash", Dialect: "floor"}
	both := leaveOutConfig{}
	both.Sources.DANE, both.Sources.STS = true, true
	maps := "hash:" + string(p.Map)
	main := filepath.Join(s.postfix.Config, "main.cf")
	base, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		settings  string
		dane, sts bool
	}{
		{"", false, false},
		{"smtp_tls_policy_maps = " + maps, false, false},
		{"smtp_tls_security_level = dane", false, false}, // without signed DNS Postfix makes "may" of it
		{"smtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec", true, false},
		{"smtp_tls_security_level = may\nsmtp_dns_support_level = dnssec", false, false},
		{"smtp_tls_policy_maps = " + maps + ", hash:/etc/postfix/mine", false, false},
		{"smtp_tls_policy_maps = " + maps + ", socketmap:inet:127.0.0.1:8461:postfix", false, true},
		// Most resolvers of MTA-STS policies do no DANE: one that does has to be named.
		{"smtp_dns_support_level = dnssec\nsmtp_tls_policy_maps = " + maps + ", socketmap:inet:127.0.0.1:8461:postfix", false, true},
		{"smtp_dns_support_level = dnssec\nsmtp_tls_policy_maps = " + maps + ",socketmap:inet:127.0.0.1:8642:QUERY", true, true},
		{"smtp_tls_policy_maps = " + maps + ", socketmap:inet:127.0.0.1:8642:QUERY", false, true},
	} {
		if err := os.WriteFile(main, append(slices.Clone(base), c.settings+"\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		// Over a file that is younger than a second Postfix's programs sleep.
		if err := os.Chtimes(main, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		rest, why, err := p.neglected(t.Context(), both.Sources, "socketmap:inet:127.0.0.1:8642:QUERY")
		if err != nil {
			t.Fatal(err)
		}
		followed := 2 - len(why)
		if rest.DANE != c.dane || rest.STS != c.sts || rest.DANE && rest.STS != (followed == 2) || !rest.Any() != (followed == 0) {
			t.Errorf("%s: %+v, %q", c.settings, rest, why)
		}
	}
}

// A postconf that fails is no missing Postfix: main.cf may be wrong, or not to be read by this user. The table keeps its dialect,
// for an older Postfix would defer what it does not know, no domain is left out, and update and status fail.
func TestPostfixThatDoesNotAnswer(t *testing.T) {
	s := newAsking(t, leaveOutBoth)
	s.populate()
	left := []string{"different.example", "dropped.example", "override.example", "secured.example", "tried.example"}
	answers := func(script string) { s.must(os.WriteFile(s.dir+"/postconf", []byte(script), 0o755)) }
	dialect := func(when, want string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(s.dir, "var", defaultTable))
		s.must(err)
		if !strings.Contains(string(data), ", dialect "+want+". ") {
			t.Errorf("%s: the dialect is not %s:\n%s", when, want, data)
		}
	}
	answers(strings.Replace(followsBoth, "3.7.11", "3.3.1", 1))
	s.update(s.equip)
	dialect("Postfix 3.3", "legacy")
	s.leaves("Postfix 3.3", left...)

	answers("#!/bin/sh\necho 'fatal: open /etc/postfix/main.cf: Permission denied' >&2\nexit 1\n")
	want := "Postfix does not answer, so the table keeps its dialect, and no domain is left out: .*/postconf: exit status 1: fatal: open /etc/postfix/main.cf: Permission denied"
	if out := s.run(exitFailed, "update"); !regexp.MustCompile("WARNING: " + want).MatchString(out) {
		t.Errorf("update does not tell:\n%s", out)
	}
	dialect("no answer", "legacy")
	s.leaves("no answer")
	if out := s.run(exitFailed, "status"); !regexp.MustCompile("(?s)cannot be judged: " + want + ".*no source is followed").MatchString(out) {
		t.Errorf("status does not tell:\n%s", out)
	}
	s.run(0, "disable", "--reason", "x")
	s.run(0, "enable")
	dialect("off and on again", "legacy")
	if out := s.run(1, "export", "postfix"); !strings.Contains(out, "--dialect") {
		t.Errorf("export guesses:\n%s", out)
	}

	answers(followsBoth)
	s.update(s.equip)
	dialect("3.7.11", "floor")
	s.leaves("3.7.11", left...)

	// Without any Postfix the configuration is believed.
	s.must(os.Remove(s.dir + "/postconf"))
	if _, err := program("postconf"); err != nil {
		s.update(s.equip)
		dialect("no Postfix", "sni")
		s.leaves("no Postfix", left...)
	}
}

// What [leave-out] may not say.
func TestLeaveOutConfig(t *testing.T) {
	for text, want := range map[string]string{
		"sources = [\"list\"]":                    "no policy of a domain's own",
		"sources = [\"dane\"]":                    "trust-ad",
		"sources = [\"mta-sts\"]\nmost = -1":      "most = -1",
		"sources = [\"mta-sts\"]\nwithin = \"x\"": "c.toml:6:10: within",
		"resolver = \"localhost\"":                "c.toml:5:",
	} {
		_, err := parseConfig("c.toml", []byte("[[list]]\nname = \"a\"\nmirrors = [\"/srv\"]\n[leave-out]\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whoever is left out has no line in any dialect; the comment that counts them is no line either.
func TestLeftOutTable(t *testing.T) {
	d, err := policy.ParseDomain("a.example")
	if err != nil {
		t.Fatal(err)
	}
	header := mta.Header{Origin: "log.example/list", Expires: time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)}
	var text bytes.Buffer
	report, err := settled{header: header, leftOut: []leftOut{{domain: d}}}.table(&text, nil, mta.Options{})
	if err != nil || report.Emitted != 0 || !strings.Contains(text.String(), "# Listed domains without a line") || regexp.MustCompile(`(?m)^[^#\n]`).Match(text.Bytes()) {
		t.Errorf("%v, %+v\n%s", err, report, text.String())
	}
}
