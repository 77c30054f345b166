package probe

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/schema"
)

var update = flag.Bool("update", false, "write golden files")

func mergeText(t testing.TB, files []EvidenceFile, o MergeOptions) (string, []string, MergeReport) {
	t.Helper()
	var out bytes.Buffer
	var said []string
	report, err := Merge(&out, files, o, func(m Merged) error {
		said = append(said, fmt.Sprintf("%s %s %v since %s", m.Domain, m.Verdict, m.Codes, m.Since.Format(time.TimeOnly)))
		return nil
	})
	must(t, err)
	return out.String(), said, report
}

func TestMerge(t *testing.T) {
	_, got, report := mergeText(t, threeVantages(), MergeOptions{Quorum: 2, Keys: paperKeys(), Window: 3 * time.Hour})
	want := []string{
		"a.example pass [] since 13:00:00",
		"b.example fail [cert.expired vantage.disagree] since 13:00:00",
		"c.example inconclusive [smtp.timeout vantage.disagree vantage.quorum] since 14:00:00",
		"d.example warn [cert.expiring] since 13:00:00",
		"e.example inconclusive [smtp.timeout vantage.quorum] since 14:00:00",
		"f.example inconclusive [vantage.quorum] since 13:00:00",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(report.Notes) > 0 || report.Disagreed != 2 || report.Domains != 6 || report.Verdicts[Inconclusive] != 3 ||
		!report.Oldest.Equal(noon) || len(report.Vantages) != 3 {
		t.Errorf("report %+v", report)
	}
}

// TestMergeGolden holds the bytes of a merged file.
func TestMergeGolden(t *testing.T) {
	got, _, _ := mergeText(t, threeVantages(), MergeOptions{Quorum: 2, Keys: paperKeys()})
	path := filepath.Join("testdata", "merged.jsonl")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("merged is\n%s\nthe golden file says\n%s", got, want)
	}
}

// TestMergeAnyOrder: whatever the order of the files, the bytes are the same, and they verify.
func TestMergeAnyOrder(t *testing.T) {
	files := threeVantages()
	first, _, report := mergeText(t, files, MergeOptions{Quorum: 2, Keys: paperKeys()})
	var permute func(int)
	permute = func(n int) {
		if n == 0 {
			if again, _, _ := mergeText(t, files, MergeOptions{Quorum: 2, Keys: paperKeys()}); again != first {
				t.Fatalf("another order gives\n%s\ninstead of\n%s", again, first)
			}
			return
		}
		for i := range n {
			files[i], files[n-1] = files[n-1], files[i]
			permute(n - 1)
			files[i], files[n-1] = files[n-1], files[i]
		}
	}
	permute(len(files))
	verified, err := VerifyMerged(strings.NewReader(first), MaxEvidence, MergeOptions{Quorum: 2, Keys: paperKeys()}, nil)
	if err != nil || verified.SHA256 != report.SHA256 || verified.Disagreed != report.Disagreed || verified.Domains != report.Domains {
		t.Errorf("%v, %+v, merged was %+v", err, verified, report)
	}
}

