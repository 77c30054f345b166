package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// oldMX are MX hosts of the four providers' domains as they were when the lists were made.
var oldMX = map[string][]string{
	"gmail.com": {"gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "alt2.gmail-smtp-in.l.google.com",
		"alt3.gmail-smtp-in.l.google.com", "alt4.gmail-smtp-in.l.google.com"},
	"icloud.com":  {"mx1.mail.icloud.com", "mx2.mail.icloud.com", "mx3.mail.icloud.com", "mx4.mail.icloud.com", "mx5.mail.icloud.com", "mx6.mail.icloud.com"},
	"outlook.com": {"outlook-com.olc.protection.outlook.com"},
	"yahoo.com":   {"mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net"},
}

var twoVantages = gate.Settings{Vantages: 2, Quorum: 2}

// seen is what two vantages saw of a domain: everything in order, at the hosts that it had, and no proof.
func seen(t *testing.T, name string, at time.Time) gate.Look {
	t.Helper()
	l := gate.Look{At: at, Voters: 2, Good: 2, Proofs: []gate.ProofSeen{{Reading: proof.Reading{Status: proof.None}, Vantages: 2}}}
	for _, host := range oldMX[name] {
		d, err := policy.ParseDomain(host)
		if err != nil {
			t.Fatal(err)
		}
		l.Live = append(l.Live, gate.LiveMX{Host: d, Vantages: 2})
	}
	return l
}

// gateSays are the codes that hold a change of one domain, each once.
func gateSays(out gate.Outcome) (codes []string) {
	for _, w := range out.Waits {
		for _, f := range w.Findings {
			if !slices.Contains(codes, f.Code) {
				codes = append(codes, f.Code)
			}
		}
	}
	slices.Sort(codes)
	return codes
}

// The gate names the mistakes of the old list that need a look at servers: aliases that were written for a suffix of any
// depth (rule R23), until 2019-01-14; and the edit of that day, by one commit for four providers (R17), after which gmail.com
// allowed none of its hosts.
func TestTheGateNamesOldMistakes(t *testing.T) {
	files, _ := oldFiles(t)
	var list []policy.Entry
	deep := map[string][]string{} // file to the domains that the gate would not have let in
	for _, f := range files {
		now, _ := policy.ParseOldList(f.File)
		entries := map[string]policy.Policy{}
		for _, e := range now.Entries {
			entries[e.Domain.String()] = e.Policy
		}
		for _, e := range now.Entries {
			if oldMX[e.Domain.String()] == nil {
				continue
			}
			out := gate.Decide(gate.Input{Domain: e.Domain, Managed: policy.ManagedByOwner, Wanted: &e.Policy, Now: now.Timestamp,
				Looks: []gate.Look{seen(t, e.Domain.String(), now.Timestamp.Add(-time.Hour))}}, twoVantages)
			if slices.Contains(gateSays(out), "gate.not-covered") {
				deep[f.Path] = append(deep[f.Path], e.Domain.String())
			}
		}
		if f.Path == "018-20190114.json" {
			checkAliasEdit(t, policy.Diff(list, now.Entries), now.Timestamp)
		}
		list = now.Entries
	}
	for i, f := range files {
		want := []string{"gmail.com"}
		if i < 17 {
			want = []string{"gmail.com", "icloud.com", "outlook.com", "yahoo.com"}
		}
		if !slices.Equal(deep[f.Path], want) {
			t.Errorf("%s: not covered %v, want %v", f.Path, deep[f.Path], want)
		}
	}
}

func checkAliasEdit(t *testing.T, changes []policy.Change, at time.Time) {
	t.Helper()
	var got []string
	for _, c := range changes {
		out := gate.Decide(gate.Input{Domain: c.Domain, Managed: policy.ManagedByOwner, Published: c.Old, Wanted: c.New, Now: at,
			Looks: []gate.Look{seen(t, c.Domain.String(), at.Add(-time.Hour))}}, twoVantages)
		if out.Step != nil {
			t.Errorf("%s: the gate lets %s through", c.Domain, out.Step.Change.Class)
		}
		got = append(got, c.Domain.String()+" "+strings.Join(gateSays(out), " "))
	}
	// The four whose hosts are known here were already on their way off the list (gate.waiting), for nothing arrived.
	want := []string{"aol.com proof.missing", "gmail.com gate.not-covered gate.waiting proof.missing", "hotmail.com proof.missing",
		"icloud.com gate.waiting proof.missing", "live.com proof.missing", "me.com proof.missing", "msn.com proof.missing",
		"outlook.com gate.waiting proof.missing", "rocketmail.com proof.missing", "salesforce.com proof.missing",
		"yahoo.com gate.waiting proof.missing", "yahoogroups.com proof.missing", "ymail.com proof.missing"}
	if !slices.Equal(got, want) {
		t.Errorf("the edit of the aliases:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The release of 2020 in which 361 of 926 domains enforced at once, 80 of them with other mxs: the gate holds the 80
// (rule R52), and the budget all but 92 of the rest.
func TestTheGateHoldsTheStepOf2020(t *testing.T) {
	at := time.Date(2020, 5, 1, 12, 0, 0, 0, time.UTC)
	pattern := func(s string) []policy.MXPattern {
		p, err := policy.ParseMXPattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return []policy.MXPattern{p}
	}
	var steps []gate.Step
	inOne := 0
	for i := range 361 {
		d, err := policy.ParseDomain(fmt.Sprintf("d%03d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		old := policy.Policy{Mode: policy.Testing, MXs: pattern("mx." + d.String())}
		next := policy.Policy{Mode: policy.Enforce, MXs: old.MXs}
		if i < 80 {
			next.MXs = pattern("mx2." + d.String())
		}
		change := policy.Diff([]policy.Entry{{Domain: d, Policy: old}}, []policy.Entry{{Domain: d, Policy: next}})[0]
		out := gate.Decide(gate.Input{Domain: d, Managed: policy.ManagedByOwner, Published: &old, Wanted: &next, Now: at}, twoVantages)
		if out.Step != nil {
			t.Fatalf("%s goes out without a look", d)
		}
		if slices.Equal(gateSays(out), []string{"gate.one-step"}) {
			inOne++
			continue
		}
		steps = append(steps, gate.Step{Change: change, Reason: "promote.evidence", Since: at.AddDate(0, 0, -7)})
	}
	pass, held := gate.Day{Listed: 926}.Budget(steps, false)
	if inOne != 80 || len(pass) != 92 || len(held) != 361-80-92 || held[0].Findings[0].Code != "gate.budget" {
		t.Errorf("%d in one step, %d pass, %d held", inOne, len(pass), len(held))
	}
}
