package mirror

import (
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/transparency"
)

// Every path of FORMATS.md section 7 with its headers, which are part of the format.
func TestLayout(t *testing.T) {
	const (
		pointer   = "no-cache"
		mutable   = "public, max-age=60"
		immutable = "public, max-age=31536000, immutable"
	)
	digest := digestOf(0xaa)
	for _, c := range []struct{ path, want, content, cache string }{
		{PointerPath, "policy.json.tlog-proof", "text/plain; charset=utf-8", pointer},
		{CheckpointPath, "checkpoint", "text/plain; charset=utf-8", pointer},
		{ListPath, "policy.json", "application/json", mutable},
		{ListPGPPath, "policy.json.asc", "application/pgp-signature", mutable},
		{ListBundlePath, "policy.json.sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json", mutable},
		{ListKeylessPath, "policy.json.keyless.sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json", mutable},
		{TrustPath(12), "trust/12", "text/plain; charset=utf-8", immutable},
		{BlobPath(digest), "list/" + hexA + ".zst", "application/zstd", immutable},
		{BlobPGPPath(digest), "list/" + hexA + ".asc", "application/pgp-signature", immutable},
		{ReleasePath(3), "release/3.tlog-proof", "text/plain; charset=utf-8", immutable},
		{EvidencePath(digest), "evidence/" + hexA + ".jsonl.zst", "application/zstd", immutable},
		{"tile/0/x001/067.p/8", "tile/0/x001/067.p/8", "application/octet-stream", immutable},
		{"tile/entries/000", "tile/entries/000", "application/octet-stream", immutable},
		{"index.html", "index.html", "text/html; charset=utf-8", mutable},
		{"site/a/index.html", "site/a/index.html", "text/html; charset=utf-8", mutable},
		{"site/style.css", "site/style.css", "text/css; charset=utf-8", mutable},
		{"site/changes/changes.jsonl", "site/changes/changes.jsonl", "application/jsonl", mutable},
		{"site/statistics/tlds.csv", "site/statistics/tlds.csv", "text/csv; charset=utf-8", mutable},
		{"site/changes/atom.xml", "site/changes/atom.xml", "application/atom+xml", mutable},
		{"site/badge.svg", "site/badge.svg", "image/svg+xml", mutable},
	} {
		o := NewObject(c.path, []byte("x"))
		if o.Path != c.want || o.ContentType != c.content || o.CacheControl != c.cache || string(o.Data) != "x" {
			t.Errorf("got %+v, want %+v", o, c)
		}
		if IsMutable(c.path) != (c.cache != immutable) {
			t.Errorf("%s: mutable %v", c.path, IsMutable(c.path))
		}
		if err := CheckPath(c.path); err != nil {
			t.Error(err)
		}
	}
}

func TestTilePathsOfAGrowingTree(t *testing.T) {
	for _, c := range []struct {
		old, new int64
		want     []string
	}{
		{0, 0, nil},
		{0, 1, []string{"tile/0/000.p/1", "tile/entries/000.p/1"}},
		{1, 1, nil},
		{1, 255, []string{"tile/0/000.p/255", "tile/entries/000.p/255"}},
		{255, 256, []string{"tile/0/000", "tile/1/000.p/1", "tile/entries/000"}},
		{250, 520, []string{"tile/0/000", "tile/0/001", "tile/0/002.p/8", "tile/1/000.p/2", "tile/entries/000", "tile/entries/001", "tile/entries/002.p/8"}},
	} {
		if got := TilePaths(c.old, c.new); !slices.Equal(got, c.want) {
			t.Errorf("from %d to %d: %q, want %q", c.old, c.new, got, c.want)
		}
	}
	// Published one after the other, the sizes leave what a reader of any of them needs.
	have := map[string]bool{}
	sizes := []int64{0, 3, 256, 257, 300, 511, 512, 70_000, 70_001}
	for i := 1; i < len(sizes); i++ {
		for _, p := range TilePaths(sizes[i-1], sizes[i]) {
			have[p] = true
		}
		for _, p := range TilePaths(0, sizes[i]) {
			if _, err := transparency.ParseTilePath(p); err != nil {
				t.Error(err)
			}
			if !have[p] {
				t.Errorf("size %d: %s is missing", sizes[i], p)
			}
		}
	}
}
