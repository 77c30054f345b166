package mirror

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestUnpackerCompares: the same bytes, however the wanted ones are cut, and nothing else; and one bad file leaves
// nothing behind that the next one meets.
func TestUnpackerCompares(t *testing.T) {
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<17))
	if err != nil {
		t.Fatal(err)
	}
	want := []byte(strings.Repeat("one line of a list that repeats itself\n", 20_000))
	packed := z.EncodeAll(want, nil)
	other := bytes.Clone(want)
	other[len(other)-2] ^= 1
	var u Unpacker
	for _, cut := range []int{0, 1, 1 << 17, len(want) - 1, len(want)} {
		if err := u.Compare(packed, string(want[:cut]), "", string(want[cut:])); err != nil {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for name, tt := range map[string]struct {
		file    []byte
		content bool // sound, but other content
	}{
		"one bit":           {z.EncodeAll(other, nil), true},
		"a byte less":       {z.EncodeAll(want[:len(want)-1], nil), true},
		"a byte more":       {z.EncodeAll(append(bytes.Clone(want), 'x'), nil), true},
		"a second file":     {append(bytes.Clone(packed), packed...), true},
		"an empty file":     {z.EncodeAll(nil, nil), true},
		"no file":           {nil, true},
		"cut off":           {packed[:len(packed)-1], false},
		"not zstd":          {[]byte("policy.json"), false},
		"a flip":            {flip(packed, len(packed)/2), false},
		"a checksum's flip": {flip(packed, len(packed)-1), false},
	} {
		parts := []string{string(want[:5]), string(want[5:])}
		err := u.Compare(tt.file, parts...)
		if err == nil || tt.content && !errors.Is(err, ErrOtherContent) {
			t.Errorf("%s: %v", name, err)
		}
		if len(parts[0]) != 5 {
			t.Errorf("%s: the pieces were changed", name)
		}
		if err := u.Compare(packed, parts...); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 1
	return out
}

// TestUnpackerStopsEarly: a bomb is given up at the first byte that does not belong there.
func TestUnpackerStopsEarly(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := z.EncodeAll(make([]byte, 64<<20), nil)
	var u Unpacker
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := u.Compare(bomb, string(make([]byte, 1000))); !errors.Is(err, ErrOtherContent) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 16<<20 { // other tests that run beside it allocate too
		t.Errorf("%d bytes allocated for a bomb of %d", bytes, len(bomb))
	}
}

// TestUnpackLines: lines count only when the whole content is what was signed.
func TestUnpackLines(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("one\ntwo\nthree\n")
	packed := z.EncodeAll(content, nil)
	var got []string
	take := func(line []byte) error { got = append(got, string(line)); return nil }
	if err := UnpackLines(packed, 100, sum(content), 5, take); err != nil || strings.Join(got, " ") != "one two three" {
		t.Errorf("%q, %v", got, err)
	}
	stop := errors.New("stop")
	for name, err := range map[string]error{
		"longer than its limit": UnpackLines(packed, int64(len(content)-1), sum(content), 5, take),
		"a line too long":       UnpackLines(packed, 100, sum(content), 4, take),
		"another digest":        UnpackLines(packed, 100, sum([]byte("x")), 5, take),
		"cut off":               UnpackLines(packed[:len(packed)-3], 100, sum(content), 5, take),
		"not zstd":              UnpackLines(content, 100, sum(content), 5, take),
		"the taker's error":     UnpackLines(packed, 100, sum(content), 5, func([]byte) error { return stop }),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
