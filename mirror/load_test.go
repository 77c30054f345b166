package mirror

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// TestFiguresLoad lets many mail servers follow a list for days of simulated time: half of them by the timer of the static
// set-up, half by the daemon, with the delays that their units and code have; two releases a day, which change 2,000 domains
// together. Then it does so once more, and all mirrors are out of reach for six hours.
//
// Time is simulated, and so is the fleet: what an update sends and receives depends on nothing but the release that the client
// has, the one that is newest, and whether it has heard that from this mirror before. So each such case is run once, by the
// real client over real HTTP messages, and costs every other member of the fleet the same.
//
// The short form has fewer members and a smaller list, with as many changes: what an update costs depends on these.
func TestFiguresLoad(t *testing.T) {
	t.Parallel()
	members, domains, days := 2_000, 20_000, 2
	if fullForm() {
		members, domains, days = 10_000, 1_000_000, 5
	}
	const changes = 2_000
	calm := newFleet(t, domains, changes)
	storm := calm.again()
	calm.run(members, days)
	day := calm.total
	perClient := func(n float64) float64 { return n / float64(members) / float64(days) }
	requests, bucket := perClient(float64(day.requests)), perClient(float64(day.bucket))
	t.Logf("figures: load: %d clients, %d domains, %d changes in 2 releases a day, %d days: a client makes %.1f requests a day (aim at most 20; %.1f of them answered by 304) and moves %.0f KB from a bucket (aim at most 120), %.0f KB from a folder, %.0f KB from one that is compressed on the way",
		members, domains, changes, days, requests, perClient(float64(day.unchanged)), bucket/1e3, perClient(float64(day.folder))/1e3, perClient(float64(day.zipped))/1e3)
	peak, mean := calm.peak(calm.from, calm.to)
	t.Logf("figures: load: busiest 10 minutes of quiet days %.1f times the mean (aim at most 4)", peak/mean)

	// The same clients, with a morning on which no mirror answers.
	storm.down[0], storm.down[1] = storm.from.Add(9*time.Hour), storm.from.Add(15*time.Hour)
	storm.run(members, 1)
	after, _ := storm.peak(storm.down[1], storm.to)
	vain, _ := storm.peak(storm.down[0], storm.down[1])
	t.Logf("figures: load: after 6 hours without any mirror, the busiest 10 minutes %.1f times the mean of quiet days (aim at most 6); during them at most %.1f times, in vain; updates that failed %d; clients that were not up to date by the end of the day %d (aim 0)",
		after/mean, vain/mean, storm.failures, storm.behind())
	switch {
	case requests > 20 || bucket > 120e3:
		t.Errorf("a client makes %.1f requests and moves %.0f bytes a day", requests, bucket)
	case requests < 8 || day.unchanged == 0 || storm.failures == 0:
		t.Error("the clients did not do what they are to do")
	case peak/mean > 4 || after/mean > 6:
		t.Errorf("the busiest ten minutes: %.1f times the mean, after an outage %.1f times", peak/mean, after/mean)
	case calm.behind() > 0 || storm.behind() > 0:
		t.Errorf("behind: %d, after an outage %d", calm.behind(), storm.behind())
	}
}

// timerUnit is what the static set-up's units say about time.
type timerUnit struct {
	every, delay, retry, window time.Duration
	burst                       int
}

