package mirror

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// Paths of a mirror. PointerPath is the one object that a client starts from.
const (
	PointerPath    = "policy.json.tlog-proof"
	CheckpointPath = "checkpoint"
	ListPath       = "policy.json"
	ListPGPPath    = "policy.json.asc"
	ListBundlePath = "policy.json.sigstore.json"
	// ListKeylessPath is not on every mirror, nor with every release.
	ListKeylessPath = "policy.json.keyless.sigstore.json"
)

// TrustPath names a trust version.
func TrustPath(version int64) string { return fmt.Sprintf("trust/%d", version) }

// BlobPath names a list by the digest of its identity bytes.
func BlobPath(digest [32]byte) string { return "list/" + hex.EncodeToString(digest[:]) + ".zst" }

// BlobPGPPath names the OpenPGP signature over a list.
func BlobPGPPath(digest [32]byte) string { return "list/" + hex.EncodeToString(digest[:]) + ".asc" }

// ReleasePath names a release's proof.
func ReleasePath(release int64) string { return fmt.Sprintf("release/%d.tlog-proof", release) }

// EvidencePath names merged evidence by the digest of its identity bytes.
func EvidencePath(digest [32]byte) string {
	return "evidence/" + hex.EncodeToString(digest[:]) + ".jsonl.zst"
}

// TilePaths lists the tiles and entry bundles that a tree of size new has and one of size old has not, entries
// last, each level in order.
func TilePaths(old, new int64) []string {
	var tiles, entries []string
	for _, t := range tlog.NewTiles(transparency.TileHeight, old, new) {
		tiles = append(tiles, transparency.TilePath(t))
		if t.L == 0 {
			t.L = -1
			entries = append(entries, transparency.TilePath(t))
		}
	}
	return append(tiles, entries...)
}

const (
	cachePointer   = "no-cache"
	cacheMutable   = "public, max-age=60"
	cacheImmutable = "public, max-age=31536000, immutable"
)

// NewObject gives data the headers that belong to its path: content types and cache headers are part of the format.
func NewObject(p string, data []byte) Object {
	o := Object{Path: p, Data: data, ContentType: contentType(p), CacheControl: cacheImmutable}
	switch {
	case p == PointerPath || p == CheckpointPath:
		o.CacheControl = cachePointer
	case p == ListPath, p == ListPGPPath, p == ListBundlePath, p == ListKeylessPath, p == "index.html", strings.HasPrefix(p, "site/"):
		o.CacheControl = cacheMutable
	}
	return o
}

// NewTile is NewObject for a tile or entry bundle. Full bundles also get their gzip form, which stores with headers
// send (C2SP tlog-tiles allows it): they are most of what a client fetches.
func NewTile(p string, data []byte) Object {
	o := NewObject(p, data)
	if isBundle(p) && !strings.Contains(p, ".p/") {
		o.Gzip = gzipBytes(data)
	}
	return o
}

// IsMutable reports whether the object at p may be replaced by a later release.
func IsMutable(p string) bool { return NewObject(p, nil).CacheControl != cacheImmutable }

func contentType(p string) string {
	switch {
	case strings.HasPrefix(p, "tile/"):
		return "application/octet-stream" // C2SP tlog-tiles
	case p == CheckpointPath, strings.HasPrefix(p, "trust/"), strings.HasSuffix(p, ".tlog-proof"):
		return "text/plain; charset=utf-8" // C2SP tlog-tiles for the checkpoint
	case strings.HasSuffix(p, ".sigstore.json"):
		return "application/vnd.dev.sigstore.bundle.v0.3+json"
	}
	switch path.Ext(p) {
	case ".json":
		return "application/json"
	case ".jsonl":
		return "application/jsonl"
	case ".xml":
		return "application/atom+xml" // RFC 4287; a site's feeds are the only ones
	case ".asc":
		return "application/pgp-signature" // RFC 3156
	case ".zst":
		return "application/zstd" // RFC 8878
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".csv":
		return "text/csv; charset=utf-8" // RFC 4180; ASCII is its default
	}
	return "application/octet-stream"
}