// TestMergedTampered flips bytes of a merged file in turn: with the vantages' keys none goes unnoticed.
func TestMergedTampered(t *testing.T) {
	file, _, _ := mergeText(t, threeVantages(), MergeOptions{Quorum: 2, Keys: paperKeys()})
	_, err := VerifyMerged(strings.NewReader(file), MaxEvidence, MergeOptions{Keys: paperKeys()}, func(m Merged) error {
		for _, v := range m.Votes {
			r, err := v.Record()
			if err != nil || r.Domain != m.Domain.String() || r.Vantage != v.Vantage || r.Verdict != v.Verdict || r.Roots != paperRoots {
				t.Errorf("%s, %s: %+v, %v", m.Domain, v.Vantage, r, err)
			}
		}
		return nil
	})
	must(t, err)
	for i := 0; i < len(file); i += everyNth() {
		bad := []byte(file)
		bad[i] ^= 1
		_, err := VerifyMerged(bytes.NewReader(bad), MaxEvidence, MergeOptions{Quorum: 2, Keys: paperKeys()}, nil)
		if !errors.Is(err, ErrEvidence) {
			t.Fatalf("byte %d (%q in %q) flipped: %v", i, file[i], file[max(0, i-30):min(len(file), i+30)], err)
		}
	}
	for _, cut := range []int{len(file) - 1, strings.LastIndex(file, "{\"files\"")} {
		if _, err := VerifyMerged(strings.NewReader(file[:cut]), MaxEvidence, MergeOptions{Keys: paperKeys()}, nil); !errors.Is(err, ErrEvidence) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// everyNth is how far apart the bytes are that tests of tampering flip: every 17th, with POLICYLIST_FULL each.
func everyNth() int {
	if os.Getenv("POLICYLIST_FULL") == "1" {
		return 1
	}
	return 17
}

// TestMergedForged: whoever merges cannot say what the vantages did not, with lines that are canonical all the same.
func TestMergedForged(t *testing.T) {
	file, _, _ := mergeText(t, threeVantages(), MergeOptions{Quorum: 2, Keys: paperKeys()})
	other := paperScan{vantage: "east", canary: Pass, key: vantageKey(9), lines: []said{"a.example pass"}}
	strange, _, _ := mergeText(t, append(threeVantages()[:1], input("east", other.bytes())), MergeOptions{Quorum: 2})
	lines := strings.SplitAfter(file, "\n")
	for name, text := range map[string]string{
		"a verdict":            strings.Replace(file, `"since":"2026-03-01T13:00:00Z","verdict":"fail"}`+"\n", `"since":"2026-03-01T13:00:00Z","verdict":"pass"}`+"\n", 1),
		"a later since":        strings.Replace(file, `"since":"2026-03-01T13:00:00Z","verdict":"pass"}`+"\n", `"since":"2026-03-01T13:00:01Z","verdict":"pass"}`+"\n", 1),
		"a code":               strings.Replace(file, `"codes":["cert.expired","vantage.disagree"]`, `"codes":["cert.expired"]`, 1),
		"a lower quorum":       strings.Replace(file, `"quorum":2`, `"quorum":1`, 1),
		"a domain left out":    lines[0] + strings.Join(lines[2:], ""),
		"a line twice":         lines[0] + lines[1] + strings.Join(lines[1:], ""),
		"a vantage left out":   strings.Replace(file, lines[1], dropFirstSeen(lines[1]), 1),
		"an unknown member":    strings.Replace(file, `"kind":"merged"`, `"extra":1,"kind":"merged"`, 1),
		"a vantage of nowhere": strange,
		"of one vantage":       string(paperScan{vantage: "north", key: vantageKey(1)}.bytes()),
		"nothing":              "",
	} {
		if text == file {
			t.Fatalf("%s: nothing was forged", name)
		}
		if _, err := VerifyMerged(strings.NewReader(text), MaxEvidence, MergeOptions{Quorum: 2, Keys: paperKeys()}, nil); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func dropFirstSeen(line string) string {
	start := strings.Index(line, `"seen":[`) + len(`"seen":[`)
	end := strings.Index(line, `},{"at"`) + 2
	return line[:start] + line[end:]
}

func TestMergeRefuses(t *testing.T) {
	good := paperScan{vantage: "north", canary: Pass, key: vantageKey(1), lines: []said{"a.example pass"}}
	change := func(f func(*paperScan)) EvidenceFile {
		p := good
		f(&p)
		return input("other.jsonl", p.bytes())
	}
	south := func(f func(*paperScan)) EvidenceFile {
		return change(func(p *paperScan) {
			p.vantage, p.key = "south", vantageKey(2)
			if f != nil {
				f(p)
			}
		})
	}
	first, o := input("north.jsonl", good.bytes()), MergeOptions{Quorum: 2, Keys: paperKeys(), Window: time.Hour}
	merged, _, _ := mergeText(t, []EvidenceFile{first, south(nil)}, o)
	shard := func(s string, lines ...said) EvidenceFile {
		return change(func(p *paperScan) { p.shard, p.lines = s, lines })
	}
	for name, c := range map[string]struct {
		files []EvidenceFile
		says  string
	}{
		"no file":                    {nil, "0 files"},
		"an unknown vantage":         {[]EvidenceFile{first, change(func(p *paperScan) { p.vantage = "east" })}, `other.jsonl: not valid evidence: no key of a vantage "east"`},
		"another's key":              {[]EvidenceFile{first, south(func(p *paperScan) { p.key = vantageKey(1) })}, "other.jsonl: not valid evidence: no signature of vantage"},
		"no signature":               {[]EvidenceFile{first, south(func(p *paperScan) { p.key = nil })}, "other.jsonl: not valid evidence: it is not signed"},
		"no name":                    {[]EvidenceFile{first, change(func(p *paperScan) { p.vantage = "" })}, "other.jsonl: not valid evidence: the vantage has no name"},
		"the same scan twice":        {[]EvidenceFile{first, first}, "north.jsonl (a whole scan) and north.jsonl (a whole scan) of vantage north overlap"},
		"a shard beside the whole":   {[]EvidenceFile{first, shard("1/2")}, "overlap"},
		"a shard twice":              {[]EvidenceFile{shard("1/2"), shard("1/2")}, "shard 1/2) of vantage north overlap"},
		"shards of two partitions":   {[]EvidenceFile{shard("1/2"), shard("2/3")}, "overlap"},
		"a domain in the wrong part": {[]EvidenceFile{shard("2/2", "a.example pass", "b.example pass", "c.example pass")}, "does not belong to shard 2/2"},
		"scans far apart":            {[]EvidenceFile{first, south(func(p *paperScan) { p.started = noon.Add(2 * time.Hour) })}, "2h0m0s before"},
		"a merged file":              {[]EvidenceFile{first, input("merged.jsonl", []byte(merged))}, "merged.jsonl: line 1: not valid evidence: it joins several vantages already"},
		"unsorted domains":           {[]EvidenceFile{first, south(func(p *paperScan) { p.lines = []said{"b.example pass", "a.example pass"} })}, "other.jsonl: line 3: not valid evidence: a.example stands twice or behind b.example"},
		"damage":                     {[]EvidenceFile{input("other.jsonl", append(good.bytes()[:len(good.bytes())-9], '\n'))}, "other.jsonl: line 3: not valid evidence"},
		"an empty file":              {[]EvidenceFile{first, input("other.jsonl", nil)}, "other.jsonl: line 1: not valid evidence: it is empty"},
	} {
		_, err := Merge(io.Discard, c.files, o, nil)
		if !errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Merge(nil, []EvidenceFile{first}, MergeOptions{}, nil); !errors.Is(err, ErrEvidence) {
		t.Errorf("no quorum: %v", err)
	}
	if _, err := Merge(nil, []EvidenceFile{{"gone", func() (io.ReadCloser, error) { return nil, os.ErrNotExist }}}, o, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestMergeNotes: what does not stop a merge is told.
func TestMergeNotes(t *testing.T) {
	files := []EvidenceFile{
		input("north.jsonl", paperScan{vantage: "north", canary: Fail, lines: []said{"a.example inconclusive vantage.withdrawn"}}.bytes()),
		input("south.jsonl", paperScan{vantage: "south", shard: "2/3"}.bytes()),
	}
	_, _, report := mergeText(t, files, MergeOptions{Quorum: 3})
	want := []string{
		"vantage south: missing shards: 1/3, 3/3",
		"north.jsonl: the canary looked wrong to north, which counts as absent",
		"south.jsonl: south looked at no canary",
		"2 vantages cannot be a quorum of 3: nothing can be decided",
		"north.jsonl is not signed", "south.jsonl is not signed",
		"no keys were given, so anybody may have written these files",
	}
	if !slices.Equal(report.Notes, want) {
		t.Errorf("got\n%s", strings.Join(report.Notes, "\n"))
	}
}

// TestMergePassesUnknownMembersOn: a later version sees more; what it saw survives the merge and its signature holds.
func TestMergePassesUnknownMembersOn(t *testing.T) {
	var out bytes.Buffer
	plain := strings.Split(string(paperScan{vantage: "north", canary: Pass, lines: []said{"a.example pass"}}.bytes()), "\n")
	w := &EvidenceWriter{out: &out, sum: newMergedWriter(nil).sum, vantage: "north"}
	must(t, w.line([]byte(strings.Replace(plain[0], `"ehlo"`, `"colour":"blue","ehlo"`, 1))))
	must(t, w.line([]byte(strings.Replace(plain[1], `"observed":{}`, `"observed":{"smell":[{"a":1}]},"opinion":"none"`, 1))))
	must(t, w.Sign(vantageKey(1)))
	o := MergeOptions{Quorum: 1, Keys: paperKeys()}
	merged, _, _ := mergeText(t, []EvidenceFile{input("north.jsonl", out.Bytes())}, o)
	if !strings.Contains(merged, `"colour":"blue"`) || !strings.Contains(merged, `"smell":[{"a":1}]`) || !strings.Contains(merged, `"opinion":"none"`) {
		t.Errorf("lost: %s", merged)
	}
	if _, err := VerifyMerged(strings.NewReader(merged), MaxEvidence, o, nil); err != nil {
		t.Error(err)
	}
}

// TestMergeLive merges two scans of the lab, between which servers change: the codes of the merge, and its schema.
func TestMergeLive(t *testing.T) {
	l := startLab(t)
	var targets []Target
	for _, name := range []string{"a.example", "b.example"} {
		must(t, l.AddHost(lab.Host{Name: "mx." + name}))
		must(t, l.AddDomain(lab.Domain{Name: name, MX: []string{"mx." + name}}))
		targets = append(targets, Target{Domain: domain(name), Policy: enforce(t, name, "mx.@")})
	}
	look := func(vantage string, key ed25519.PrivateKey, targets []Target) EvidenceFile {
		p := newProber(t, l, false, func(o *Options) { o.Vantage = vantage })
		header, err := p.Header(t.Context(), "")
		must(t, err)
		var out bytes.Buffer
		w, err := NewEvidence(&out, header)
		must(t, err)
		must(t, p.Each(t.Context(), targets, w.Add))
		must(t, w.Sign(key))
		return input(vantage, out.Bytes())
	}
	files := []EvidenceFile{look("north", vantageKey(1), targets)}
	must(t, l.SetBehaviour("mx.a.example", lab.Expired))
	targets[1].Policy = enforce(t, "b.example", ".@")
	files = append(files, look("south", vantageKey(2), targets))
	targets[1].Policy = enforce(t, "b.example", "mx.@")
	files = append(files, look("west", vantageKey(3), targets[1:]))
	merged, got, _ := mergeText(t, files, MergeOptions{Quorum: 2, Keys: paperKeys()})
	shown := ""
	for _, line := range got {
		shown += line + "\n"
	}
	for _, code := range mergedCases() {
		if !strings.Contains(shown, code) {
			t.Errorf("%s does not appear:\n%s", code, shown)
		}
	}
	if !strings.Contains(shown, "b.example pass [vantage.other-policy]") || !strings.Contains(shown, "a.example inconclusive") {
		t.Error(shown)
	}
	schemas, err := schema.Load()
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(merged, "\n"), "\n")
	for i, kind := range []schema.Kind{schema.EvidenceMerged, schema.EvidenceMergedDomain, schema.EvidenceMergedDomain, schema.EvidenceMergedEnd} {
		checkSchema(t, schemas, kind, []byte(lines[i]))
	}
}

// mergedCases are the codes that TestMergeLive shows.
func mergedCases() []string { return []string{codeDisagree, codeQuorum, codeOtherPolicy} }

// FuzzVerifyMerged: what is accepted, merged again from the files inside, is the same file.
func FuzzVerifyMerged(f *testing.F) {
	file, _, _ := mergeText(f, threeVantages(), MergeOptions{Quorum: 2})
	f.Add([]byte(file))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var domains []Merged
		report, err := VerifyMerged(bytes.NewReader(data), 1<<20, MergeOptions{}, func(m Merged) error {
			domains = append(domains, m)
			return nil
		})
		if err != nil {
			return
		}
		if len(domains) != report.Domains {
			t.Fatalf("%d domains, told were %d", report.Domains, len(domains))
		}
		for _, m := range domains {
			if m.Verdict.rank() < 0 || m.Since.After(m.At) || len(m.Votes) == 0 {
				t.Fatalf("accepted %+v", m)
			}
		}
	})
}
