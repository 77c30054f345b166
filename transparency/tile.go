package transparency

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of a C2SP tlog-tiles tile: 256 hashes wide.
const TileHeight = 8

// TileWidth is the number of hashes in a full tile and of entries in a full bundle.
const TileWidth = 1 << TileHeight

// MaxTileBytes caps the download of one tile; MaxEntryBytes is the longest entry that a uint16 prefix can state,
// and MaxBundleBytes caps the download of one entry bundle.
const (
	MaxTileBytes   = TileWidth * tlog.HashSize
	MaxEntryBytes  = 65535
	MaxBundleBytes = TileWidth * (2 + MaxEntryBytes)
)

// TilePath returns the C2SP tlog-tiles path of t, "tile/<L>/<N>[.p/<W>]"; t.L = -1 names an entry bundle,
// "tile/entries/<N>[.p/<W>]". t.H must be TileHeight.
func TilePath(t tlog.Tile) string {
	// x/mod writes the height as the first element and "data" for entries; the rest is the same.
	rest := strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(t.H)+"/")
	if t.L == -1 {
		rest = "entries" + strings.TrimPrefix(rest, "data")
	}
	return "tile/" + rest
}

// ParseTilePath is the inverse of TilePath; it accepts canonical paths only.
func ParseTilePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return tlog.Tile{}, fmt.Errorf("%q is not a tile path", path)
	}
	if e, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + e
	} else if strings.HasPrefix(rest, "data/") {
		return tlog.Tile{}, fmt.Errorf("%q is not a tile path", path)
	}
	t, err := tlog.ParseTilePath("tile/" + strconv.Itoa(TileHeight) + "/" + rest)
	if err != nil || t.L > 63 || TilePath(t) != path {
		return tlog.Tile{}, fmt.Errorf("%q is not a tile path", path)
	}
	return t, nil
}

// AppendEntry appends one entry to a bundle: its length as big-endian uint16, then its bytes (C2SP tlog-tiles, "Log entries").
// An entry of more than MaxEntryBytes is refused.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntryBytes {
		return nil, fmt.Errorf("entry of %d bytes: the most is %d", len(entry), MaxEntryBytes)
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...), nil
}

// ErrBundle is what every malformed entry bundle wraps.
var ErrBundle = errors.New("malformed entry bundle")

// ParseBundle splits a bundle into exactly width entries, 1 to TileWidth. The entries alias data. Errors wrap ErrBundle.
func ParseBundle(data []byte, width int) ([][]byte, error) {
	entries := make([][]byte, 0, width)
	for off := 0; off < len(data); {
		if len(data)-off < 2 {
			return nil, fmt.Errorf("%w: half a length prefix at offset %d", ErrBundle, off)
		}
		n := int(binary.BigEndian.Uint16(data[off:]))
		off += 2
		if len(data)-off < n {
			return nil, fmt.Errorf("%w: entry %d says %d bytes at offset %d, %d are left", ErrBundle, len(entries), n, off, len(data)-off)
		}
		if len(entries) == width {
			return nil, fmt.Errorf("%w: more than %d entries", ErrBundle, width)
		}
		entries = append(entries, data[off:off+n:off+n])
		off += n
	}
	if len(entries) != width {
		return nil, fmt.Errorf("%w: %d entries where %d belong", ErrBundle, len(entries), width)
	}
	return entries, nil
}
