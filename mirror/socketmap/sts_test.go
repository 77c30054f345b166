package socketmap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

func stsText(mode string, maxAge int, mxs ...string) string {
	text := fmt.Sprintf("version: STSv1\nmode: %s\nmax_age: %d\n", mode, maxAge)
	for _, mx := range mxs {
		text += "mx: " + mx + "\n"
	}
	return text
}

func found(t *testing.T, id, text string) discovery.STS {
	t.Helper()
	p, err := mtasts.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return discovery.STS{ID: id, Status: discovery.STSOK, Policy: p, Body: []byte(text)}
}

// TestWhatASearchTeaches: a policy stays until another one or its age ends it. That it cannot be found any more, which is
// all that an attacker can bring about, only raises trouble.
func TestWhatASearchTeaches(t *testing.T) {
	enforce := found(t, "1", stsText("enforce", 86400, "mx.a.example"))
	for _, c := range []struct {
		name    string
		held    bool
		after   time.Duration
		search  discovery.STS
		valid   bool
		mode    mtasts.Mode
		trouble string
	}{
		{"first contact", false, 0, enforce, true, mtasts.Enforce, ""},
		{"nothing there", false, 0, discovery.STS{Status: discovery.STSNone}, false, "", ""},
		{"resolver fails", false, 0, discovery.STS{Status: discovery.STSRecordFailed}, false, "", "record-failed"},
		{"web server down", false, 0, discovery.STS{Status: discovery.STSFetchConnect}, false, "", "fetch-connect"},
		{"wrong certificate", false, 0, discovery.STS{Status: discovery.STSFetchCertificate}, false, "", "fetch-certificate"},
		{"nmx: for mx:", false, 0, discovery.STS{Status: discovery.STSPolicyNoMX}, false, "", "policy-no-mx"},
		{"record gone", true, time.Hour, discovery.STS{Status: discovery.STSNone}, true, mtasts.Enforce, "the record has gone"},
		{"two records", true, time.Hour, discovery.STS{Status: discovery.STSRecordMany}, true, mtasts.Enforce, "the record has gone"},
		{"fetch fails", true, time.Hour, discovery.STS{Status: discovery.STSFetchTimeout}, true, mtasts.Enforce, "fetch-timeout"},
		{"changed", true, time.Hour, found(t, "2", stsText("testing", 86400, "mx.b.example")), true, mtasts.Testing, ""},
		{"ended", true, time.Hour, found(t, "3", stsText("none", 86400)), true, mtasts.None, ""},
		{"too old, and gone", true, 25 * time.Hour, discovery.STS{Status: discovery.STSNone}, false, "", ""},
		{"too old, and unreachable", true, 25 * time.Hour, discovery.STS{Status: discovery.STSFetchConnect}, false, "", "fetch-connect"},
	} {
		var p stsPolicy
		if c.held {
			p = p.learn(enforce, start)
		}
		now := start.Add(c.after)
		p = p.learn(c.search, now)
		if p.valid(now) != c.valid || c.valid && p.policy.Mode != c.mode || (p.trouble == "") != (c.trouble == "") || !strings.Contains(p.trouble, c.trouble) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

// TestWhenADomainIsAskedAgain: a policy every hour, "none" every hour, a failure every five minutes; a clock that jumped
// in either direction makes everything due.
func TestWhenADomainIsAskedAgain(t *testing.T) {
	policy := stsPolicy{}.learn(found(t, "1", stsText("enforce", 86400, "mx.a.example")), start)
	short := stsPolicy{}.learn(found(t, "1", stsText("enforce", 600, "mx.a.example")), start)
	failed := stsPolicy{}.learn(discovery.STS{Status: discovery.STSFetchConnect}, start)
	for _, c := range []struct {
		p     stsPolicy
		after time.Duration
		due   bool
	}{
		{policy, 59 * time.Minute, false}, {policy, time.Hour, true}, {policy, -2 * time.Hour, true},
		{short, 9 * time.Minute, false}, {short, 10 * time.Minute, true}, // max_age ends before the hour
		{stsPolicy{}, 59 * time.Minute, false}, {stsPolicy{}, time.Hour, true},
		{failed, 4 * time.Minute, false}, {failed, 5 * time.Minute, true},
	} {
		c.p.checked = start
		if got := c.p.due(start.Add(c.after)); got != c.due {
			t.Errorf("%+v after %s: %v", c.p, c.after, got)
		}
	}
}

// TestPoliciesOutliveARestart: they come back, those of domains without one do not, a damaged line costs only itself.
func TestPoliciesOutliveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mta-sts.jsonl")
	now := start
	newLive := func() *Live { return &Live{Now: func() time.Time { return now }} }
	l := newLive()
	if err := l.Restore(path); err != nil {
		t.Fatalf("no file: %v", err)
	}
	for name, age := range map[string]int{"a.example": 86400, "b.example": 3600, "c.example": 86400} {
		l.policies.put(domain(t, name), stsPolicy{}.learn(found(t, "1", stsText("enforce", age, "*."+name)), now), l.policyLimit())
	}
	l.remember(domain(t, "none.example"), stsPolicy{checked: now})
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), "\n") != 3 {
		t.Fatalf("%s %v", data, err)
	}
	broken := strings.Repeat("x", 2*maxPolicyLine) + "\n" + strings.Replace(string(data), `"domain":"c.example"`, `"domain":"../c"`, 1) + "{\n" +
		strings.Repeat("x", maxPolicyLine+1)
	if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	now = start.Add(2 * time.Hour)
	l = newLive()
	if err := l.Restore(path); err == nil || !strings.Contains(err.Error(), "4 lines left out: line 1: more than") {
		t.Errorf("%v", err)
	}
	p, ok := l.policies.get(domain(t, "a.example"))
	if len(l.policies.all()) != 2 || !ok || !p.valid(now) || !p.due(now) || p.policy.MXs[0].String() != ".a.example" {
		t.Errorf("%+v", l.policies.all())
	}
}

