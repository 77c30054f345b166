package mirror

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func gzipped(t testing.TB, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGunzip(t *testing.T) {
	leaf := gzipped(t, "leaf")
	flipped := bytes.Clone(leaf)
	flipped[len(flipped)-5] ^= 1 // in the CRC-32
	for name, c := range map[string]struct {
		encoded []byte
		limit   int64
		want    string
		ok      bool
	}{
		"exactly the limit":  {leaf, 4, "leaf", true},
		"empty":              {gzipped(t, ""), 0, "", true},
		"one byte too long":  {leaf, 3, "", false},
		"nothing":            {nil, 10, "", false},
		"cut short":          {leaf[:len(leaf)-1], 10, "", false},
		"cut, at the limit":  {leaf[:len(leaf)-8], 4, "", false},
		"checksum":           {flipped, 10, "", false},
		"checksum, at limit": {flipped, 4, "", false},
		"byte behind":        {append(bytes.Clone(leaf), 0), 10, "", false},
		"member behind":      {append(bytes.Clone(leaf), leaf...), 10, "", false},
	} {
		got, err := Gunzip(c.encoded, c.limit)
		if string(got) != c.want || (err == nil) != c.ok {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if _, err := Gunzip(gzipped(t, strings.Repeat("x", 1<<20)), 1000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("bomb: %v, want ErrTooLarge", err)
	}
}

func TestReadLimitedPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	for _, limit := range []int64{3, 4, 5} { // before, at and behind the place where it breaks
		r := iotest.DataErrReader(strings.NewReader("leaf"))
		if _, err := ReadLimited(r, limit); (err == nil) != (limit >= 4) {
			t.Errorf("limit %d: %v", limit, err)
		}
		_, err := ReadLimited(iotest.ErrReader(broken), limit)
		if !errors.Is(err, broken) {
			t.Errorf("limit %d: %v, want the reader's error", limit, err)
		}
	}
}

func FuzzGunzip(f *testing.F) {
	f.Add(gzipped(f, "leaf"), int64(4))
	f.Add(gzipped(f, ""), int64(0))
	f.Add([]byte{0x1f, 0x8b}, int64(10))
	f.Fuzz(func(t *testing.T, encoded []byte, limit int64) {
		limit %= 1 << 16
		data, err := Gunzip(encoded, limit)
		if err != nil {
			return
		}
		if int64(len(data)) > limit {
			t.Errorf("%d bytes came through a limit of %d", len(data), limit)
		}
		again, err := Gunzip(gzipped(t, string(data)), limit)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("encoded again: %q, %v; want %q", again, err, data)
		}
	})
}
