package pipeline_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
)

// year is an operator with three vantages, three mirrors and two clients, whose world goes by a scenario.
type year struct {
	*rotating
	test     *testing.T
	clock    atomic.Int64 // now, for what runs beside
	truth    *yearTruth
	vantages []*yearVantage
	outages  []*outage
	clients  []*mirror.Client
	polls    []yearPoll
	proofs   map[string]string // the first of each domain
	forgets  map[string]bool   // domains that do not renew certificates
	web      map[string]time.Time
	interval time.Duration // between releases
	idle     bool          // the operator is away
	scans    int
	looks    int

	blindTo func(yearEvent) bool // what the vantages are kept from seeing, though it happens
}

// yearPoll is what a client held after an update.
type yearPoll struct {
	at      time.Time
	client  int
	release int64
	list    [32]byte
	out     mirror.Freshness
	err     error
}

// newYear stands before its first day. Of so many scans one looks at a domain to which nothing happened live; the vantages
// take turns.
func newYear(t *testing.T, every int, interval time.Duration) *year {
	t.Helper()
	start := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	g := newGated(t, nil)
	y := &year{test: t, interval: interval, proofs: map[string]string{}, forgets: map[string]bool{}, web: map[string]time.Time{}, blindTo: func(yearEvent) bool { return false }}
	y.rotating = rotatingOf(g.operator)
	y.truth = &yearTruth{start: start, domains: map[string][]yearOwner{}, hosts: map[string][]yearHost{}, curated: map[string]bool{}}
	y.set(start)
	y.Mirrors = nil
	for _, name := range []string{"public", "second", "third"} {
		o := &outage{Store: y.target(name).Store, name: name}
		y.outages = append(y.outages, o)
		y.Mirrors = append(y.Mirrors, pipeline.Target{Name: name, Store: o})
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for i, name := range vantageNames {
		v, err := newYearVantage(ctx, name, func() time.Time { return time.Unix(0, y.clock.Load()).UTC() })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.lab.Close)
		v.rests = func(scan, nth int) bool { return (scan+nth+i)%every == 0 }
		y.vantages = append(y.vantages, v)
	}
	y.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		var files []probe.EvidenceFile
		for _, v := range y.vantages {
			files = append(files, evidenceFile(v.name, v.file))
		}
		return files, nil
	}
	return y
}

func (y *year) set(now time.Time) {
	y.now = now
	y.clock.Store(now.UnixNano())
}

// live goes through the days.
func (y *year) live(events []yearEvent, days int) {
	y.t.Helper()
	for day := range days {
		midnight := y.truth.start.AddDate(0, 0, day)
		y.set(midnight)
		for len(events) > 0 && events[0].day <= day {
			y.event(events[0])
			events = events[1:]
		}
		y.must(y.renewAll())
		for hour := time.Duration(1); hour < 24; hour++ {
			y.set(midnight.Add(hour * time.Hour))
			switch {
			case hour%6 == 2:
				y.poll()
			case y.idle:
			case (hour-1)*time.Hour%y.interval == 0:
				y.releases()
			case hour == 16:
				y.bots()
			}
		}
	}
}

func (y *year) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatalf("%s: %v", y.now.Format(time.DateTime), err)
	}
}

// releases scans and releases, as a timer would twice a day.
func (y *year) releases() {
	y.t.Helper()
	checked, err := pipeline.Check(y.t.Context(), y.Source)
	y.must(err)
	if policy.HasErrors(checked.Findings()) {
		y.t.Fatalf("source: %v", checked.Findings())
	}
	y.must(y.scanAll(y.t.Context(), checked.Entries()))
	out, err := y.Release(y.t.Context())
	if errors.Is(err, pipeline.ErrMirrors) {
		return
	}
	y.must(err)
	for _, f := range out.Findings {
		if f.Severity == policy.Error {
			y.t.Fatalf("%s: %s", f.Code, f.Summary)
		}
	}
	if y.clients == nil {
		y.clients = []*mirror.Client{y.client("public", mirror.Auto), y.client("public", mirror.Snapshot)}
		for i, c := range y.clients {
			c.Sources, c.First = nil, i
			for _, o := range y.outages {
				c.Sources = append(c.Sources, mirror.Source{Name: o.name, Reader: o})
			}
		}
	}
}

// bots edit the source as they do every day.
func (y *year) bots() {
	y.t.Helper()
	if y.Gate == nil {
		return
	}
	for _, name := range []string{"sync-mta-sts", "promote", "demote"} {
		k, err := y.Known(y.t.Context())
		if errors.Is(err, pipeline.ErrPending) {
			return // on no mirror yet
		}
		y.must(err)
		run, err := pipeline.Bots()[name].Plan(y.t.Context(), y.Source, k)
		y.must(err)
		y.must(run.Write())
	}
}

