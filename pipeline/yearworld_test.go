package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// canaryName is a domain of the operator's own at which vantages look first.
const canaryName = "canary.operator.example"

// renewal is the age at which those who do not forget renew their certificates.
const renewal = 60 * 24 * time.Hour

// yearVantage is a host that looks at a lab of its own: what happens to it alone can be done to that lab.
type yearVantage struct {
	name  string
	lab   *lab.Lab
	roots probe.Roots
	strip bool                         // a middlebox stands before everything
	hosts map[string]lab.Behaviour     // as they are, the middlebox aside
	mx    map[string][]string          // of domains
	rev   map[string]int               // of domains: how often something about them changed
	seen  map[policy.Domain]yearSeen   // the last live look
	past  map[policy.Domain]probe.Past // of the last scan
	file  []byte                       // the last scan
	live  int                          // domains looked at live
	rests func(scan int, nth int) bool // whether a domain of which nothing changed is looked at anew all the same
	clock func() time.Time             // of all
}

// yearSeen is a live look.
type yearSeen struct {
	rev    int
	result probe.Result
}

// yearClock stands still.
type yearClock func() time.Time

func (c yearClock) Now() time.Time                                   { return c() }
func (c yearClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func newYearVantage(ctx context.Context, name string, clock func() time.Time) (*yearVantage, error) {
	l, err := lab.Start(ctx, lab.Options{Now: clock})
	if err != nil {
		return nil, err
	}
	v := &yearVantage{name: name, lab: l, hosts: map[string]lab.Behaviour{}, mx: map[string][]string{}, rev: map[string]int{},
		seen: map[policy.Domain]yearSeen{}, clock: clock}
	if v.roots, err = probe.ParseRoots(l.RootsPEM()); err == nil {
		err = v.point(canaryName, []string{"mx." + canaryName})
	}
	return v, err
}

// point lets a domain have these MX hosts, which are set up where they do not stand yet.
func (v *yearVantage) point(domain string, mx []string) error {
	err := v.lab.RemoveRecords(domain, "MX")
	for i, host := range mx {
		if _, stands := v.hosts[host]; !stands {
			v.hosts[host] = lab.Good
			err = errors.Join(err, v.lab.AddHost(lab.Host{Name: host}), v.lab.Renew(host), v.settle(host))
		}
		err = errors.Join(err, v.lab.AddRecord(fmt.Sprintf("%s. 60 IN MX %d %s.", domain, 10*(i+1), host)))
	}
	v.mx[domain] = mx
	v.rev[domain]++
	return err
}

// settle gives a host its behaviour, or the middlebox's.
func (v *yearVantage) settle(host string) error {
	b := v.hosts[host]
	if v.strip && b != lab.Refusing {
		b = lab.Stripped
	}
	for domain, mx := range v.mx {
		if slices.Contains(mx, host) {
			v.rev[domain]++
		}
	}
	return v.lab.SetBehaviour(host, b)
}

func (v *yearVantage) behave(host string, b lab.Behaviour) error {
	v.hosts[host] = b
	return v.settle(host)
}

func (v *yearVantage) stripAll(on bool) (err error) {
	v.strip = on
	for host := range v.hosts {
		err = errors.Join(err, v.settle(host))
	}
	return err
}

func (v *yearVantage) serve(domain, mode string, mx []string) error {
	text := ""
	if mode != "off" {
		text = lab.STSPolicy(mode, 10886400, mx...)
	}
	v.rev[domain]++
	return errors.Join(v.lab.SetSTS(domain, text), v.lab.Renew("mta-sts."+domain))
}

func (v *yearVantage) prove(domain, txt string) error {
	v.rev[domain]++
	err := v.lab.RemoveRecords(proof.Name+"."+domain, "TXT")
	if txt == "" {
		return err
	}
	return errors.Join(err, v.lab.AddRecord(fmt.Sprintf("%s.%s. 60 IN TXT %q", proof.Name, domain, txt)))
}

// vanish takes away all that there is at the domain and below.
func (v *yearVantage) vanish(domain string) error {
	err := errors.Join(v.prove(domain, ""), v.serve(domain, "off", nil), v.lab.RemoveRecords(domain, "MX"))
	for _, mx := range v.mx[domain] {
		if strings.HasSuffix(mx, "."+domain) {
			err = errors.Join(err, v.lab.RemoveRecords(mx, "A"))
		}
	}
	v.mx[domain] = nil
	return err
}

// scan looks at targets and keeps the signed file.
func (v *yearVantage) scan(ctx context.Context, number int, targets []probe.Target) error {
	canary, err := policy.ParseDomain(canaryName)
	if err != nil {
		return err
	}
	p, err := probe.New(probe.Options{
		Resolver: v.lab.Resolver(), Roots: v.roots, SMTPPort: v.lab.SMTPPort(), HTTPSPort: v.lab.HTTPSPort(), DNSPort: -1, AllowLoopback: true,
		Vantage: v.name, Tool: "year", Canary: canary, Previous: v.past, Clock: yearClock(v.clock),
	})
	if err != nil {
		return err
	}
	header, err := p.Header(ctx, "")
	if err != nil {
		return err
	}
	results, err := v.look(ctx, p, number, targets, header.Canary.Verdict == probe.Pass)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := probe.NewEvidence(&out, header)
	for _, r := range results {
		err = errors.Join(err, w.Add(r))
	}
	if err = errors.Join(err, w.Sign(vantageKey(v.name))); err != nil {
		return err
	}
	v.file = out.Bytes()
	v.past, err = probe.ReadPast(bytes.NewReader(v.file), probe.MaxEvidence, v.name)
	return err
}

// look gives the results in the order of targets: live ones, and for domains of which nothing changed since the last live
// look this look's observation, judged anew at this time.
func (v *yearVantage) look(ctx context.Context, p *probe.Prober, number int, targets []probe.Target, sane bool) ([]probe.Result, error) {
	results := make([]probe.Result, len(targets))
	var ask []probe.Target
	var at []int
	for i, t := range targets {
		old, ok := v.seen[t.Domain]
		if r, good := v.again(old, t); sane && ok && good && !v.rests(number, i) {
			results[i] = r
			continue
		}
		ask, at = append(ask, t), append(at, i)
	}
	found, err := p.Probe(ctx, ask)
	if err != nil {
		return nil, err
	}
	for k, r := range found {
		results[at[k]] = r
		v.seen[r.Domain] = yearSeen{v.rev[r.Domain.String()], r}
	}
	v.live += len(found)
	return results, nil
}

// again judges an earlier observation by this time and the source's entry; good is false where that will not do: something changed, nobody could
// tell, or time alone makes a difference.
func (v *yearVantage) again(old yearSeen, t probe.Target) (r probe.Result, good bool) {
	if old.rev != v.rev[t.Domain.String()] || !decided(old.result) {
		return r, false
	}
	var record probe.Record
	held := fmt.Appendf(nil, `{"policy":%s}`, t.Policy.AppendJSON(nil))
	if json.Unmarshal(old.result.Line, &record) != nil || json.Unmarshal(held, &record) != nil {
		return r, false
	}
	now := v.clock().UTC().Truncate(time.Second)
	r = old.result
	r.Judgement = probe.Judge(t.Domain, record.Observed, t.Policy, now, 14*24*time.Hour)
	if proofOver(record, now) || !decided(r) || arrived(r) != arrived(old.result) {
		return r, false
	}
	record.At, record.Codes, record.Verdict = now.Format(policy.TimeFormat), append([]string{}, r.Codes...), r.Verdict
	line, err := json.Marshal(record)
	r.Line = line
	return r, err == nil
}

func decided(r probe.Result) bool { return arrived(r) || r.Verdict == probe.Fail }

func arrived(r probe.Result) bool { return r.Verdict == probe.Pass || r.Verdict == probe.Warn }

// proofOver reports whether the proof in an observation is worth something else at now.
func proofOver(r probe.Record, now time.Time) bool {
	p := r.Observed.Proof
	if p == nil || p.Expires == "" {
		return false
	}
	exp, err := policy.ParseTime(p.Expires)
	return err != nil || string(proof.Record{Expires: exp}.At(now)) != p.Status
}

// scanAll lets all vantages look at what the source has.
func (y *year) scanAll(ctx context.Context, entries []policy.Entry) error {
	var targets []probe.Target
	for _, e := range entries {
		targets = append(targets, probe.Target(e))
	}
	g, ctx := errgroup.WithContext(ctx)
	y.scans++
	number := y.scans
	for _, v := range y.vantages {
		g.Go(func() error { return v.scan(ctx, number, targets) })
	}
	y.looks += len(targets) * len(y.vantages)
	return g.Wait()
}
