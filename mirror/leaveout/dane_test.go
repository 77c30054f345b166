package leaveout

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/discovery/dnssectest"
)

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var (
	signed = []string{"@ MX 10 m", "m A 192.0.2.1", "_25._tcp.m TLSA 3 1 1 " + digest}
	bare   = signed[:2]
)

// book is a book and its clock, before servers that a test chooses for each round.
type book struct {
	*Book
	t   *testing.T
	at  time.Time
	all []policy.Domain
}

func newBook(t *testing.T, names ...string) *book {
	b := &book{t: t, at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for _, name := range names {
		b.all = append(b.all, domain(t, name))
	}
	b.open(filepath.Join(t.TempDir(), "book"))
	return b
}

func (b *book) open(path string) {
	b.t.Helper()
	var err error
	if b.Book, err = Open(path, &socketmap.Live{Now: func() time.Time { return b.at }, DANE: true}); err != nil {
		b.t.Fatal(err)
	}
}

// round asks everybody a day later, in a new process.
func (b *book) round(s dnssectest.Servers, trustAD bool) Round {
	b.t.Helper()
	b.at = b.at.Add(24 * time.Hour)
	b.open(b.path)
	var err error
	b.live.DNS, err = discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: trustAD})
	if err != nil {
		b.t.Fatal(err)
	}
	r := b.Ask(b.t.Context(), b.all, Limits{Most: DefaultMost, Within: time.Minute})
	if err := b.Save(); err != nil {
		b.t.Fatal(err)
	}
	b.open(b.path)
	return r
}

// leaves checks who is left out, of those that are listed as enforcing.
func (b *book) leaves(when string, want ...string) {
	b.t.Helper()
	mx, err := policy.ParseMXPattern("mx.list.example")
	if err != nil {
		b.t.Fatal(err)
	}
	p := policy.Policy{Mode: policy.Enforce, MXs: []policy.MXPattern{mx}}
	expected := map[string]bool{}
	for _, name := range want {
		expected[name] = true
	}
	for _, d := range b.all {
		why, out := b.Reason(d, p, Sources{DANE: true, STS: true})
		if out != expected[d.String()] || out && why.Source != "dane" {
			b.t.Errorf("%s: %s is left out: %t (%+v)", when, d, out, why)
		}
		if _, out := b.Reason(d, p, Sources{STS: true}); out {
			b.t.Errorf("%s: %s is left out for a source that does not count", when, d)
		}
	}
}

// Behind a real validating resolver: only what DNSSEC proves leaves a domain out. Records in unsigned zones, signatures that
// are forged or not there, and a parent that vouches for another key do not.
func TestOnlyProvenDANELeavesOut(t *testing.T) {
	forged := map[string]dnssectest.Fault{"_25._tcp.m": dnssectest.Forged}
	servers := dnssectest.Serve(t,
		dnssectest.Zone{Name: "example."},
		dnssectest.Zone{Name: "good.example.", Records: signed},
		dnssectest.Zone{Name: "none.example.", Records: bare},
		dnssectest.Zone{Name: "plain.example.", Records: signed, Signing: dnssectest.Unsigned},
		dnssectest.Zone{Name: "island.example.", Records: signed, Signing: dnssectest.Island},
		dnssectest.Zone{Name: "stranger.example.", Records: signed, Signing: dnssectest.Stranger},
		dnssectest.Zone{Name: "forged.example.", Records: signed, Faults: forged},
		dnssectest.Zone{Name: "foreign.example.", Records: []string{"@ MX 10 m.plain.example."}},
		dnssectest.Zone{Name: "half.example.", Records: append([]string{"@ MX 20 n", "n A 192.0.2.2"}, signed...)},
		dnssectest.Zone{Name: "unusable.example.", Records: append([]string{"_25._tcp.m TLSA 1 1 1 " + digest}, bare...)},
	)
	names := []string{"good.example", "none.example", "plain.example", "island.example", "stranger.example", "forged.example",
		"foreign.example", "half.example", "unusable.example", "absent.example"}
	b := newBook(t, names...)
	if r := b.round(servers, true); r != (Round{Asked: len(names), Unanswered: 2}) { // stranger and forged
		t.Errorf("%+v", r)
	}
	b.leaves("first round", "good.example")
	if r := b.Ask(t.Context(), b.all, Limits{Most: DefaultMost, Within: time.Minute}); r != (Round{}) {
		t.Errorf("asked again at once: %+v", r)
	}

	// The same resolver over a way that nobody vouches for: its word counts for nothing.
	c := newBook(t, names...)
	c.round(servers, false)
	c.leaves("without trust")
}

// A lookup that fails changes nothing for a week; that there are no records counts at once, where it is proved.
func TestFailedLookupsKeepTheAnswer(t *testing.T) {
	zones := func(records []string, faults map[string]dnssectest.Fault, down bool) dnssectest.Servers {
		return dnssectest.Serve(t, dnssectest.Zone{Name: "example."},
			dnssectest.Zone{Name: "a.example.", Records: records, Faults: faults, Down: down})
	}
	up := zones(signed, nil, false)
	down := zones(signed, nil, true)
	stripped := zones(signed, map[string]dnssectest.Fault{"_25._tcp.m": dnssectest.Stripped}, false)
	b := newBook(t, "a.example")
	b.round(down, true)
	b.leaves("never answered")
	b.round(up, true)
	b.leaves("answered", "a.example")
	for day, s := range []dnssectest.Servers{down, stripped, down, stripped, down, down} {
		if r := b.round(s, true); r.Unanswered != 1 {
			t.Errorf("day %d: %+v", day+1, r)
		}
		b.leaves("while lookups fail", "a.example")
	}
	b.round(down, true)
	b.leaves("after a week of failing lookups")
	b.round(up, true)
	b.leaves("answered again", "a.example")
	b.round(zones(bare, nil, false), true)
	b.leaves("without records")
}