// poll lets the clients update.
func (y *year) poll() {
	for i, c := range y.clients {
		out, err := c.Update(y.t.Context())
		p := yearPoll{at: y.now, client: i, out: out.Freshness, err: err}
		if data, e := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath)); e == nil {
			p.list = sha256.Sum256(data)
		}
		if out.Release != nil {
			p.release = out.Release.Release
		}
		y.polls = append(y.polls, p)
	}
}

// event makes a line of the scenario true.
func (y *year) event(e yearEvent) {
	y.t.Helper()
	switch {
	case e.verb == "attack":
		y.truth.attacks = append(y.truth.attacks, yearAttack{e.domain, yearSpan{y.now, y.now.Add(y.days(e.args[0]))}})
	case e.verb == "commit":
		y.commit(e)
	case e.verb == "alias":
		y.write("list/domains/"+e.domain+".json", fmt.Sprintf(`{"policy-aliases": {%q: {"mode": "testing", "mxs": %s}}, "policies": {}}`, e.domain, quoted(e.args)))
	case e.domain == "-":
		y.operate(e)
	case y.blindTo(e):
		y.note(e)
	default:
		y.must(y.happen(e))
	}
}

func quoted(words []string) string {
	data, _ := json.Marshal(words)
	return string(data)
}

// commit writes an entry; each has a file of its own.
func (y *year) commit(e yearEvent) {
	path, entry := "list/domains/"+e.domain+".json", ""
	switch e.args[1] {
	case "alias":
		entry = fmt.Sprintf(`"policy-alias": %q, "managed-by": %q`, e.args[2], e.args[0])
	default:
		entry = fmt.Sprintf(`"mode": %q, "mxs": %s, "managed-by": %q`, e.args[1], quoted(e.args[2:]), e.args[0])
	}
	if e.args[0] == "curated" {
		y.truth.curated[e.domain] = true
		entry += `, "note": "asked for by letter"`
	}
	y.write(path, fmt.Sprintf(`{"policies": {%q: {%s}}}`, e.domain, entry))
}

// operate is what happens to the operator.
func (y *year) operate(e yearEvent) {
	y.t.Helper()
	switch e.verb {
	case "mirror":
		i := slices.IndexFunc(y.outages, func(o *outage) bool { return o.name == e.args[0] })
		y.outages[i].down = e.args[1] == "down"
	case "operator":
		if y.idle = e.args[0] == "away"; y.idle {
			y.truth.away = append(y.truth.away, yearSpan{y.now, y.now.AddDate(9, 0, 0)})
		} else {
			y.truth.away[len(y.truth.away)-1].to = y.now
		}
	case "strips":
		i := slices.IndexFunc(y.vantages, func(v *yearVantage) bool { return v.name == e.args[0] })
		y.must(y.vantages[i].stripAll(e.args[1] == "on"))
	case "rotates":
		y.rotate(func(r *rotating) {
			if e.args[0] == "log" {
				r.log = r.key(signing.Ed25519)
			} else {
				r.releases = []*signing.Key{r.key(signing.ECDSAP256)}
			}
		})
	default:
		y.t.Fatalf("scenario: %v", e)
	}
}

// TestFiguresYear lets a list live: 200 domains that join, move, break, change owners and leave, vantages that are lied to,
// mirrors that are away, keys that rotate; 60 days with a release a day, and 380 with two with POLICYLIST_FULL.
//
// The probe, the merge, the gate, the bots, the publisher, its log and its mirrors, and the clients are the real ones, with
// one clock for them, for TLS and for the three labs that the vantages look at. In the short form a vantage looks live at
// what changed, at what it could not tell, and each time at a part of the rest; of the others the last live observation is
// judged anew. In the long form one vantage of the three, each in turn, looks live at those each time.
//
// What is asserted is read from a mirror, by an audit from the first entry, and held against what the scenario says that
// was so.
func TestFiguresYear(t *testing.T) {
	t.Parallel()
	days, every, interval, releases := shortYear, 60, 24*time.Hour, 60
	if os.Getenv("POLICYLIST_FULL") == "1" {
		days, every, interval, releases = yearDays, len(vantageNames), 12*time.Hour, 730
	}
	text, err := os.ReadFile(yearFile)
	if err != nil {
		t.Fatal(err)
	}
	y := newYear(t, every, interval)
	y.live(readYear(t, string(text)), days)
	log := y.readLog()
	for _, wrong := range log.judge() {
		t.Error(wrong)
	}
	live := 0
	for _, v := range y.vantages {
		live += v.live
	}
	t.Logf("figures: year: %d days, domains %d, releases %d, changes %d, looks %d (live %d), client updates %d; wrong: %s", days, len(y.truth.domains),
		len(log.releases), len(log.changes), y.looks, live, len(y.polls), log.tally())
	t.Logf("figures: year: changes by reason %v", log.reasons())
	leaves, unnoticed := log.altered()
	t.Logf("figures: year: altered leaves of the log that an audit was shown %d, unnoticed %d", leaves, len(unnoticed))
	if len(log.releases) < releases {
		t.Errorf("%d releases, want %d", len(log.releases), releases)
	}
	for _, reason := range yearReasons {
		if log.reasons()[reason] == 0 {
			t.Errorf("nothing happened that is logged as %s", reason)
		}
	}
}

