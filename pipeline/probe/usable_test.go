package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// usableText tells what Usable makes of files: the vantages with their files, and what is wrong with the others.
func usableText(t *testing.T, files ...EvidenceFile) (good, bad string) {
	t.Helper()
	scans, refused, err := Usable(t.Context(), files, UsableOptions{Keys: paperKeys(), Earliest: noon, Latest: noon.Add(24 * time.Hour)})
	must(t, err)
	for _, s := range scans {
		good += s.Vantage + ":"
		var size int64
		for _, f := range s.Files {
			good += " " + f.Name
			in, err := f.Open()
			must(t, err)
			data, err := io.ReadAll(in)
			must(t, err)
			size += int64(len(data))
		}
		if good += ";"; size != s.Bytes {
			t.Errorf("%s: %d bytes, and not %d", s.Vantage, s.Bytes, size)
		}
	}
	for _, b := range refused {
		bad += fmt.Sprintf("%s (%s, %v): %v\n", b.File, b.Vantage, b.Aged, b.Err)
	}
	return good, bad
}

// TestUsable: what a merge would refuse is left out, of one vantage the newest scan counts, and none counts twice.
func TestUsable(t *testing.T) {
	scan := func(at time.Duration, shard string, lines ...said) []byte {
		return paperScan{vantage: "north", canary: Pass, key: vantageKey(1), started: noon.Add(at), shard: shard, lines: lines}.bytes()
	}
	other := paperScan{vantage: "south", canary: Pass, key: vantageKey(2), lines: []said{"a.example pass"}}
	south := input("south", other.bytes())
	other.key = vantageKey(1)
	whole := scan(time.Hour, "", "a.example pass")
	merged, _, _ := mergeText(t, []EvidenceFile{south}, MergeOptions{Quorum: 1, Keys: paperKeys()})
	for name, c := range map[string]struct {
		files     []EvidenceFile
		good, bad string
	}{
		"in order":            {[]EvidenceFile{south, input("north", whole)}, "north: north;south: south;", ""},
		"the same twice":      {[]EvidenceFile{input("a", whole), input("b", whole), south}, "north: a;south: south;", ""},
		"an older one beside": {[]EvidenceFile{input("a", scan(0, "", "a.example fail cert.expired")), input("b", whole)}, "north: b;", "a (north, false): a: not valid evidence: vantage north: its newer scan b counts"},
		"an older shard":      {[]EvidenceFile{input("a", scan(0, "1/2")), input("b", scan(time.Hour, "1/2")), input("c", scan(0, "2/2"))}, "north: b c;", "a (north"},
		"another partition":   {[]EvidenceFile{input("a", scan(0, "1/2")), input("b", whole)}, "north: b;", "a (north"},
		"two words":           {[]EvidenceFile{input("a", whole), input("b", scan(time.Hour, "", "a.example fail cert.expired")), south}, "south: south;", "two scans of the same moment"},
		"two old words":       {[]EvidenceFile{input("a", scan(0, "", "a.example fail cert.expired")), input("b", scan(0, "")), input("c", whole)}, "north: c;", "b (north"},
		"too old":             {[]EvidenceFile{input("a", scan(-time.Second, "")), south}, "south: south;", "a (north, true): a: the scan of vantage north began at 2026-03-01T11:59:59Z"},
		"from the future":     {[]EvidenceFile{input("a", scan(24*time.Hour+time.Second, "")), south}, "south: south;", "a (north, true)"},
		"in another's name":   {[]EvidenceFile{input("a", other.bytes()), south}, "south: south;", "a (, false): a: not valid evidence: no signature of vantage"},
		"merged already":      {[]EvidenceFile{input("a", []byte(merged)), south}, "south: south;", "a (, false): a: line 1: not valid evidence: it joins several vantages"},
		"a wrong shard":       {[]EvidenceFile{input("a", scan(0, "2/2", "a.example pass", "b.example pass", "c.example pass")), south}, "south: south;", "does not belong to shard 2/2"},
		"nothing":             {nil, "", ""},
	} {
		good, bad := usableText(t, c.files...)
		if good != c.good || !strings.Contains(bad, c.bad) || c.bad == "" && bad != "" {
			t.Errorf("%s: %q is taken, refused is\n%s", name, good, bad)
		}
	}
}

// TestUsableShards: a vantage that signs so many shards that no merge takes them shuts out itself.
func TestUsableShards(t *testing.T) {
	files := []EvidenceFile{input("south", paperScan{vantage: "south", canary: Pass, key: vantageKey(2)}.bytes())}
	for i := 1; i <= maxMergedFiles; i++ {
		shard := paperScan{vantage: "north", canary: Pass, key: vantageKey(1), shard: Shard{i, 4096}.String()}
		files = append(files, input(fmt.Sprintf("north-%04d", i), shard.bytes()))
	}
	if good, bad := usableText(t, files...); good != "south: south;" || !strings.Contains(bad, "vantage north has too many files") {
		t.Errorf("%q, %q", good, bad)
	}
}

// TestUsableStops: whoever is stopped says so, and calls no file bad.
func TestUsableStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, bad, err := Usable(ctx, threeVantages(), UsableOptions{Keys: paperKeys(), Latest: noon.Add(time.Hour)}); !errors.Is(err, context.Canceled) || len(bad) > 0 {
		t.Errorf("%v, %v", bad, err)
	}
}
