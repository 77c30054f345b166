package pipeline

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

var trackStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func trackDomain(t testing.TB, name string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lookAt has something of everything.
func lookAt(t testing.TB, hours int) gate.Look {
	t.Helper()
	mx, err := policy.ParseMXPattern(".mx.example")
	if err != nil {
		t.Fatal(err)
	}
	return gate.Look{
		At: trackStart.Add(time.Duration(hours) * time.Hour), Voters: 3, Good: 1, Bad: 2, Hard: 1, Gone: 1, Codes: []string{"cert.expired"},
		Live: []gate.LiveMX{{Host: trackDomain(t, "a.mx.example"), Vantages: 2}},
		STS:  []gate.STSSeen{{Vantages: 1}, {Vantages: 2, STS: gate.STS{Mode: mtasts.Enforce, MXs: []policy.MXPattern{mx}, Track: mtasts.TrackService}}},
		Proofs: []gate.ProofSeen{{Vantages: 3, Reading: proof.Reading{Status: proof.OK,
			Record: proof.Record{Kind: proof.Remove, Expires: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}}}},
	}
}

// TestTracksKeepLooks: what is written reads back as the same looks; the same scan twice is one look.
func TestTracksKeepLooks(t *testing.T) {
	ts := &tracks{release: 7, lines: map[string][]byte{}, open: map[string]*track{}}
	tr, err := ts.of(trackDomain(t, "a.example"))
	if err != nil {
		t.Fatal(err)
	}
	other := lookAt(t, 24)
	other.Good, other.Bad = 3, 0
	want := []gate.Look{lookAt(t, 0), other, lookAt(t, 48), lookAt(t, 72)}
	for _, l := range want {
		tr.add(l)
		tr.add(l)
	}
	tr.add(gate.Look{At: trackStart.Add(1000 * time.Hour)}) // nobody looked
	if len(tr.Spans) != 3 {
		t.Errorf("%d spans", len(tr.Spans))
	}
	data, err := ts.bytes(trackStart.Add(96 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	back := &tracks{lines: map[string][]byte{}, open: map[string]*track{}}
	if err := back.read(data); err != nil || back.release != 7 {
		t.Fatal(back.release, err)
	}
	if tr, err = back.of(trackDomain(t, "a.example")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := tr.history(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, want)
	}
}

// TestTracksOfOneSecond: a vantage whose evidence came late is added to the look that the others made; one that went missing
// takes nothing from it, and the same scan read again changes nothing.
func TestTracksOfOneSecond(t *testing.T) {
	early, two, three, one := lookAt(t, 0), lookAt(t, 24), lookAt(t, 24), lookAt(t, 24)
	two.Voters, two.Good, one.Voters, one.Good, one.Bad = 2, 0, 1, 1, 0
	three.Good, three.Bad = 2, 1
	corrected := three
	corrected.Good, corrected.Bad = 3, 0
	late := lookAt(t, 12)
	for _, c := range []struct {
		name string
		add  []gate.Look
		want []gate.Look
	}{
		{"a vantage comes late", []gate.Look{early, two, three}, []gate.Look{early, three}},
		{"a vantage is missing", []gate.Look{early, three, one, two}, []gate.Look{early, three}},
		{"as many vantages say another thing", []gate.Look{early, three, corrected}, []gate.Look{early, corrected}},
		{"the same again", []gate.Look{early, three, three}, []gate.Look{early, three}},
		{"the first look is replaced", []gate.Look{two, three}, []gate.Look{three}},
		{"it shows what the one before showed", []gate.Look{early, corrected, lookAt(t, 24)}, []gate.Look{early, lookAt(t, 24)}},
		{"the end of a span is replaced", []gate.Look{early, lookAt(t, 24), corrected}, []gate.Look{early, corrected}},
		{"overtaken", []gate.Look{early, three, late}, []gate.Look{early, three}},
	} {
		tr := &track{Domain: "a.example"}
		for _, l := range c.add {
			tr.add(l)
		}
		if got, _, err := tr.history(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v\n%+v, want\n%+v", c.name, err, got, c.want)
		}
	}
}

// TestTracksForget: what is old goes, looks close together are thinned without losing a day, and nobody fills the state.
func TestTracksForget(t *testing.T) {
	tr := &track{Domain: "a.example"}
	for h := range 24 * 70 {
		tr.add(lookAt(t, h))
	}
	now := trackStart.Add(24 * 70 * time.Hour)
	tr.forget(now)
	looks, _, err := tr.history()
	if err != nil {
		t.Fatal(err)
	}
	days := map[string]bool{}
	for i, l := range looks {
		days[l.At.Format(time.DateOnly)] = true
		if now.Sub(l.At) > gate.Keep || i > 0 && l.At.Sub(looks[i-1].At) > thin {
			t.Errorf("look %d at %s", i, l.At)
		}
	}
	if n := int(gate.Keep.Hours() / 24); len(days) < n || len(looks) > 3*n {
		t.Errorf("%d looks on %d days", len(looks), len(days))
	}
	hostile := &track{Domain: "a.example"}
	for h := range 1000 {
		l := lookAt(t, h)
		for i := range 32 {
			l.Live = append(l.Live, gate.LiveMX{Host: trackDomain(t, fmt.Sprintf("%s%d-%d.example", strings.Repeat("x", 50), h, i)), Vantages: 1})
		}
		hostile.add(l)
	}
	hostile.forget(trackStart.Add(1000 * time.Hour))
	looks, _, err = hostile.history()
	if err != nil || len(looks) < 10 || len(looks) > 200 || !looks[len(looks)-1].At.Equal(trackStart.Add(999*time.Hour)) {
		t.Errorf("%d looks, %v", len(looks), err)
	}
}

// TestTracksRefuseDamage: a file that is none of ours stops the release; it does not begin anew by itself.
func TestTracksRefuseDamage(t *testing.T) {
	header := `{"format":"policylist/looks/v1","release":1}` + "\n"
	for name, text := range map[string]string{
		"no header": "", "another format": `{"format":"x","release":1}` + "\n", "a negative release": strings.Replace(header, "1}", "-1}", 1),
		"no JSON": header + "{\n", "no domain": header + `{"domain":"x"}` + "\n",
	} {
		if err := (&tracks{lines: map[string][]byte{}}).read(zstdOf(t, text)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (&tracks{lines: map[string][]byte{}}).read([]byte("not zstd")); err == nil {
		t.Error("what is not compressed is taken")
	}
	for _, line := range []string{`{"domain":"a.example","looks":[{"at":[1],"live":[{"host":"_"}]}]}`, `{"domain":"a.example","looks":[{"at":[5,-1]}]}`,
		`{"domain":"a.example","log":[{"after":{"mode":"none"}}]}`, `{"domain":"a.example","looks":[{"at":[1],"sts":[{"mxs":["*"]}]}]}`} {
		ts := &tracks{lines: map[string][]byte{}, open: map[string]*track{}}
		if err := ts.read(zstdOf(t, header+line+"\n")); err != nil {
			t.Fatal(err)
		}
		tr, err := ts.of(trackDomain(t, "a.example"))
		if err == nil {
			_, _, err = tr.history()
		}
		if err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}

func zstdOf(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzReadTracks: no line makes it panic, and what is taken is written in one form.
func FuzzReadTracks(f *testing.F) {
	f.Add(`{"domain":"a.example","managed":"owner","looks":[{"at":[1772366400,86400],"voters":1,"good":1,"live":[{"host":"mx.a.example","by":1}]}]}`)
	f.Add(`{"domain":"a.example","log":[{"at":"2026-03-01T00:00:00Z","after":{"mode":"testing","mxs":["mx.a.example"]},"reason":"add.testing"}]}`)
	f.Add(`{"domain":"a.example","looks":[{"at":[],"voters":-1}]}`)
	f.Fuzz(func(t *testing.T, line string) {
		ts := &tracks{lines: map[string][]byte{"a.example": []byte(line)}, open: map[string]*track{}}
		tr, err := ts.of(trackDomain(t, "a.example"))
		if err != nil {
			return
		}
		tr.forget(trackStart)
		looks, log, err := tr.history()
		if err != nil {
			return
		}
		in := gate.Input{Domain: trackDomain(t, "a.example"), Looks: looks, Log: log, Now: trackStart}
		gate.Decide(in, gate.Settings{Vantages: 3, Quorum: 2})
		tr.add(lookAt(t, 0))
		tr.forget(trackStart)
		if _, _, err := tr.history(); err != nil {
			t.Errorf("taken, and refused later: %v", err)
		}
	})
}

// TestHardFaultsOfTheProbe goes through every code that fails a domain: a new one has to be put on one side.
func TestHardFaultsOfTheProbe(t *testing.T) {
	soft := map[string]bool{
		"dane.mismatch": true, "dane.ta-not-in-chain": true, "dane.name": true, // the list's senders verify by PKIX
		"sts.mx-not-covered": true, // they go by the list
		"dns.nxdomain":       true, // a rule of its own
		"mx.not-covered":     true, // asked of each entry anew
	}
	for _, c := range probe.Codes() {
		if c.Severity == policy.Error && gate.HardFault(c.ID) == soft[c.ID] {
			t.Errorf("%s: hard %v", c.ID, gate.HardFault(c.ID))
		}
		if c.Severity != policy.Error && gate.HardFault(c.ID) {
			t.Errorf("%s is no failure, and hard", c.ID)
		}
	}
}