// TestCacheIsBounded: however many domains are asked about.
func TestCacheIsBounded(t *testing.T) {
	var c cache[int]
	var last policy.Domain
	for i := range 1000 {
		last = domain(t, fmt.Sprintf("d%d.example", i))
		c.put(last, i, limit[int]{entries: 100})
		if n := c.len(); n > 100 || i > 100 && n < 93 {
			t.Fatalf("%d remembered", n)
		}
	}
	if v, ok := c.get(last); !ok || v != 999 {
		t.Errorf("%d %v", v, ok)
	}
}

// TestCacheForgetsWhatIsOfNoUse: first what is not to be kept, then what nobody has asked for the longest, also by size.
func TestCacheForgetsWhatIsOfNoUse(t *testing.T) {
	var c cache[int]
	even := limit[int]{entries: 32, bytes: 10_000, size: func(v int) int { return v }, keep: func(v int) bool { return v%2 == 0 }}
	name := func(i int) policy.Domain { return domain(t, fmt.Sprintf("d%d.example", i)) }
	for i := range 33 {
		c.put(name(i), i, even)
	}
	if c.len() != 17 { // the odd ones have gone
		t.Errorf("%v", c.all())
	}
	c.get(name(0))
	for i := 100; i < 140; i += 2 {
		c.put(name(i), i, even)
	}
	_, first := c.get(name(0))
	_, second := c.get(name(2))
	if !first || second || c.len() > 32 {
		t.Errorf("%v", c.all())
	}
	c.put(name(1), 9_000, even)
	if _, ok := c.get(name(1)); !ok || c.size > 10_000 || c.size < 9_000 {
		t.Errorf("%d bytes: %v", c.size, c.all())
	}
}

