package tlsrpt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const contributionID = "00112233445566778899aabbccddeeff"

// onList is a list with d.example, whose MX hosts are mx1.d.example and any below mail.d.example, and e.example.
func onList(t testing.TB) func(policy.Domain) (policy.Policy, bool) {
	t.Helper()
	list := map[string]policy.Policy{}
	for name, mxs := range map[string][]string{"d.example": {"mx1.d.example", ".mail.d.example"}, "e.example": {"mx.e.example"}} {
		var patterns []policy.MXPattern
		for _, s := range mxs {
			m, err := policy.ParseMXPattern(s)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, m)
		}
		p, err := policy.NewPolicy(policy.Enforce, patterns)
		if err != nil {
			t.Fatal(err)
		}
		list[name] = p
	}
	return func(d policy.Domain) (policy.Policy, bool) { p, ok := list[d.String()]; return p, ok }
}

func theDay(t testing.TB) tlsrpt.Day {
	t.Helper()
	d, err := tlsrpt.ParseDay("2026-01-10")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// contribute scrubs reports and returns the document without its padding.
func contribute(t testing.TB, reports ...*tlsrpt.Report) string {
	t.Helper()
	b, err := tlsrpt.MarshalContribution(tlsrpt.Scrub(reports, theDay(t), contributionID, onList(t)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(b), " ")
}

// document is a contribution with these entries.
func document(entries string) string {
	return `{"date-range":{"end-datetime":"2026-01-10T23:59:59Z","start-datetime":"2026-01-10T00:00:00Z"},"policies":[` + entries +
		`],"report-id":"` + contributionID + `"}`
}

// contributed is one entry: details are "result kind count" each.
func contributed(domain, kind string, ok, failed int, details ...string) string {
	var all []string
	for _, d := range details {
		f := strings.Fields(d)
		mx := ""
		if f[1] != "-" {
			mx = `"receiving-mx-hostname":"` + f[1] + `",`
		}
		all = append(all, fmt.Sprintf(`{"failed-session-count":%s,%s"result-type":%q}`, f[2], mx, f[0]))
	}
	return fmt.Sprintf(`{"failure-details":[%s],"policy":{"policy-domain":%q,"policy-type":%q},"summary":{"total-failure-session-count":%d,"total-successful-session-count":%d}}`,
		strings.Join(all, ","), domain, kind, failed, ok)
}

func TestScrub(t *testing.T) {
	const more = `,"receiving-mx-hostname":%q,"sending-mta-ip":"192.0.2.1","receiving-mx-helo":"helo.secret","failure-reason-code":"secret"`
	at := func(mx string) string { return fmt.Sprintf(more, mx) }
	failures := func(ok, failed int, details ...string) string {
		return ranged(fmt.Sprintf(`{"policy":{"policy-type":"sts","policy-domain":"d.example","mx-host":["mx.secret.example"]},`+
			`"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d},"failure-details":[%s]}`, ok, failed, strings.Join(details, ",")))
	}
	detail := func(result string, n int, mx string) string {
		return fmt.Sprintf(`{"result-type":%q,"failed-session-count":%d%s}`, result, n, mx)
	}
	for _, c := range []struct {
		name    string
		reports []string
		want    string
	}{
		{"nothing", nil, ""},
		{"a listed domain", []string{entries("sts d.example 123/0")}, contributed("d.example", "sts", 100, 0)},
		{"an unlisted one", []string{entries("sts x.example 123/0")}, ""},
		{"too few sessions", []string{entries("sts d.example 19/0")}, ""},
		{"twenty sessions", []string{entries("sts d.example 20/0")}, contributed("d.example", "sts", 20, 0)},
		{"twenty in two reports", []string{entries("sts d.example 13/0"), entries("sts d.example 7/0")}, contributed("d.example", "sts", 20, 0)},
		{"twenty, of which few failed", []string{entries("sts d.example 20/19 certificate-expired=19")}, contributed("d.example", "sts", 20, 0)},
		{"another day", []string{strings.ReplaceAll(entries("sts d.example 123/0"), "01-10", "01-11")}, ""},
		{"no day", []string{strings.ReplaceAll(entries("sts d.example 123/0"), "datetime", "x")}, ""},
		{"two kinds, two domains", []string{entries("tlsa e.example 60/0", "tlsa d.example 50/0", "sts d.example 49/0")},
			contributed("d.example", "sts", 20, 0) + "," + contributed("d.example", "tlsa", 50, 0) + "," + contributed("e.example", "tlsa", 50, 0)},
		{"tlsa by host", []string{entries("sts d.example 30/0", "tlsa mx1.d.example 20/0", "tlsa mx2.d.example 10/0")},
			contributed("d.example", "sts", 20, 0) + "," + contributed("d.example", "tlsa", 20, 0)},
		{"an unknown kind", []string{entries("bimi d.example 123/0")}, ""},
		{"hosts", []string{failures(0, 600, detail("certificate-host-mismatch", 200, at("mx1.d.example")), detail("certificate-host-mismatch", 100, at("MX7.Mail.D.Example.")),
			detail("certificate-host-mismatch", 99, at("mx.secret.example")), detail("certificate-host-mismatch", 30, at("not a name")), detail("certificate-host-mismatch", 20, ""))},
			contributed("d.example", "sts", 0, 500, "certificate-host-mismatch - 20", "certificate-host-mismatch listed-pattern 100", "certificate-host-mismatch unlisted-mx 100")},
		{"an unknown result", []string{failures(0, 50, detail("secret", 50, ""))}, contributed("d.example", "sts", 0, 50, "validation-failure - 50")},
		{"details beyond the summary", []string{failures(0, 50, detail("dane-required", 5000, ""))}, contributed("d.example", "sts", 0, 50, "dane-required - 50")},
	} {
		var reports []*tlsrpt.Report
		for _, text := range c.reports {
			reports = append(reports, read(t, text))
		}
		if got := contribute(t, reports...); got != document(c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, document(c.want))
		}
	}
}

func TestBucket(t *testing.T) {
	for n, want := range map[int64]int64{-1: 0, 0: 0, 19: 0, 20: 20, 49: 20, 50: 50, 99: 50, 100: 100, 499: 100, 500: 500, tlsrpt.MaxCount: 500} {
		if got := tlsrpt.Bucket(n); got != want {
			t.Errorf("Bucket(%d) = %d, want %d", n, got, want)
		}
	}
}

// Two days of one contributor, a large and a small one, have one size on the wire.
func TestPad(t *testing.T) {
	for size, want := range map[int]int{0: 0, 1: tlsrpt.PadTo, tlsrpt.PadTo: tlsrpt.PadTo, tlsrpt.PadTo + 1: 2 * tlsrpt.PadTo} {
		if got := len(tlsrpt.Pad(make([]byte, size))); got != want {
			t.Errorf("%d bytes are padded to %d, want %d", size, got, want)
		}
	}
}

// Each of these has one thing that the profile has not, at any depth.
func TestValidateContributionRefuses(t *testing.T) {
	good := document(contributed("d.example", "sts", 100, 50, "certificate-expired listed-pattern 20", "sts-policy-invalid - 20") + "," + contributed("e.example", "tlsa", 20, 0))
	if _, err := tlsrpt.ValidateContribution(tlsrpt.Pad([]byte(good))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"organisation":           {`{"date`, `{"organization-name":"secret","date`},
		"contact":                {`{"date`, `{"contact-info":"secret","date`},
		"a member of one's own":  {`}],"report-id"`, `}],"remark":"secret","report-id"`},
		"the same at the end":    {`ff"}`, `ff","x":1}`},
		"an address":             {`"result-type":"certificate-expired"`, `"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1"`},
		"HELO":                   {`"result-type":"certificate-expired"`, `"receiving-mx-helo":"secret","result-type":"certificate-expired"`},
		"reason":                 {`{"failed`, `{"failure-reason-code":"secret","failed`},
		"policy text":            {`"policy-type":"sts"`, `"policy-string":["secret"],"policy-type":"sts"`},
		"MX patterns":            {`{"policy-domain":"d`, `{"mx-host":["secret"],"policy-domain":"d`},
		"an MX name":             {"listed-pattern", "mx1.d.example"},
		"an MX empty":            {"listed-pattern", ""},
		"a member of summary":    {`"summary":{`, `"summary":{"count":1,`},
		"a member of the range":  {`"date-range":{`, `"date-range":{"a":1,`},
		"a key twice":            {`"policy-type":"sts"`, `"policy-type":"sts","policy-type":"sts"`},
		"the root's key twice":   {`"policies":[`, `"policies":[],"policies":[`},
		"an exact count":         {`session-count":100`, `session-count":123`},
		"an exact failure count": {`failed-session-count":20`, `failed-session-count":21`},
		"a count of none":        {`failed-session-count":20`, `failed-session-count":0`},
		"too few":                {`"total-successful-session-count":20`, `"total-successful-session-count":0`},
		"a count below":          {`"total-successful-session-count":20`, `"total-successful-session-count":19`},
		"more of one kind":       {`certificate-expired","x`, ``},
		"an unknown result":      {`certificate-expired`, `secret`},
		"an unknown kind":        {`"sts"`, `"secret"`},
		"a domain in capitals":   {`"d.example"`, `"D.example"`},
		"no domain":              {`"d.example"`, `"secret"`},
		"unsorted":               {`"d.example"`, `"f.example"`},
		"a detail twice":         {`{"failed-session-count":20,"receiving-mx-hostname":"listed-pattern","result-type":"certificate-expired"}`, `{"failed-session-count":20,"result-type":"sts-policy-invalid"}`},
		"an entry twice":         {`"d.example","policy-type":"sts"`, `"e.example","policy-type":"tlsa"`},
		"unsorted details":       {`sts-policy-invalid`, `certificate-expired`},
		"a name for an id":       {contributionID, "secret"},
		"capitals in the id":     {"aabb", "AABB"},
		"a long id":              {contributionID, contributionID + "00"},
		"a time of day":          {"00:00:00Z", "07:15:00Z"},
		"another end":            {"23:59:59Z", "23:59:58Z"},
		"two days":               {"2026-01-10T23", "2026-01-11T23"},
		"another zone":           {"00:00:00Z", "00:00:00+00:00"},
		"before our time":        {"2026", "0026"},
		"a blank":                {`,"policies"`, `, "policies"`},
		"an escape":              {`"d.example"`, `"\u0064.example"`},
		"a number otherwise":     {`session-count":100`, `session-count":1e2`},
		"a line end":             {"ff\"}", "ff\"}\n"},
		"a byte order mark":      {`{"date`, "\ufeff{\"date"},
		"something behind":       {`ff"}`, `ff"}{}`},
		"half of it":             {`,"report-id":"` + contributionID + `"}`, ""},
		"null":                   {`"failure-details":[]`, `"failure-details":null`},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if name == "before our time" {
			text = strings.ReplaceAll(good, c.old, c.new)
		}
		if name == "more of one kind" {
			text = strings.Replace(good, `failed-session-count":20`, `failed-session-count":100`, 1)
		}
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		_, err := tlsrpt.ValidateContribution(tlsrpt.Pad([]byte(text)))
		if !errors.Is(err, tlsrpt.ErrForbidden) {
			t.Errorf("%s: %v in %s", name, err, text)
		}
		if strings.ContainsFunc(fmt.Sprint(err), unprintable) {
			t.Errorf("%s: %q", name, err)
		}
	}
	for name, body := range map[string][]byte{
		"nothing":          {},
		"no padding":       []byte(good),
		"another padding":  bytes.ReplaceAll(tlsrpt.Pad([]byte(good)), []byte("  "), []byte(" \t")),
		"too much padding": append(tlsrpt.Pad([]byte(good)), bytes.Repeat([]byte(" "), tlsrpt.PadTo)...),
		"too large":        bytes.Repeat([]byte(" "), tlsrpt.MaxContribution+tlsrpt.PadTo),
		"a million arrays": tlsrpt.Pad(bytes.Repeat([]byte("["), 1e6)),
		"a million items":  tlsrpt.Pad([]byte(document(strings.Repeat("{},", 1e6)))),
	} {
		if _, err := tlsrpt.ValidateContribution(body); !errors.Is(err, tlsrpt.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// secrets are what no contribution may tell. Reports are salted with them.
func secrets() []string {
	return []string{"192.0.2.77", "2001:db8::77", "sekretorg", "sekretcontact", "sekretid", "sekretmx", "sekrethelo", "sekretreason", "sekretinfo", "sekretpolicy", "sekretunlisted", "4711"}
}

// salted is a random report with secrets in all of its fields.
func salted(p pick) *tlsrpt.Report {
	r := p.report()
	r.Organization, r.Contact, r.ID = "sekretorg", "a@sekretcontact.example", "sekretid.4711"
	for i := range r.Policies {
		e := &r.Policies[i]
		e.Strings, e.MXHosts = []string{"mx: sekretpolicy.example"}, []string{"sekretmx.example"}
		if p.IntN(4) == 0 {
			e.Domain, _ = policy.ParseDomain("sekretunlisted.example")
		}
		if p.IntN(6) == 0 {
			e.Type = tlsrpt.OtherPolicy
		}
		if p.IntN(3) == 0 {
			e.Successful = 4711
		}
		for j := range e.Details {
			d := &e.Details[j]
			d.SendingIP, d.ReceivingIP = netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")
			d.ReceivingMX, d.ReceivingHELO, d.Reason, d.Information = p.of("sekretmx.example", "sekretmx.mail.d.example"), "sekrethelo", "sekretreason", "https://sekretinfo.example/"
			if p.IntN(6) == 0 {
				d.Result = tlsrpt.ResultType("sekretreason")
			}
			if p.IntN(3) == 0 {
				d.Failed = 4711
			}
		}
	}
	return r
}

// Whatever Scrub makes of reports validates, holds none of what they are salted with, and is RFC 8460 to a second reader.
func TestScrubTellsNoSecret(t *testing.T) {
	p := pick{rand.New(rand.NewPCG(4, 711))}
	list := onList(t)
	var documents [][]byte
	entries := 0
	for range 1200 {
		var reports []*tlsrpt.Report
		for range p.IntN(6) {
			r := salted(p)
			r.Begin, r.End = theDay(t).Begin(), theDay(t).End()
			reports = append(reports, r)
		}
		c := tlsrpt.Scrub(reports, theDay(t), contributionID, list)
		b, err := tlsrpt.MarshalContribution(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tlsrpt.ValidateContribution(b)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v\n%+v\n%+v", err, again, c)
		}
		if len(b)%tlsrpt.PadTo != 0 {
			t.Fatalf("%d bytes", len(b))
		}
		for _, secret := range secrets() {
			if bytes.Contains(b, []byte(secret)) {
				t.Fatalf("%s is in %s", secret, bytes.TrimRight(b, " "))
			}
		}
		entries += len(c.Entries)
		documents = append(documents, bytes.TrimRight(b, " "))
	}
	if entries < 400 {
		t.Fatalf("only %d entries came out, too few to tell", entries)
	}
	for i, answer := range secondReader(t, documents) {
		if !strings.HasPrefix(answer, "ok ") {
			t.Errorf("%s of %s", answer, documents[i])
		}
	}
}

// What a contributor tells is what its reports count, in buckets: the tallies of both agree but for the rounding.
func TestContributionCounts(t *testing.T) {
	r := read(t, entries("sts d.example 1000/60 certificate-expired=55 sts-policy-invalid=5", "no-policy-found e.example 20/0"))
	c := tlsrpt.Scrub([]*tlsrpt.Report{r}, theDay(t), contributionID, onList(t))
	want := "d.example 2026-01-10 550 sessions 50 failed; sts 500/50 certificate-expired=50\ne.example 2026-01-10 20 sessions 0 failed; no-policy-found 20/0"
	if got := show(tlsrpt.Tallies(c.Report())); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// FuzzScrub: whatever a report holds, what Scrub makes of it validates and holds nothing else than words of the profile.
func FuzzScrub(f *testing.F) {
	f.Add([]byte(entries("sts d.example 123/60 certificate-expired=55")), []byte(entries("tlsa mx1.d.example 9007199254740991/1")))
	f.Add([]byte(plain), []byte(strings.ReplaceAll(strings.ReplaceAll(plain, "company-y.example", "d.example"), "303", "5000")))
	words := strings.NewReplacer("d.example", "", "e.example", "", contributionID, "", "2026-01-10T23:59:59Z", "", "2026-01-10T00:00:00Z", "",
		"listed-pattern", "", "unlisted-mx", "")
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var reports []*tlsrpt.Report
		for _, data := range [][]byte{a, b} {
			if r, err := tlsrpt.Read(data, tlsrpt.DefaultLimits()); err == nil {
				reports = append(reports, r)
			}
		}
		c := tlsrpt.Scrub(reports, theDay(t), contributionID, onList(t))
		body, err := tlsrpt.MarshalContribution(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := tlsrpt.ValidateContribution(body); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v\n%+v\n%+v", err, again, c)
		}
		for word := range strings.FieldsFuncSeq(words.Replace(string(body)), func(r rune) bool { return strings.ContainsRune(`{}[]",: `, r) }) {
			if !profileWord(word) {
				t.Fatalf("%q is in %s", word, bytes.TrimRight(body, " "))
			}
		}
	})
}

// profileWord holds for members, types, results and buckets.
func profileWord(s string) bool {
	switch s {
	case "date-range", "end-datetime", "start-datetime", "policies", "failure-details", "failed-session-count", "receiving-mx-hostname", "result-type",
		"policy", "policy-domain", "policy-type", "summary", "total-failure-session-count", "total-successful-session-count", "report-id", "0", "20", "50", "100", "500":
		return true
	}
	_, result := tlsrpt.ParseResultType(s)
	_, kind := tlsrpt.ParsePolicyType(s)
	return result || kind
}

// FuzzValidateContribution: what is accepted is the one form of what it says, and nothing else is.
func FuzzValidateContribution(f *testing.F) {
	f.Add([]byte(document("")))
	f.Add([]byte(document(contributed("d.example", "sts", 100, 50, "certificate-expired listed-pattern 20", "sts-policy-invalid - 20") + "," + contributed("e.example", "tlsa", 20, 0))))
	f.Add([]byte(document(`{"failure-details":[],"x":1}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		body := tlsrpt.Pad(bytes.Clone(text))
		c, err := tlsrpt.ValidateContribution(body)
		if err != nil {
			if !errors.Is(err, tlsrpt.ErrForbidden) || strings.ContainsFunc(err.Error(), unprintable) {
				t.Fatalf("%q", err)
			}
			return
		}
		again, err := tlsrpt.MarshalContribution(c)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("%v\n%s\n%s", err, again, body)
		}
		if len(tlsrpt.Tallies(c.Report())) == 0 && len(c.Entries) > 0 {
			t.Fatal("it counts nothing")
		}
	})
}
