package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestSurveyOfLivePolicies: what each source says is told apart, over real DNS and HTTPS: a policy, none, and that nobody
// knows. Sources that do not come to count are asked as well.
func TestSurveyOfLivePolicies(t *testing.T) {
	v := newLiving(t, livingEntries)
	d, err := policy.ParseDomain("listed.example")
	v.must(err)
	survey := func(decides socketmap.Source, want ...string) socketmap.Survey {
		t.Helper()
		s := v.Survey(t.Context(), d, "legacy")
		var got []string
		for _, w := range s.Words {
			got = append(got, wordText(w))
		}
		if s.Source != decides || len(got) != 4 {
			t.Errorf("%s decides, want %s: %q", s.Source, decides, got)
		}
		for i, w := range want {
			if !strings.HasPrefix(got[i], w) {
				t.Errorf("%q, want %q", got[i], w)
			}
		}
		text, err := json.Marshal(s)
		var back socketmap.Survey
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || strings.ContainsAny(string(text), "\n\r") || len(back.Words) != 4 {
			t.Errorf("over the socket: %s, %v", text, err)
		}
		return s
	}
	const list = "list example: enforce mx.list.example"
	v.domain("listed.example", false, "", "mx.own.example")
	survey(socketmap.SourceList, "override: no policy", "dane: no policy (the MX records are not signed)", "mta-sts: no policy", list)

	v.must(v.lab.SetFault("_mta-sts.listed.example", "TXT", "servfail"))
	v.must(v.lab.SetFault("listed.example", "MX", "servfail"))
	v.wait(2 * time.Hour)
	s := survey(socketmap.SourceList, "override: no policy", "dane: lookup failed (MX lookup: servfail)",
		"mta-sts: lookup failed (the search ended with record-failed (TXT lookup: servfail))", list)
	if s.Downgrade == "" || s.Reply != "OK secure match=mx.list.example" {
		t.Errorf("%+v", s)
	}
	v.must(v.lab.SetFault("_mta-sts.listed.example", "TXT", ""))
	v.must(v.lab.SetFault("listed.example", "MX", ""))
	v.domain("listed.example", true, lab.STSPolicy("enforce", 604800, "mx.own.example"), "mx.own.example")
	v.wait(2 * time.Hour)
	survey(socketmap.SourceSTS, "override: no policy", "dane: no policy (no usable TLSA records)", "mta-sts: enforce mx.own.example, until", list)
	v.wait(time.Minute / 2)
	v.Overrides = socketmap.Overrides{d: {Domain: d, Reason: "ours", Until: v.now().Add(time.Hour)}}
	survey(socketmap.SourceOverride, "override: none, until", "dane: no policy", "mta-sts: enforce mx.own.example, cached since", list)
	v.wait(time.Hour)
	survey(socketmap.SourceSTS, "override: no policy (ended: ours)")
}