// readUnits reads them where they are: what is simulated is what people install.
func readUnits(t testing.TB) timerUnit {
	t.Helper()
	find := func(file, pattern string) string {
		data, err := os.ReadFile(filepath.Join("../cmd/starttls-policy/systemd", file))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile("(?m)^" + pattern + "$").FindSubmatch(data)
		if m == nil {
			t.Fatalf("%s: no line %s", file, pattern)
		}
		return string(m[1])
	}
	span := func(text string) time.Duration {
		d, err := time.ParseDuration(regexp.MustCompile(`min$`).ReplaceAllString(text, "m"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	hours, err1 := strconv.Atoi(find("starttls-policy-update.timer", `OnCalendar=\*-\*-\* 00/(\d+):00:00`))
	burst, err2 := strconv.Atoi(find("starttls-policy-update.service", `StartLimitBurst=(\d+)`))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return timerUnit{
		every: time.Duration(hours) * time.Hour, delay: span(find("starttls-policy-update.timer", `RandomizedDelaySec=(.*)`)),
		retry: span(find("starttls-policy-update.service", `RestartSec=(.*)`)), window: span(find("starttls-policy-update.service", `StartLimitIntervalSec=(.*)`)), burst: burst,
	}
}

// fleet is all clients, and the list that they follow.
type fleet struct {
	t       *testing.T
	w       *world
	web     *bucketWeb
	rnd     *rand.Rand
	unit    timerUnit
	members []*member
	queue   agenda
	planned int
	edits   func(release int) []policy.Edit

	from, to time.Time    // the days that count
	down     [2]time.Time // no mirror answers from, until
	folders  string       // of clients as they are at each release
	costs    map[visit]cost
	total    cost // on the days that count
	failures int
	minutes  map[time.Time]int // requests in each 10 minutes
}

// member is one client.
type member struct {
	daemon bool
	held   int64    // release
	heard  [3]int64 // the release that each mirror told of last
	slot   time.Time
	starts []time.Time // of the unit, lately
}

// visit is everything that an update's cost depends on.
type visit struct{ held, heard, newest int64 }

// mirrors that each client knows, and begins with at random (cmd/starttls-policy/lists.go).
var loadMirrors = [3]string{"one.list.example", "two.list.example", "three.list.example"}

// warmUp is how long clients follow the list before the days that count.
const warmUp = 24 * time.Hour

func newFleet(t *testing.T, domains, changes int) *fleet {
	t.Helper()
	f := &fleet{t: t, w: newWorld(t, 3), rnd: rand.New(rand.NewPCG(10, 2)), unit: readUnits(t), folders: t.TempDir(), costs: map[visit]cost{}, minutes: map[time.Time]int{}}
	f.web = &bucketWeb{t: t, w: f.w}
	names := loadNames(f.rnd, domains)
	name := func(i int) string { return names[i] }
	mx := func(n int) []string { // every third has servers of its own, the others a provider's
		if n%3 == 0 {
			return []string{"mail." + names[n%domains]}
		}
		return []string{fmt.Sprintf("mx1.p%d.example", n%500), fmt.Sprintf("mx2.p%d.example", n%500)}
	}
	all := make([]policy.Edit, domains)
	for i := range all {
		all[i] = set(name(i), policy.Testing, mx(i)...)
	}
	f.w.now, f.w.interval = worldStart.Truncate(24*time.Hour).Add(-time.Hour), 0
	f.w.release(all...)
	f.edits = func(release int) (edits []policy.Edit) { // domains all over the list, one after the other
		for n := range changes / 2 {
			n += release * changes / 2
			i := n * 7919 % domains
			edits = append(edits, set(name(i), policy.Enforce, mx(i+n+1)...))
		}
		return edits
	}
	f.from = worldStart.Truncate(24 * time.Hour).Add(warmUp)
	f.first()
	return f
}

// again is the same list before anybody followed it, with clients of its own. Its releases will have the same bytes, so that
// what an update costs is known from one to the other.
func (f *fleet) again() *fleet {
	c := *f
	c.w, c.rnd, c.minutes = f.w.fork(), rand.New(rand.NewPCG(10, 3)), map[time.Time]int{}
	c.web = &bucketWeb{t: f.t, w: c.w}
	return &c
}

// loadNames are names of 6 to 15 random letters, each once: what compresses them must not find a pattern that is ours.
func loadNames(rnd *rand.Rand, n int) []string {
	names, seen := make([]string, 0, n), make(map[string]bool, n)
	for len(names) < n {
		letters := make([]byte, 6+rnd.IntN(10))
		for i := range letters {
			letters[i] = 'a' + byte(rnd.IntN(26))
		}
		if name := string(letters) + ".example"; !seen[name] {
			names, seen[name] = append(names, name), true
		}
	}
	return names
}

// first is a client that has the first release.
func (f *fleet) first() {
	c := f.client(f.folder(1), 0)
	if err := os.Mkdir(c.Dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	_, err := Join(context.Background(), c.Dir, c.Sources[0].Reader, f.w.fingerprint())
	f.w.must(err)
	_, err = c.Update(context.Background())
	f.w.must(err)
}

func (f *fleet) folder(release int64) string { return filepath.Join(f.folders, fmt.Sprint(release)) }

func (f *fleet) client(dir string, first int) *Client {
	c := &Client{Dir: dir, First: first, Now: func() time.Time { return f.w.now }, Log: slog.New(slog.DiscardHandler)}
	for _, name := range loadMirrors {
		c.Sources = append(c.Sources, f.web.reader(name))
	}
	return c
}

// plan says when a member updates next.
func (f *fleet) plan(m *member) {
	if m.daemon {
		at := m.slot.Add(FirstWait(f.rnd.Int64N)).Add(time.Duration(f.rnd.Int64N(int64(f.unit.every)))) // they started some day
		if m.starts != nil {
			at = f.w.now.Add(NextWait(f.unit.every, f.rnd.Int64N))
		}
		m.starts = []time.Time{}
		f.at(at, func() { f.update(m); f.plan(m) })
		return
	}
	m.starts = nil
	start := m.slot.Add(time.Duration(f.rnd.Int64N(int64(f.unit.delay))))
	m.slot = m.slot.Add(f.unit.every)
	f.at(start, func() { f.start(m) })
}

// start is one start of the unit: after a failure it is started again, until it has been too often.
func (f *fleet) start(m *member) {
	m.starts = append(m.starts, f.w.now)
	if !f.update(m) && len(m.starts) < f.unit.burst && f.w.now.Add(f.unit.retry).Sub(m.starts[0]) < f.unit.window {
		f.at(f.w.now.Add(f.unit.retry), func() { f.start(m) })
		return
	}
	f.plan(m)
}

// update is one update of a member; it reports whether that went well.
func (f *fleet) update(m *member) bool {
	first := f.rnd.IntN(len(loadMirrors))
	v := visit{m.held, m.heard[first], f.w.last.Leaf.Release}
	f.web.down = !f.w.now.Before(f.down[0]) && f.w.now.Before(f.down[1])
	if f.web.down {
		v.newest = 0
	}
	spent, ok := f.costs[v]
	if !ok {
		spent = f.really(v, first)
		f.costs[v] = spent
	}
	if f.minutes[f.w.now.Truncate(10*time.Minute)] += spent.requests; !f.w.now.Before(f.from) && f.w.now.Before(f.to) {
		f.total.add(spent)
	}
	if f.web.down {
		f.failures++
		return false
	}
	m.held, m.heard[first] = v.newest, v.newest
	return true
}

// really lets a client do it. What it holds then is where others begin.
func (f *fleet) really(v visit, first int) cost {
	f.t.Helper()
	dir := filepath.Join(f.folders, fmt.Sprintf("%d-%d-%d", v.held, v.heard, v.newest))
	f.w.must(os.CopyFS(dir, os.DirFS(f.folder(v.held))))
	defer os.RemoveAll(dir)
	c := f.client(dir, first)
	f.w.must(os.Remove(filepath.Join(dir, pointersFile)))
	pointer := f.w.pointers[v.heard]
	c.remember(loadMirrors[first], recalled{f.web.tag(pointer), string(pointer)})
	f.web.cost = cost{}
	out, err := c.Update(context.Background())
	switch {
	case f.web.down && !errors.Is(err, ErrNoMirror), !f.web.down && err != nil:
		f.t.Fatalf("%+v: %v", v, err)
	case f.web.down:
	case out.Release.Release != v.newest || out.Held != "":
		f.t.Fatalf("%+v: release %d, %s", v, out.Release.Release, out.Held)
	case v.held != v.newest:
		if _, err := os.Stat(f.folder(v.newest)); err != nil {
			f.w.must(os.CopyFS(f.folder(v.newest), os.DirFS(dir)))
		}
	}
	return f.web.cost
}

// run is the time before the days that count, and those. Releases are made twice a day.
func (f *fleet) run(members, days int) {
	f.to = f.from.AddDate(0, 0, days)
	for i := range members {
		m := &member{daemon: i%2 == 0, held: 1, heard: [3]int64{1, 1, 1}, slot: f.from.Add(-warmUp)}
		f.members = append(f.members, m)
		f.plan(m)
	}
	for at := f.from.Add(-warmUp); at.Before(f.to); at = at.Add(12 * time.Hour) {
		f.at(at.Add(5*time.Hour+41*time.Minute), func() { f.w.release(f.edits(int(f.w.number()))...) })
	}
	for len(f.queue) > 0 && f.queue[0].at.Before(f.to) {
		e := heap.Pop(&f.queue).(event)
		f.w.now = e.at
		e.do()
	}
}

// behind counts the clients whose release is older than what an update six hours and a half ago would have given.
func (f *fleet) behind() (n int) {
	for _, m := range f.members {
		if m.held < f.w.last.Leaf.Release-1 {
			n++
		}
	}
	return n
}

// peak is the most requests in 10 minutes of that time, and the mean.
func (f *fleet) peak(from, to time.Time) (most, mean float64) {
	for at := from; at.Before(to); at = at.Add(10 * time.Minute) {
		most = max(most, float64(f.minutes[at]))
		mean += float64(f.minutes[at])
	}
	return most, mean / (to.Sub(from).Minutes() / 10)
}

// event is something that happens at a time; agenda gives out the next one. Events of one time come in the order in which they
// were planned.
type event struct {
	at time.Time
	n  int
	do func()
}

type agenda []event

func (f *fleet) at(at time.Time, do func()) {
	f.planned++
	heap.Push(&f.queue, event{at, f.planned, do})
}

func (a agenda) Len() int      { return len(a) }
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].n < a[j].n
}
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
