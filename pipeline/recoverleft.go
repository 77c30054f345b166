package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// maxLeft is how many left-over objects of a mirror are named.
const maxLeft = 10

// findLeft names tiles that a publisher uploaded for a release that was never signed and that cannot be taken along, since
// its entries are not there. They are no history, nobody refers to them; but they are of the same names as the next
// release's tiles, hold other bytes, and so would stop every release to come. Only the operator may delete from a mirror.
func (r *recovery) findLeft(ctx context.Context) error {
	if r.out.Earlier {
		return nil
	}
	size := r.log.Tree().N
	for i := range r.out.Mirrors {
		m := &r.out.Mirrors[i]
		lister, ok := m.reader.(mirror.Lister)
		if !ok || !m.Configured || m.Verdict == MirrorWithout || m.Verdict == MirrorEarlier { // whose tiles are another log's
			continue
		}
		var left []string
		for path, err := range lister.List(ctx, "tile/") {
			if err != nil {
				return fmt.Errorf("mirror %s: %w: %w", m.Name, ErrUnjudged, err)
			}
			if beyond(path, size) && len(left) <= maxLeft {
				left = append(left, path)
			}
		}
		if len(left) == 0 {
			continue
		}
		more := ""
		if len(left) > maxLeft {
			left, more = left[:maxLeft], " and more"
		}
		r.out.Warnings = append(r.out.Warnings, fmt.Sprintf("mirror %s holds what is left of a release that was never signed: %s%s; "+
			"delete this before the next release, which could not write there otherwise", m.Name, strings.Join(left, ", "), more))
	}
	return nil
}

// beyond reports whether a tile or bundle holds anything behind a log of so many entries.
func beyond(path string, size int64) bool {
	t, err := transparency.ParseTilePath(path)
	if err != nil {
		return false
	}
	shift := 0
	if t.L > 0 {
		shift = t.L * transparency.TileHeight
	}
	if shift > 40 || t.N > 1<<40>>shift {
		return true
	}
	return (t.N*transparency.TileWidth+int64(t.W))<<shift > size
}
