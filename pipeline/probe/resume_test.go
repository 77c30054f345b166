package probe

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// TestResume cuts a scan's file before, at and behind the end of each line and goes on: each time the result is the file
// that was to be.
func TestResume(t *testing.T) {
	clock := &fakeClock{now: noon}
	l, err := lab.Start(t.Context(), lab.Options{Now: clock.Now})
	must(t, err)
	t.Cleanup(l.Close)
	var targets []Target
	for i := range 5 {
		name := fmt.Sprintf("d%d.example", i)
		must(t, l.AddDomain(lab.Domain{Name: name, MX: []string{"mx.example"}}))
		targets = append(targets, Target{Domain: domain(name), Policy: enforce(t, name, "mx.example")})
	}
	must(t, l.AddHost(lab.Host{Name: "mx.example"}))
	scan := func() *Prober {
		return newProber(t, l, false, func(o *Options) { o.Clock, o.Canary = clock, domain("d0.example") })
	}
	key := vantageKey(1)
	whole, _ := resume(t, scan(), nil, targets, key)
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	cuts := []int{0, 1}
	for i := range lines {
		end := len(bytes.Join(lines[:i+1], nil))
		cuts = append(cuts, end-1, end, min(end+9, len(whole)))
	}
	for _, cut := range cuts {
		stands, size := 0, 0
		for i, line := range lines {
			if size += len(line); size <= cut && i > 0 {
				stands = min(i, len(targets))
			}
		}
		got, done := resume(t, scan(), whole[:cut], targets, key)
		if !bytes.Equal(got, whole) || done != stands {
			t.Fatalf("cut at %d: %d lines stood, %d were kept; %d bytes instead of %d", cut, stands, done, len(got), len(whole))
		}
	}
	if _, done := resume(t, scan(), append(whole[:len(whole)-200:len(whole)-200], "zzzz"...), targets, key); done != len(targets) {
		t.Errorf("a damaged signature: %d kept", done)
	}
}

// resume goes on with what is left of a file and returns the whole one.
func resume(t *testing.T, p *Prober, left []byte, targets []Target, key ed25519.PrivateKey) (file []byte, done int) {
	t.Helper()
	header, err := p.Header(t.Context(), "")
	must(t, err)
	partial, err := ReadPartial(bytes.NewReader(left), header, targets)
	must(t, err)
	var out bytes.Buffer
	var w *EvidenceWriter
	if partial.Done > 0 {
		out.Write(left[:partial.Size])
		w = partial.Writer(&out)
	} else {
		w, err = NewEvidence(&out, header)
		must(t, err)
	}
	must(t, p.Each(t.Context(), targets[partial.Done:], w.Add))
	must(t, w.Sign(key))
	e, err := ReadEvidence(bytes.NewReader(out.Bytes()), MaxEvidence)
	must(t, err)
	must(t, e.Verify(key.Public().(ed25519.PublicKey)))
	return out.Bytes(), partial.Done
}

func TestResumeOnlyTheSameScan(t *testing.T) {
	base := paperScan{vantage: "north", shard: "", canary: Pass, lines: []said{"a.example pass", "b.example fail cert.name", "c.example pass"}}
	targets := []Target{{Domain: domain("a.example")}, {Domain: domain("b.example")}, {Domain: domain("c.example")}}
	header := func(p paperScan) Header {
		r, err := NewReader(bytes.NewReader(p.bytes()), MaxEvidence)
		must(t, err)
		return r.Header()
	}
	other := func(f func(*paperScan)) paperScan {
		p := base
		f(&p)
		return p
	}
	now := other(func(p *paperScan) { p.started = noon.Add(time.Hour) })
	for name, c := range map[string]struct {
		left    []byte
		next    Header
		targets []Target
		done    int
		worst   Verdict
		dropped string // "": nothing
	}{
		"the same":                {base.bytes(), header(now), targets, 3, Fail, ""},
		"fewer targets":           {base.bytes(), header(now), targets[:1], 1, Pass, "about b.example, which is not asked for"},
		"more targets":            {base.bytes(), header(now), append(targets[:3:3], Target{Domain: domain("d.example")}), 3, Fail, ""},
		"a new target between":    {base.bytes(), header(now), []Target{targets[0], {Domain: domain("aa.example")}, targets[1]}, 1, Pass, "goes on with b.example, this scan with aa.example"},
		"another entry":           {base.bytes(), header(now), []Target{targets[0], {targets[1].Domain, enforce(t, "x.example", "mx.@")}}, 1, Pass, "the entry of b.example"},
		"nothing":                 {nil, header(now), targets, 0, Pass, ""},
		"a header":                {bytes.SplitAfter(base.bytes(), []byte("\n"))[0], header(now), targets, 0, Pass, ""},
		"garbage":                 {[]byte("garbage\n"), header(now), targets, 0, Pass, "line 1: not valid evidence"},
		"a day later":             {base.bytes(), header(other(func(p *paperScan) { p.started = noon.Add(25 * time.Hour) })), targets, 0, Pass, "started: it began at"},
		"earlier":                 {base.bytes(), header(other(func(p *paperScan) { p.started = noon.Add(-time.Hour) })), targets, 0, Pass, "after this scan"},
		"another vantage":         {base.bytes(), header(other(func(p *paperScan) { p.vantage = "south" })), targets, 0, Pass, "vantage: it has \"north\", this scan \"south\""},
		"another shard":           {base.bytes(), header(other(func(p *paperScan) { p.shard = "1/2" })), targets, 0, Pass, "shard: it has \"\", this scan \"1/2\""},
		"another resolver's word": {base.bytes(), func() Header { h := header(now); h.TrustAD = 1; return h }(), targets, 0, Pass, "trust-ad: it has"},
		"another program":         {base.bytes(), func() Header { h := header(now); h.Tool = "new"; return h }(), targets, 0, Pass, "tool: it has"},
		"a torn line":             {base.bytes()[:len(base.bytes())-9], header(now), targets, 2, Fail, "the last line has no end"},
		"no canary":               {base.bytes(), header(other(func(p *paperScan) { p.canary = "" })), targets, 0, Pass, "canary: it has \"canary.example\", this scan \"\""},
		"a bad canary":            {other(func(p *paperScan) { p.canary = Fail }).bytes(), header(now), targets, 0, Pass, "looked wrong to it"},
	} {
		p, err := ReadPartial(bytes.NewReader(c.left), c.next, c.targets)
		if err != nil || p.Done != c.done || p.Worst != c.worst || !strings.Contains(p.Dropped, c.dropped) || (p.Dropped == "") != (c.dropped == "") {
			t.Errorf("%s: %d done, worst %s, dropped %q, %v", name, p.Done, p.Worst, p.Dropped, err)
		}
		if other := c.dropped != "" && name != "a torn line"; p.Other != other {
			t.Errorf("%s: of another scan: %v, want %v", name, p.Other, other)
		}
	}
	bad := errors.New("bad sector")
	in := strings.NewReader(string(base.bytes()[:len(base.bytes())-20]))
	if _, err := ReadPartial(io.MultiReader(in, iotest.ErrReader(bad)), header(now), targets); !errors.Is(err, bad) {
		t.Errorf("an unreadable file: %v", err)
	}
}
