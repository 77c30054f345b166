package transparency_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// memory is a tree in memory that answers tlog's questions.
type memory struct{ hashes []tlog.Hash }

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = m.hashes[x]
	}
	return out, nil
}

func (m *memory) add(t testing.TB, n int64, leaf []byte) tlog.Tree {
	t.Helper()
	h, err := tlog.StoredHashes(n, leaf, m)
	if err != nil {
		t.Fatal(err)
	}
	m.hashes = append(m.hashes, h...)
	root, err := tlog.TreeHash(n+1, m)
	if err != nil {
		t.Fatal(err)
	}
	return tlog.Tree{N: n + 1, Hash: root}
}

// TestCompactRangeAgreesWithTlog grows a tree leaf by leaf: the range, appended to or made anew from the last leaf's
// proof, always has tlog's root.
func TestCompactRangeAgreesWithTlog(t *testing.T) {
	var m memory
	var r transparency.CompactRange
	for n := range int64(600) {
		leaf := fmt.Appendf(nil, "leaf %d", n)
		tree := m.add(t, n, leaf)
		r = r.Append(tlog.RecordHash(leaf))
		if r.Tree() != tree {
			t.Fatalf("at size %d the roots differ", n+1)
		}
		path, err := tlog.ProveRecord(n+1, n, &m)
		if err != nil {
			t.Fatal(err)
		}
		p := transparency.Proof{Index: n, Path: path}
		if err := p.Check(tlog.RecordHash(leaf), tree); err != nil {
			t.Fatal(err)
		}
		made, err := transparency.RangeFromLastLeaf(p, tlog.RecordHash(leaf))
		if err != nil || made.Tree() != tree {
			t.Fatalf("range from the last leaf's proof at size %d: %v", n+1, err)
		}
		if p.Check(tlog.RecordHash([]byte("other")), tree) == nil {
			t.Fatal("another leaf's proof was accepted")
		}
	}
	stored, err := transparency.NewCompactRange(r.Size(), r.Hashes())
	if err != nil || stored.Tree() != r.Tree() {
		t.Fatalf("stored and taken back: %v", err)
	}
	if _, err := transparency.NewCompactRange(600, r.Hashes()[1:]); err == nil {
		t.Error("a range with a hash missing was accepted")
	}
}

func TestProofFileHasOneForm(t *testing.T) {
	p := transparency.Proof{Extra: []byte(`{"kind":"release"}`), Index: 3, Path: []tlog.Hash{{1}, {2}}, Checkpoint: []byte("o\n4\nx\n\n— o sig\n")}
	file := p.Format()
	back, err := transparency.ParseProof(file)
	if err != nil || !bytes.Equal(back.Format(), file) || string(back.Extra) != string(p.Extra) {
		t.Fatalf("read back: %v", err)
	}
	for name, edit := range map[string][2]string{
		"header":         {"@v1", "@v2"},
		"leading zero":   {"index 3", "index 03"},
		"negative index": {"index 3", "index -3"},
		"no index":       {"index 3\n", ""},
		"empty extra":    {"extra ", "extra \nextra "},
		"bad base64":     {"extra ", "extra !"},
		"short hash":     {p.Path[0].String(), p.Path[0].String()[4:]},
		"CRLF":           {"index 3\n", "index 3\r\n"},
		"no checkpoint":  {"\n\n", "\n"},
	} {
		bad := strings.Replace(string(file), edit[0], edit[1], -1)
		if _, err := transparency.ParseProof([]byte(bad)); !errors.Is(err, transparency.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := transparency.ParseProof(bytes.Repeat([]byte("x"), transparency.MaxProofBytes+1)); !errors.Is(err, transparency.ErrProof) {
		t.Error("an endless proof was accepted")
	}
}

func TestTilePaths(t *testing.T) {
	for path, tile := range map[string]tlog.Tile{
		"tile/0/000":                  {H: 8, L: 0, N: 0, W: 256},
		"tile/1/x001/x234/067.p/8":    {H: 8, L: 1, N: 1234067, W: 8},
		"tile/entries/x001/000":       {H: 8, L: -1, N: 1000, W: 256},
		"tile/entries/x001/000.p/255": {H: 8, L: -1, N: 1000, W: 255},
	} {
		if got := transparency.TilePath(tile); got != path {
			t.Errorf("TilePath(%v) = %s, want %s", tile, got, path)
		}
		if got, err := transparency.ParseTilePath(path); err != nil || got != tile {
			t.Errorf("ParseTilePath(%s) = %v, %v", path, got, err)
		}
	}
	for _, bad := range []string{"tile/8/0/000", "tile/data/000", "tile/0/0", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/../000", "tile/64/000", "entries/000", ""} {
		if _, err := transparency.ParseTilePath(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	f.Add(transparency.Proof{Extra: []byte("x"), Index: 1, Path: []tlog.Hash{{1}}, Checkpoint: []byte("o\n2\nx\n")}.Format())
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := transparency.ParseProof(data); err == nil && !bytes.Equal(p.Format(), data) {
			t.Errorf("accepted a proof that formats differently: %q", data)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(transparency.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 1}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := transparency.ParseCheckpoint(text); err == nil && c.String() != text {
			t.Errorf("accepted a checkpoint that formats differently: %q", text)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'x', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, data []byte, width int) {
		if width < 0 || width > transparency.TileWidth {
			return
		}
		entries, err := transparency.ParseBundle(data, width)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			if again, err = transparency.AppendEntry(again, e); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, data) {
			t.Errorf("accepted a bundle that formats differently: %x", data)
		}
	})
}
