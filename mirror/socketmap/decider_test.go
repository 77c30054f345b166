package socketmap

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wants is a policy in one line: "enforce mx.a.example .b.example".
func wants(t testing.TB, s string) policy.Policy {
	t.Helper()
	words := strings.Fields(s)
	mode, err := policy.ParseMode(words[0])
	if err != nil {
		t.Fatal(err)
	}
	var mxs []policy.MXPattern
	for _, w := range words[1:] {
		mx, err := policy.ParseMXPattern(w)
		if err != nil {
			t.Fatal(err)
		}
		mxs = append(mxs, mx)
	}
	p, err := policy.NewPolicy(mode, mxs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// holding is a list of "domain: policy" lines, good for two weeks from start.
func holding(t testing.TB, name string, lines ...string) Held {
	t.Helper()
	var entries []policy.Entry
	for _, l := range lines {
		d, p, _ := strings.Cut(l, ": ")
		entries = append(entries, policy.Entry{Domain: domain(t, d), Policy: wants(t, p)})
	}
	list, err := policy.NewList(entries)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &mirror.ReleaseLeaf{Release: 7, Timestamp: start, Expires: start.AddDate(0, 0, 14)}
	data, err := list.Bytes(policy.Header{Timestamp: leaf.Timestamp, Expires: leaf.Expires, Author: "A list"})
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := policy.OpenText(data)
	if err != nil {
		t.Fatal(err)
	}
	return Held{Name: name, Release: leaf, text: text, expires: leaf.Expires}
}

// decider is a Decider whose clock and switch a test moves.
func decider(lists ...Held) (r *Decider, now *time.Time, off *bool) {
	now, off = new(time.Time), new(bool)
	*now = start
	r = &Decider{
		Now: func() time.Time { return *now }, Off: func() bool { return *off },
		Log: slog.New(slog.DiscardHandler), Metrics: new(Metrics),
	}
	r.SetLists(lists)
	return r, now, off
}

// says asks through the whole protocol layer but the wire.
func says(t *testing.T, r *Decider, mapName, key, want string) {
	t.Helper()
	if got := r.Answer(t.Context(), mapName, key).String(); got != want {
		t.Errorf("%s %q: %q, want %q", mapName, key, got, want)
	}
}

const listed = "OK secure match=mx.a.example servername=hostname"

// TestKeysAsPostfixSendsThem: in any letters, with a final dot, as U-label; parents, relays and ports are nobody's domain.
func TestKeysAsPostfixSendsThem(t *testing.T) {
	r, _, _ := decider(holding(t, "example", "a.example: enforce mx.a.example", "xn--mller-kva.example: enforce mx.a.example"))
	for _, key := range []string{"a.example", "A.Example", "a.example.", "A.EXAMPLE.", "müller.example", "MÜLLER.example.", "xn--MLLER-kva.example"} {
		says(t, r, "sni", key, listed)
	}
	for _, key := range []string{
		"", ".", ".example", ".a.example", "b.a.example", "example", "[a.example]", "[a.example]:25", "[127.0.0.2]:25", "a.example:587", "a.example..",
		"a.example\x00", "a.example\n", " a.example", "a.example ", "u@a.example", "a_b.example", strings.Repeat("a", 300), "\xff.example", "127.0.0.1",
	} {
		says(t, r, "sni", key, "NOTFOUND ")
	}
}

// TestDialects: an attribute that a Postfix does not know stops all mail of the domain.
func TestDialects(t *testing.T) {
	r, _, _ := decider(holding(t, "example", "a.example: enforce .b.example mx.a.example", "t.example: testing mx.t.example"))
	floor := "OK secure match=.b.example:mx.a.example servername=hostname protocols=>=TLSv1.2"
	reports := floor + " policy_type=sts policy_domain=a.example mx_host_pattern=*.b.example mx_host_pattern=mx.a.example"
	sni := "OK secure match=.b.example:mx.a.example servername=hostname"
	for name, want := range map[string]string{
		"legacy": "OK secure match=.b.example:mx.a.example", "sni": sni, "floor": floor, "tlsrpt": reports,
		"QUERY": sni, "postfix": sni, "QUERYwithTLSRPT": reports, "no-such-name": "OK secure match=.b.example:mx.a.example",
	} {
		says(t, r, name, "a.example", want)
		says(t, r, name, "t.example", "NOTFOUND ") // never "may", which would end the search
	}
}

// TestWhoDecides: switch, override, lists in their order; an expired list is as good as none.
func TestWhoDecides(t *testing.T) {
	r, now, off := decider(
		holding(t, "one", "a.example: enforce mx.a.example", "t.example: testing mx.t.example"),
		holding(t, "two", "a.example: enforce other.example", "b.example: enforce mx.b.example", "t.example: enforce mx.t.example"))
	r.Overrides = Overrides{
		domain(t, "b.example"): {Policy: wants(t, "enforce mine.example"), Reason: "a tunnel", Until: start.Add(time.Hour)},
		domain(t, "a.example"): {Reason: "they moved", Until: start.Add(time.Hour)},
	}
	decides := func(name string, source Source, list, mx string) {
		t.Helper()
		c := r.Decide(t.Context(), domain(t, name))
		got := ""
		for _, m := range c.Policy.MXs {
			got += m.String()
		}
		if c.Source != source || c.List != list || got != mx || len(c.Why) == 0 {
			t.Errorf("%s: %+v, want %s %s %s", name, c, source, list, mx)
		}
	}
	decides("a.example", SourceOverride, "", "")
	decides("b.example", SourceOverride, "", "mine.example")
	decides("t.example", SourceList, "one", "mx.t.example") // testing of the first list hides the second
	*now = start.Add(time.Hour)
	decides("a.example", SourceList, "one", "mx.a.example")
	decides("b.example", SourceList, "two", "mx.b.example")
	decides("c.example", SourceNone, "", "")
	*off = true
	decides("a.example", SourceOff, "", "")
	*off = false
	*now = start.AddDate(0, 0, 14)
	decides("a.example", SourceNone, "", "")
	kept := holding(t, "kept", "a.example: enforce mx.a.example")
	kept.Keep = true
	r.SetLists([]Held{{Name: "never"}, kept})
	decides("a.example", SourceList, "kept", "mx.a.example")
}

// TestEarlyAdopter enforces what a list has only for testing, where this machine says so.
func TestEarlyAdopter(t *testing.T) {
	r, _, _ := decider(holding(t, "one", "a.example: testing mx.a.example", "b.example: testing mx.a.example"))
	r.Testing = func(d policy.Domain) bool { return d.String() == "a.example" }
	says(t, r, "sni", "a.example", listed)
	says(t, r, "sni", "b.example", "NOTFOUND ")
}

// TestDamagedListIsNoReasonToStopMail: the next list is asked, and the answer is never an error.
func TestDamagedListIsNoReasonToStopMail(t *testing.T) {
	broken := holding(t, "broken", "a.example: enforce mx.x.example")
	data := []byte("{\n\"timestamp\":\"2026-03-01T12:00:00Z\",\n\"expires\":\"2026-03-15T12:00:00Z\",\n\"version\":\"0.1\",\n\"author\":\"A\"," +
		"\n\"policy-aliases\":{},\n\"policies\":{\n\"a.example\":{\"mode\":\"enforce\",\"mxs\":[\"\"]}\n}\n}\n")
	var err error
	if _, broken.text, err = policy.OpenText(data); err != nil {
		t.Fatal(err)
	}
	r, _, _ := decider(broken, holding(t, "good", "a.example: enforce mx.a.example"))
	var log logged
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	says(t, r, "sni", "a.example", listed)
	if !strings.Contains(log.String(), "a list cannot be read") {
		t.Errorf("logged %q", log.String())
	}
}

// TestRepliesAreTheSameBytes: for a thousand asks, over a reload.
func TestRepliesAreTheSameBytes(t *testing.T) {
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("d%03d.example: enforce .p%d.example mx%d.example", i, i, i))
	}
	r, _, _ := decider(holding(t, "one", lines...))
	rnd, first := rand.New(rand.NewPCG(1, 2)), map[string]string{}
	for i := range 1000 {
		key := fmt.Sprintf("d%03d.example", rnd.IntN(250))
		reply := r.Answer(t.Context(), "tlsrpt", key).String()
		if before, ok := first[key]; ok && before != reply {
			t.Fatalf("%s: %q, then %q", key, before, reply)
		}
		first[key] = reply
		if i%100 == 0 {
			r.SetLists([]Held{holding(t, "one", lines...)})
		}
	}
	if n := r.Metrics.Answers(SourceList) + r.Metrics.Answers(SourceNone); n != 1000 {
		t.Errorf("%d answers counted", n)
	}
}
