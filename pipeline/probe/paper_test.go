package probe

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// noon is when the scans on paper begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// said is a domain's line on paper: "a.example pass", "b.example fail cert.expired starttls.missing".
type said string

func (s said) record(vantage string, at, since time.Time, pol *listPolicy) Record {
	f := strings.Fields(string(s))
	return Record{At: formatTime(at), Codes: append([]string{}, f[2:]...), Domain: f[0], Kind: "domain", Policy: pol,
		Roots: paperRoots, Since: formatTime(since), Tool: "test", Vantage: vantage, Verdict: Verdict(f[1])}
}

var paperRoots = strings.Repeat("0123456789abcdef", 4)

// paperScan is a scan that never was.
type paperScan struct {
	vantage string
	shard   string
	canary  Verdict // "" for none
	started time.Time
	since   time.Time
	policy  *listPolicy
	key     ed25519.PrivateKey // nil: unsigned
	lines   []said
}

func (p paperScan) bytes() []byte {
	if p.started.IsZero() {
		p.started = noon
	}
	if p.since.IsZero() {
		p.since = p.started
	}
	h := Header{EHLO: "probe.example", Format: evidenceFormat, Kind: "header", Roots: paperRoots, RootsVersion: "1",
		Shard: p.shard, Started: formatTime(p.started), Tool: "test", Vantage: p.vantage}
	if p.canary != "" {
		h.Canary = &canaryLine{Codes: []string{}, Domain: "canary.example", Verdict: p.canary}
	}
	var out bytes.Buffer
	w, err := NewEvidence(&out, h)
	for i, s := range p.lines {
		at := p.started.Add(time.Duration(i+1) * time.Second)
		err = errors.Join(err, w.Add(Result{Line: appendLine(nil, s.record(p.vantage, at, p.since, p.policy))}))
	}
	if p.key != nil {
		err = errors.Join(err, w.Sign(p.key))
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

func input(name string, data []byte) EvidenceFile {
	return EvidenceFile{name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// threeVantages agree on some domains and not on others; the third is withdrawn for nothing but a shard.
func threeVantages() []EvidenceFile {
	north := paperScan{vantage: "north", canary: Pass, key: vantageKey(1), lines: []said{
		"a.example pass", "b.example fail cert.expired", "c.example pass", "d.example warn cert.expiring", "e.example inconclusive smtp.timeout"}}
	south := paperScan{vantage: "south", canary: Pass, key: vantageKey(2), started: noon.Add(time.Hour), lines: []said{
		"a.example pass", "b.example fail cert.expired", "c.example fail starttls.stripped", "d.example pass", "f.example pass"}}
	west := paperScan{vantage: "west", canary: Pass, key: vantageKey(3), started: noon.Add(2 * time.Hour)}
	shards := []paperScan{west, west}
	for i := range shards {
		shards[i].shard = fmt.Sprintf("%d/2", i+1)
		for _, l := range []said{"a.example warn mx.implicit", "b.example pass", "c.example inconclusive smtp.timeout", "e.example pass"} {
			sh, _ := ParseShard(shards[i].shard)
			if sh.Has(domain(strings.Fields(string(l))[0])) {
				shards[i].lines = append(shards[i].lines, l)
			}
		}
	}
	return []EvidenceFile{input("north.jsonl", north.bytes()), input("south.jsonl", south.bytes()),
		input("west-1.jsonl", shards[0].bytes()), input("west-2.jsonl", shards[1].bytes())}
}

func paperKeys() map[string]ed25519.PublicKey {
	keys := make(map[string]ed25519.PublicKey)
	for i, name := range []string{"north", "south", "west"} {
		keys[name] = vantageKey(byte(i + 1)).Public().(ed25519.PublicKey)
	}
	return keys
}