// TestQuestionsDoNotCrowdOutPolicies: whoever sends mail can make us ask about any number of domains; those without a
// policy never cost a domain its own.
func TestQuestionsDoNotCrowdOutPolicies(t *testing.T) {
	l := &Live{Now: func() time.Time { return start }}
	d := domain(t, "a.example")
	l.remember(d, stsPolicy{}.learn(found(t, "1", stsText("enforce", 86400, "mx.a.example")), start))
	for i := range maxPolicies + maxAbsent + 10 {
		l.remember(domain(t, fmt.Sprintf("d%d.example", i)), stsPolicy{checked: start})
	}
	if p, ok := l.known(d); !ok || !p.valid(start) {
		t.Error("the policy is gone")
	}
	if n := l.absent.len(); n > maxAbsent || n < maxAbsent/2 {
		t.Errorf("%d domains without a policy are remembered", n)
	}
}

// TestPoliciesOutliveAWrongClock: a machine that starts in 1970, or far ahead, keeps what was found out until its clock is
// right, over its own restarts; what has really run out is forgotten after a day.
func TestPoliciesOutliveAWrongClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mta-sts.jsonl")
	now := start
	restart := func(before *Live) *Live {
		t.Helper()
		if before != nil {
			if err := before.Save(path); err != nil {
				t.Fatal(err)
			}
		}
		l := &Live{Now: func() time.Time { return now }, DNS: deafDNS(t), Fetcher: &discovery.Fetcher{}}
		if err := l.Restore(path); err != nil {
			t.Fatal(err)
		}
		return l
	}
	d := domain(t, "a.example")
	l := restart(nil)
	l.remember(d, stsPolicy{}.learn(found(t, "1", stsText("enforce", 86400, "mx.a.example")), now))
	for _, wrong := range []time.Time{time.Unix(0, 0), start.AddDate(30, 0, 0)} {
		l, now = restart(l), wrong
		l = restart(l)
		if p := l.search(t.Context(), d); p.valid(now) { // it fails, and says so for five minutes
			t.Fatalf("valid in %d", wrong.Year())
		}
		l, now = restart(l), start.Add(time.Hour)
		if p, ok := l.known(d); !ok || !p.valid(now) {
			t.Errorf("after %d the policy is gone", wrong.Year())
		}
	}
	now = start.AddDate(0, 0, 2)
	for n := 0; n <= maxDead; n++ {
		if l.policies.len() != 1 {
			t.Fatalf("gone after %d", n)
		}
		if err := l.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	if l.policies.len() != 0 {
		t.Error("what has run out stays for ever")
	}
}

