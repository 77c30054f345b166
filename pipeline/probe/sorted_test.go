package probe

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestReadSorted reads shards, in whatever order, as the whole, and no domain twice.
func TestReadSorted(t *testing.T) {
	north := paperScan{vantage: "north", lines: []said{"a.example pass", "c.example pass", "e.example pass"}}
	rest := paperScan{vantage: "north", lines: []said{"b.example pass", "d.example fail mx.none"}}
	read := func(files ...EvidenceFile) (names []string, err error) {
		err = ReadSorted(files, func(_ *Reader, l Line) error {
			names = append(names, l.Domain.String())
			return nil
		})
		return names, err
	}
	want := []string{"a.example", "b.example", "c.example", "d.example", "e.example"}
	for _, files := range [][]EvidenceFile{
		{input("1", north.bytes()), input("2", rest.bytes())}, {input("2", rest.bytes()), input("0", paperScan{vantage: "north"}.bytes()), input("1", north.bytes())},
	} {
		if got, err := read(files...); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	}
	rest.lines = append(rest.lines, "e.example pass")
	if got, err := read(input("1", north.bytes()), input("2", rest.bytes())); !errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), "both about e.example") || len(got) != 5 {
		t.Errorf("a domain twice: %v, %v", got, err)
	}
	torn := north.bytes()
	if _, err := read(input("1", torn[:len(torn)-9])); !errors.Is(err, ErrEvidence) || !strings.HasPrefix(err.Error(), "1: line ") {
		t.Errorf("a torn line: %v", err)
	}
	stop := errors.New("enough")
	if err := ReadSorted([]EvidenceFile{input("1", north.bytes())}, func(*Reader, Line) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
	if err := ReadSorted(make([]EvidenceFile, maxMergedFiles+1), nil); !errors.Is(err, ErrEvidence) {
		t.Errorf("too many files: %v", err)
	}
	if got, err := read(); len(got) != 0 || err != nil {
		t.Errorf("no files: %v, %v", got, err)
	}
}

// TestReaderTrustAD: each vantage says for itself whether it can tell what DNSSEC vouches for.
func TestReaderTrustAD(t *testing.T) {
	north, south := paperScan{vantage: "north", lines: []said{"a.example pass"}}.bytes(), paperScan{vantage: "south", lines: []said{"a.example pass"}}.bytes()
	north = bytes.Replace(north, []byte(`"vantage":"north"}`), []byte(`"trust-ad":1,"vantage":"north"}`), 1)
	var merged bytes.Buffer
	_, err := Merge(&merged, []EvidenceFile{input("n", north), input("s", south)}, MergeOptions{Quorum: 1}, nil)
	must(t, err)
	for _, c := range []struct {
		file    []byte
		vantage string
		want    bool
	}{{north, "north", true}, {south, "south", false}, {merged.Bytes(), "north", true}, {merged.Bytes(), "south", false}, {merged.Bytes(), "west", false}} {
		r, err := NewReader(io.NopCloser(bytes.NewReader(c.file)), MaxEvidence)
		must(t, err)
		if got := r.TrustAD(c.vantage); got != c.want {
			t.Errorf("%s: %v", c.vantage, got)
		}
	}
}
