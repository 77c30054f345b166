package storetest

import (
	"compress/gzip"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

// RunReader tests a reader. serve returns one of a mirror that holds exactly the objects given.
func RunReader(t *testing.T, serve func(t *testing.T, objects []mirror.Object) mirror.Reader) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(...mirror.Object) mirror.Reader)
	}{
		{"get returns what is there", getReturnsObjects},
		{"get returns identity bytes", getDecodes},
		{"an absent object", getAbsent},
		{"a limit", getLimits},
		{"a limit holds for decoded bytes", getLimitsDecoded},
		{"get of a path that no mirror has", getRefusesPaths},
		{"get with an ended context", getEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, func(objects ...mirror.Object) mirror.Reader { return serve(t, objects) })
		})
	}
}

// paths are spelled as the layout spells them, and as far as CheckPath allows.
var paths = []string{
	"checkpoint",
	"policy.json",
	"policy.json.tlog-proof",
	"tile/0/000",
	"tile/0/x001/067.p/8",
	"tile/entries/x001/x234/067",
	"trust/1",
	"list/" + strings.Repeat("0123456789abcdef", 4) + ".zst",
	"site/domain/xn--bcher-kva.example/index.html",
	"-_.~+@=/Upper/UPPER/a..b/.well-known",
}

func getReturnsObjects(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	var objects []mirror.Object
	for _, path := range paths {
		objects = append(objects, object(path, "bytes of "+path+"\x00\xff\n"))
	}
	objects = append(objects, object("empty", ""))
	r := serve(objects...)
	for _, o := range objects {
		want(t, r, o.Path, o.Data)
	}
}

func getDecodes(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	bundle := zipped(t, object("tile/entries/000", strings.Repeat("leaf\n", 10_000)), gzip.BestCompression)
	// Without the header that says so, gzip is a format like any other and its bytes are the object's.
	archive := mirror.Object{Path: "site/archive.gz", Data: bundle.Gzip, ContentType: "application/gzip"}
	empty := zipped(t, object("tile/entries/001", ""), gzip.BestCompression)
	r := serve(bundle, archive, empty)
	want(t, r, bundle.Path, bundle.Data)
	want(t, r, archive.Path, archive.Data)
	want(t, r, empty.Path, nil)
}

func getAbsent(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	r := serve(object("tile/0/000", "tile"))
	for _, path := range []string{"checkpoint", "tile", "tile/0", "tile/0/00", "tile/0/001", "tile/0/000.p/1",
		"tile/0/000/below"} {
		wantAbsent(t, r, path)
	}
	wantAbsent(t, serve(), "checkpoint")
}

func getLimits(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	r := serve(object("seven", "1234567"), object("none", ""))
	for _, limit := range []int64{7, 8, 1 << 40, math.MaxInt64} {
		if data, err := r.Get(within(t), "seven", limit); err != nil || string(data) != "1234567" {
			t.Errorf("limit %d: got %q, %v", limit, data, err)
		}
	}
	for _, limit := range []int64{6, 1, 0} {
		if data, err := r.Get(within(t), "seven", limit); !errors.Is(err, mirror.ErrTooLarge) {
			t.Errorf("limit %d: got %q, %v; want ErrTooLarge", limit, data, err)
		}
	}
	if data, err := r.Get(within(t), "none", 0); err != nil || len(data) != 0 {
		t.Errorf("empty object, limit 0: got %q, %v", data, err)
	}
}

func getLimitsDecoded(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	const size = 1 << 20 // gzip makes about 1 KB of it, far below the limits here
	bomb := zipped(t, object("tile/entries/000", strings.Repeat("x", size)), gzip.BestCompression)
	stored := zipped(t, object("tile/entries/001", string(noise(size))), gzip.NoCompression)
	r := serve(bomb, stored)
	for _, o := range []mirror.Object{bomb, stored} {
		if data, err := r.Get(within(t), o.Path, size-1); !errors.Is(err, mirror.ErrTooLarge) {
			t.Errorf("%s, one byte too long: got %d bytes, %v; want ErrTooLarge", o.Path, len(data), err)
		}
		if data, err := r.Get(within(t), o.Path, size); err != nil || len(data) != size {
			t.Errorf("%s, just short enough: got %d bytes, %v", o.Path, len(data), err)
		}
	}
}

// badPaths would mean different objects on different mirrors, or leave the mirror.
var badPaths = []string{
	"", ".", "..", "/", "/checkpoint", "checkpoint/", "tile//000", "./checkpoint", "tile/../checkpoint",
	"../outside", "tile/..", "a\x00b", "a\nb", "a b", `a\b`, "a%2fb", "a?b", "a#b", "a:b", "índice", ".tmp", ".tmp/x",
	"tile/.tmp123", strings.Repeat("a", 256), strings.Repeat("a/", 600) + "a",
}

func getRefusesPaths(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	r := serve(object("checkpoint", "note"))
	for _, path := range badPaths {
		if data, err := r.Get(within(t), path, limit); !errors.Is(err, mirror.ErrPath) {
			t.Errorf("%q: got %q, %v; want ErrPath", path, data, err)
		}
	}
}

func getEnds(t *testing.T, serve func(...mirror.Object) mirror.Reader) {
	r := serve(object("checkpoint", "note"))
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	data, err := r.Get(ctx, "checkpoint", limit)
	if err == nil || mirror.IsAbsent(err) {
		t.Errorf("got %q, %v; want an error that does not say absent", data, err)
	}
}
