package socketmap

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// injections are what must never stand in a name: Postfix would take what follows for an attribute, another pattern, a
// line, or the end of the reply.
func injections() (out []string) {
	for c := range 0x20 {
		out = append(out, "mx.a.example"+string(rune(c))+"x")
	}
	for _, c := range []string{" ", "\x7f", "{", "}", ":", ",", "=", "$", "%", "\"", "\\", "/", "\u00a0", "\u2028", "\xff", "*.", "\t"} {
		out = append(out, "mx.a.example"+c+"x", c+"mx.a.example")
	}
	return append(out, "mx.a.example protocols=!TLSv1.3", "mx.a.example:evil.example", "mx.a.example\nb.example  may", "{ mx.a.example }", "192.0.2.1", "")
}

// damagedList is a list as only a broken or robbed operator can sign one: texts stand in it as they are.
func damagedList(t *testing.T, lines ...string) Held {
	t.Helper()
	leaf := &mirror.ReleaseLeaf{Release: 7, Timestamp: start, Expires: start.AddDate(0, 0, 14)}
	data := fmt.Sprintf("{\n\"timestamp\":%q,\n\"expires\":%q,\n\"version\":\"0.1\",\n\"author\":\"A\",\n\"policy-aliases\":{},\n\"policies\":{\n%s\n}\n}\n",
		start.Format(policy.TimeFormat), leaf.Expires.Format(policy.TimeFormat), strings.Join(lines, ",\n"))
	_, text, err := policy.OpenText([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return Held{Name: "damaged", Release: leaf, text: text.Indexed(), expires: leaf.Expires}
}

// clean demands that a reply is one line of printable ASCII that names what is expected and nothing of an injection.
func clean(t *testing.T, from string, r Reply, want string) {
	t.Helper()
	if text := r.String(); text != want || strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		t.Errorf("%s: %q, want %q", from, text, want)
	}
}

// TestInjectionIntoReplies: by a key, by an entry of a list, by the domain's MX records, by its MTA-STS policy. What is no
// name is refused, an entry of a list counted; the entries beside it stand.
func TestInjectionIntoReplies(t *testing.T) {
	for _, bad := range injections() {
		quoted := strconv.QuoteToASCII(bad) // close enough to JSON for what is no name anyway
		for _, text := range []string{quoted, `"` + bad + `"`} {
			r, _, _ := decider(damagedList(t, `"a.example":{"mode":"enforce","mxs":[`+text+`]}`, `"good.example":{"mode":"enforce","mxs":["mx.good.example"]}`))
			for _, dialect := range []string{"legacy", "tlsrpt"} {
				clean(t, "list "+text, r.Answer(t.Context(), dialect, "a.example"), "NOTFOUND ")
			}
			clean(t, "beside "+text, r.Answer(t.Context(), "legacy", "good.example"), "OK secure match=mx.good.example")
			if n := r.Metrics.Refused(); n != 2 && !strings.Contains(bad, "\n") && !strings.Contains(bad, `"`) { // those make other lines
				t.Errorf("list %s: %d refused, want 2", text, n)
			}
		}
		r, _, _ := decider(holding(t, "one", "a.example: enforce .a.example mx.b.example"))
		r.Live = &Live{Now: r.Now, DNS: deafDNS(t), Fetcher: &discovery.Fetcher{}, Patience: time.Second}
		clean(t, "key "+bad, r.Answer(t.Context(), "tlsrpt", bad), "NOTFOUND ")

		if p, err := mtasts.ParsePolicy([]byte(stsText("enforce", 86400, bad))); err == nil { // folded to a name, or cut to one
			for _, mx := range p.MXs {
				if strings.Trim(mx.String(), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
					t.Errorf("%q comes out of MTA-STS as %q", bad, mx)
				}
			}
		}
		r.Live.remember(domain(t, "a.example"), stsPolicy{checked: start})
		d, err := policy.ParseDomain(bad)
		if err == nil {
			t.Errorf("%q is a domain", bad)
		}
		to := route{Route: discovery.Route{Answer: discovery.Answer{Status: discovery.NoError}, Kind: discovery.RouteHosts, Hosts: []discovery.Host{
			{Name: bad, Domain: d}, {Name: "mx.a.example", Domain: domain(t, "mx.a.example")}}}, at: start}
		r.Live.routes.put(domain(t, "a.example"), to, limit[route]{entries: 10})
		clean(t, "MX record "+bad, r.Answer(t.Context(), "legacy", "a.example"), "OK secure match=mx.a.example:mx.b.example")
	}
}

// TestEntriesThatArePartlyWrong: a pattern that is none spoils its entry, for without it the others would mean another
// policy; an entry without patterns would be an empty "match=", over which Postfix defers. Either is refused and counted.
func TestEntriesThatArePartlyWrong(t *testing.T) {
	for _, entry := range []string{
		`{"mode":"enforce","mxs":[]}`, `{"mode":"enforce","mxs":["mx.a.test","192.0.2.1"]}`, `{"mode":"enforce","mxs":["mx.a.test",""]}`,
		`{"mode":"enforce"}`, `{"mode":"","mxs":["mx.a.test"]}`, `{"mode":"none","mxs":["mx.a.test"]}`, `{"mxs":["mx.a.test"]}`,
	} {
		r, _, _ := decider(damagedList(t, `"a.example":`+entry, `"good.example":{"mode":"enforce","mxs":["mx.good.example"]}`))
		says(t, r, "legacy", "a.example", "NOTFOUND ")
		says(t, r, "legacy", "good.example", "OK secure match=mx.good.example")
		if n := r.Metrics.Refused(); n != 1 {
			t.Errorf("%s: %d refused, want 1", entry, n)
		}
	}
}