// TestConfirmationsAreBounded: however many ask about policies that are due, each domain is looked at once at a time, so
// many at once, and nobody waits for it.
func TestConfirmationsAreBounded(t *testing.T) {
	free := make(chan struct{})
	resolver := slowResolver(t, free)
	client, err := discovery.NewClient(discovery.Options{Resolver: resolver, Timeout: time.Hour, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := start
	l := &Live{Now: func() time.Time { return now }, DNS: client, Fetcher: &discovery.Fetcher{}, Patience: time.Hour}
	var domains []policy.Domain
	for i := range 4 * confirmers {
		domains = append(domains, domain(t, fmt.Sprintf("d%d.example", i)))
		l.remember(domains[i], stsPolicy{}.learn(found(t, "1", stsText("enforce", 86400, "mx.a.example")), start))
	}
	now = start.Add(2 * time.Hour)
	before := runtime.NumGoroutine()
	for range 100 {
		for _, d := range domains {
			if p := l.sts(t.Context(), d); !p.valid(now) {
				t.Fatal("the policy is gone")
			}
		}
	}
	l.confirming.mu.Lock()
	looked := len(l.confirming.m)
	l.confirming.mu.Unlock()
	if looked != confirmers {
		t.Errorf("%d are looked at, want %d", looked, confirmers)
	}
	if n := runtime.NumGoroutine() - before; n > 8*confirmers {
		t.Errorf("%d goroutines for %d questions", n, 100*len(domains))
	}
	close(free)
	l.Close()
	if n := len(l.confirming.m); n != 0 {
		t.Errorf("%d are still looked at", n)
	}
}

// slowResolver fails every question once it is set free.
func slowResolver(t *testing.T, free <-chan struct{}) netip.AddrPort {
	t.Helper()
	return countingResolver(t, free, new(atomic.Int64))
}

// countingResolver is one that counts.
func countingResolver(t *testing.T, free <-chan struct{}, questions *atomic.Int64) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		questions.Add(1)
		<-free
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// deafDNS is a resolver that nobody answers at: everything has to come from what is known.
func deafDNS(t *testing.T) *discovery.Client {
	t.Helper()
	c, err := discovery.NewClient(discovery.Options{Resolver: netip.MustParseAddrPort("127.0.0.1:9"), Timeout: time.Millisecond, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLiveBeatsTheListInEitherDirection: by policies that are cached, so that no server is needed.
func TestLiveBeatsTheListInEitherDirection(t *testing.T) {
	r, now, _ := decider(holding(t, "one", "a.example: enforce mx.list.example", "t.example: enforce mx.list.example", "n.example: enforce mx.list.example",
		"gone.example: enforce mx.list.example", "x.example: enforce mx.list.example"))
	r.Live = &Live{DNS: deafDNS(t), Fetcher: &discovery.Fetcher{}, Now: r.Now, Patience: time.Second}
	put := func(name, text string) {
		p := stsPolicy{checked: start}
		if text != "" {
			p = p.learn(found(t, "1", text), start)
			p.checked = start
		}
		r.Live.remember(domain(t, name), p)
	}
	put("a.example", stsText("enforce", 864000, "mx.new.example"))
	put("t.example", stsText("testing", 864000, "mx.new.example"))
	put("n.example", stsText("none", 864000))
	put("gone.example", "")
	says(t, r, "legacy", "a.example", "OK secure match=mx.new.example")
	says(t, r, "legacy", "t.example", "NOTFOUND ")
	says(t, r, "legacy", "n.example", "NOTFOUND ")
	says(t, r, "legacy", "gone.example", "OK secure match=mx.list.example") // absence never counts
	if n := r.Metrics.Downgrades(); n != 0 {
		t.Errorf("%d downgrades", n)
	}
	says(t, r, "legacy", "x.example", "OK secure match=mx.list.example") // nor does a lookup that fails; but it is told
	if n := r.Metrics.Downgrades(); n != 1 {
		t.Errorf("%d downgrades", n)
	}
	*now = start.Add(11 * 24 * time.Hour) // the policies have run out, the list has not
	says(t, r, "legacy", "t.example", "OK secure match=mx.list.example")
	r.Live.Close()
}

// TestSearchCutShort: who stops in the middle of a look-up has found out nothing, and remembers nothing.
func TestSearchCutShort(t *testing.T) {
	l := &Live{DNS: deafDNS(t), Fetcher: &discovery.Fetcher{}, Now: func() time.Time { return start }}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, want := range map[context.Context]bool{cut: false, t.Context(): true} {
		d := domain(t, "a.example")
		l.absent.remove(d)
		l.search(ctx, d)
		if _, remembered := l.known(d); remembered != want {
			t.Errorf("remembered: %v, want %v", remembered, want)
		}
	}
}

// TestOneSearchForAll: whoever asks about a domain while it is looked at waits for what is found out, and the domain's own
// servers hear of it once.
func TestOneSearchForAll(t *testing.T) {
	free, questions := make(chan struct{}), &atomic.Int64{}
	client, err := discovery.NewClient(discovery.Options{Resolver: countingResolver(t, free, questions), Timeout: time.Hour, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	l := &Live{Now: func() time.Time { return start }, DNS: client, Fetcher: &discovery.Fetcher{}, Patience: time.Hour}
	var all sync.WaitGroup
	var come atomic.Int64
	for range 100 {
		all.Go(func() {
			come.Add(1)
			if p := l.sts(t.Context(), domain(t, "a.example")); p.valid(start) || p.trouble == "" {
				t.Errorf("%+v of a resolver that fails", p)
			}
		})
	}
	for questions.Load() == 0 || come.Load() < 100 { // the first is under way
		runtime.Gosched()
	}
	close(free)
	all.Wait()
	if n := questions.Load(); n > 10 { // who comes at the moment in which a search ends begins the next
		t.Errorf("%d questions about _mta-sts.a.example for 100 who ask at once", n)
	}
}
