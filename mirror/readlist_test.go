package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/policy"
)

// longList is a list of some hundred blocks, and its release's leaf as far as the list is concerned.
func longList(t testing.TB) (policy.List, *ReleaseLeaf, []byte) {
	t.Helper()
	edits := make([]policy.Edit, 5000)
	for i := range edits {
		edits[i] = set(fmt.Sprintf("d%05d.example", i), policy.Enforce, fmt.Sprintf("mx%d.example", i%9))
	}
	list, err := policy.List{}.Apply(edits)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	leaf := &ReleaseLeaf{Release: 7, Author: "a", Timestamp: at, Expires: at.AddDate(0, 0, 14), Count: int64(list.Len())}
	data, err := list.Bytes(leaf.Header())
	if err != nil {
		t.Fatal(err)
	}
	leaf.ListSize, leaf.ListDigest = int64(len(data)), sum(data)
	return list, leaf, data
}

// TestReadListJudgesBytesFirst: bytes that no release signs are never told as a list that is wrong, nor taken for one that is
// right; and who could not be read is no liar.
func TestReadListJudgesBytesFirst(t *testing.T) {
	list, leaf, data := longList(t)
	torn := errors.New("torn")
	for name, c := range map[string]struct {
		in     io.Reader
		digest [32]byte
		want   error
	}{
		"as signed":                      {bytes.NewReader(data), leaf.ListDigest, nil},
		"byte by byte":                   {iotest.OneByteReader(bytes.NewReader(data)), leaf.ListDigest, nil},
		"a flip that is no list":         {bytes.NewReader(flip(data, len(data)/2)), leaf.ListDigest, errOtherDigest},
		"another list":                   {strings.NewReader(strings.Replace(string(data), "d00001.", "d0000a.", 1)), leaf.ListDigest, errOtherDigest},
		"a byte less":                    {bytes.NewReader(data[:len(data)-1]), leaf.ListDigest, errOtherDigest},
		"a byte more":                    {io.MultiReader(bytes.NewReader(data), strings.NewReader("\n")), leaf.ListDigest, errOtherDigest},
		"nothing":                        {strings.NewReader(""), leaf.ListDigest, errOtherDigest},
		"signed, and no list":            {strings.NewReader("{}\n"), sum([]byte("{}\n")), policy.ErrList},
		"signed, a list and a line more": {strings.NewReader(string(data) + "x\n"), sum([]byte(string(data) + "x\n")), policy.ErrList},
		"torn within":                    {io.MultiReader(bytes.NewReader(data[:70_000]), iotest.ErrReader(torn)), leaf.ListDigest, torn},
		"torn at the end":                {io.MultiReader(bytes.NewReader(data), iotest.ErrReader(torn)), leaf.ListDigest, torn},
		"torn behind what is no list":    {io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(torn)), leaf.ListDigest, torn},
	} {
		for _, like := range []policy.List{{}, list} {
			h, got, err := readList(c.in, c.digest, like)
			if !errors.Is(err, c.want) || err != nil && got.Len() > 0 && errors.Is(err, errOtherDigest) {
				t.Errorf("%s: %d domains, %v; want %v", name, got.Len(), err, c.want)
			}
			if c.want == nil && (h != leaf.Header() || !got.Equal(list)) {
				t.Errorf("%s: another list", name)
			}
			if s, ok := c.in.(io.Seeker); !ok {
				break
			} else if _, err := s.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSnapshotIsBounded: what a blob decompresses to beyond the signed size is given up, whatever it is.
func TestSnapshotIsBounded(t *testing.T) {
	list, leaf, data := longList(t)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		blob []byte
		want error
	}{
		"as signed":                {z.EncodeAll(data, nil), nil},
		"a bomb behind the list":   {z.EncodeAll(append(bytes.Clone(data), make([]byte, 16<<20)...), nil), ErrTooLarge},
		"a second file behind it":  {append(z.EncodeAll(data, nil), z.EncodeAll([]byte("x"), nil)...), ErrTooLarge},
		"another of the same size": {z.EncodeAll(flip(data, len(data)/2), nil), errOtherDigest},
		"a shorter one":            {z.EncodeAll(data[:len(data)-5], nil), errOtherDigest},
	} {
		r := &shelf{lies: map[string][]byte{BlobPath(leaf.ListDigest): c.blob}}
		h, got, err := readSnapshot(t.Context(), r, leaf, policy.List{})
		if !errors.Is(err, c.want) || err != nil && got.Len() > 0 || err == nil && (h != leaf.Header() || !got.Equal(list)) {
			t.Errorf("%s: %d domains, %v; want %v", name, got.Len(), err, c.want)
		}
	}
}

// TestReplaceListWritesWhatIsSigned: a list that is not the one that the release signs does not get in the place of the old one.
func TestReplaceListWritesWhatIsSigned(t *testing.T) {
	list, leaf, data := longList(t)
	dir := t.TempDir()
	s := &state{}
	if err := s.replaceList(dir, &Release{Leaf: leaf, List: list}); err != nil {
		t.Fatal(err)
	}
	other, err := list.Apply([]policy.Edit{del("d00003.example")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.replaceList(dir, &Release{Leaf: leaf, List: other}); err == nil {
		t.Error("another list was written")
	}
	got, err := os.ReadFile(filepath.Join(dir, ListPath))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v: the file has changed", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
}
