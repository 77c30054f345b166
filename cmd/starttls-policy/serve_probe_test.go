package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestProbesOfTestingDomains: the daemon looks at the MX hosts of testing domains that Postfix has asked about, not at others;
// status shows what would have failed. While everything is switched off nobody is looked at.
func TestProbesOfTestingDomains(t *testing.T) {
	v := newLiving(t, `{"policies": {
	  "bad.example": {"mode": "testing", "mxs": ["mx.bad.example"]},
	  "good.example": {"mode": "testing", "mxs": ["mx.good.example"]},
	  "quiet.example": {"mode": "testing", "mxs": ["mx.quiet.example"]},
	  "strict.example": {"mode": "enforce", "mxs": ["mx.strict.example"]}
	}}`)
	for name, b := range map[string]lab.Behaviour{"bad": lab.SelfSigned, "good": lab.Good, "quiet": lab.Good, "strict": lab.Good} {
		v.must(v.lab.AddHost(lab.Host{Name: "mx." + name + ".example", Behaviour: b}))
		v.domain(name+".example", false, "", "mx."+name+".example")
	}
	var log, out bytes.Buffer
	dir := t.TempDir()
	config := filepath.Join(dir, "c.toml")
	text := "state = \"" + filepath.Join(v.dir, "var") + "\"\n[[list]]\nname = \"example\"\nmirrors = [\"" + v.dir + "/public\"]\n[testing]\nprobe = \"asked\"\n[serve]\nsources = [\"list\"]\nresolver = \"" + v.lab.Resolver().String() + "\"\n"
	v.must(os.WriteFile(config, []byte(text), 0o644))
	a := &app{world: world{&out, &out, v.now}, configPath: config}
	cfg, err := a.loadConfig()
	v.must(err)
	lists, err := a.openLists(cfg)
	v.must(err)
	s := newServed(a, cfg, &log)
	v.must(s.prepare(lists))
	if s.prober.Allow(netip.MustParseAddr("127.0.0.1")) || s.prober.Allow(netip.MustParseAddr("10.0.0.1")) {
		t.Error("addresses inside may be called")
	}
	s.prober.Allow, s.prober.Roots, s.prober.Port = netip.Addr.IsLoopback, v.lab.Roots(), v.lab.SMTPPort()
	for _, key := range []string{"bad.example", "Good.Example", ".example", "strict.example", "unlisted.example"} {
		withRefresh{s}.Answer(t.Context(), "floor", key)
	}
	withRefresh{s}.Answer(t.Context(), explainMap, "floor quiet.example") // no mail goes there by that
	s.off = func() bool { return true }
	for range 5 {
		s.probe(t.Context())
	}
	if n := len(s.prober.Visits()); n != 2 || !s.prober.Visits()[0].At.IsZero() {
		t.Errorf("%d domains are waiting: %+v", n, s.prober.Visits())
	}
	s.off = func() bool { return false }
	for range 5 {
		s.probe(t.Context())
	}
	for name, want := range map[string]int{"bad": 1, "good": 1, "quiet": 0, "strict": 0} {
		stats, err := v.lab.Stats("mx." + name + ".example")
		if v.must(err); stats.Sessions != want {
			t.Errorf("%s had %d sessions, want %d", name, stats.Sessions, want)
		}
	}
	if code := run(t.Context(), []string{"status", "--config", config}, a.world); code != 0 {
		t.Errorf("exit code %d", code)
	}
	at := v.now().UTC().Format(time.RFC3339)
	for _, want := range []string{
		"  bad.example (testing)\n    probe " + at + ": fail\n      mx.bad.example testing.certificate tls: failed to verify certificate",
		"  good.example (testing)\n    probe " + at + ": good\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(log.String(), "ERROR") {
		t.Error(log.String())
	}
	visits, err := trial.ReadVisits(s.probes())
	if v.must(err); len(visits) != 2 {
		t.Errorf("%+v", visits)
	}
	// Off unless somebody wants it.
	cfg.Testing = testingConfig{}
	quiet := newServed(a, cfg, &log)
	v.must(quiet.prepare(lists))
	if quiet.prober != nil || discovery.Public(netip.MustParseAddr("127.0.0.1")) {
		t.Error("probes without being asked for")
	}
	withRefresh{quiet}.Answer(t.Context(), "floor", "bad.example")
}