// yearReasons are what a year must lead to, the short one too.
var yearReasons = []string{"add.testing", "promote.evidence", "mxs.narrowed", "mxs.widened", "mxs.replaced", "demote.owner", "demote.auto",
	"demote.emergency", "remove.owner", "remove.auto", "remove.gone", "restore.auto"}

// TestYearNotices: what the year asserts can fail. Each flaw lives through the days that it takes with the few domains that
// it takes.
func TestYearNotices(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(yearFile)
	if err != nil {
		t.Fatal(err)
	}
	blindTo := func(verb string) func(*year) {
		return func(y *year) { y.blindTo = func(e yearEvent) bool { return e.verb == verb } }
	}
	for _, flaw := range []struct {
		name, wrong string // the kind of what is noticed
		domains     string
		days        int
		more        string // of the scenario
		set         func(*year)
		shown       func(*year) // made of what was published
	}{
		{name: "no gate", wrong: "reason", domains: "member-01 prov-c", days: 29, set: func(y *year) { y.Gate = nil }},
		{name: "one vantage is believed", wrong: "attack", domains: "lured-01", days: 30, set: func(y *year) { y.believe("west") }},
		{name: "one vantage demotes nobody", wrong: "enforce", domains: "ever-01", days: 25, set: func(y *year) { y.believe("north") }},
		{name: "nobody sees a failure", wrong: "enforce", domains: "ever-01 day-01", days: 25, set: blindTo("breaks")},
		{name: "nobody sees the owner's wish", wrong: "owed", domains: "switcher-01", days: 18, set: blindTo("sts")},
		{name: "the operator sleeps", wrong: "expired", domains: "steady-01", days: 24, more: "8 - operator away\n23 - operator back\n"},
		{name: "all mirrors are away", wrong: "client", domains: "steady-01", days: 26,
			more: "8 - mirror public down\n8 - mirror second down\n8 - mirror third down\n24 - mirror public up\n24 - mirror second up\n24 - mirror third up\n"},
		{name: "a leaf of one mirror is altered", wrong: "audit", domains: "steady-01", days: 9, shown: func(y *year) { y.alter("third") }},
	} {
		t.Run(flaw.name, func(t *testing.T) {
			y := newYear(t, 60, 24*time.Hour)
			if flaw.set != nil {
				flaw.set(y)
			}
			events := slices.DeleteFunc(readYear(t, string(text)), func(e yearEvent) bool {
				return !slices.Contains(strings.Fields(flaw.domains), strings.TrimSuffix(e.domain, ".example"))
			})
			events = append(events, readYear(t, flaw.more)...)
			slices.SortStableFunc(events, func(a, b yearEvent) int { return cmp.Compare(a.day, b.day) })
			y.live(events, flaw.days)
			if flaw.shown != nil {
				flaw.shown(y)
			}
			log := y.readLog()
			if wrong := log.judge(); log.kinds[flaw.wrong] == 0 {
				t.Errorf("nothing %q among %q", flaw.wrong, wrong)
			}
			t.Logf("%s", log.tally())
		})
	}
}

// believe makes one vantage the only one.
func (y *year) believe(name string) {
	y.vantages = slices.DeleteFunc(y.vantages, func(v *yearVantage) bool { return v.name != name })
	path := y.path("list/" + policy.SettingsName)
	data, err := os.ReadFile(path)
	var settings map[string]any
	if err = errors.Join(err, json.Unmarshal(data, &settings)); err != nil {
		y.t.Fatal(err)
	}
	settings["vantages"] = slices.DeleteFunc(settings["vantages"].([]any), func(v any) bool { return v.(map[string]any)["name"] != name })
	settings["quorum"] = 1
	if data, err = json.Marshal(settings); err != nil {
		y.t.Fatal(err)
	}
	y.write("list/"+policy.SettingsName, string(data))
}
