package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// someLeaf is a release leaf in its canonical form; nobody signed it.
const someLeaf = `{"author":"a","changes":{"from":0,"to":0},"count":0,"evidence":"","expires":"2026-12-09T00:00:00Z","kind":"release",` +
	`"list":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":0},"origin":"list.example","override":"",` +
	`"previous":"","release":1,"signatures":[{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","signature":"AAAA"}],"source":"renew",` +
	`"timestamp":"2026-11-25T00:00:00Z","trust":1}`

func someCursor() *cursor {
	return &cursor{Checkpoint: "note", Leaf: someLeaf, rng: transparency.CompactRange{}.Append(tlog.RecordHash([]byte(someLeaf)))}
}

// A state that is cut short, or has one bit flipped anywhere, is damaged, never another state.
func TestCursorDamage(t *testing.T) {
	data := someCursor().format()
	if c, err := parseCursor(data); err != nil || c.release.Release != 1 || c.rng.Size() != 1 {
		t.Fatalf("%v: %+v", err, c)
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		for _, bad := range [][]byte{data[:i], flipped} {
			if _, err := parseCursor(bad); !errors.Is(err, ErrCursor) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

// FuzzParseCursor gives the parser what has a good checksum, too.
func FuzzParseCursor(f *testing.F) {
	data := someCursor().format()
	f.Add(data)
	_, body, _ := bytes.Cut(data, []byte("\n"))
	f.Add(body)
	f.Add([]byte(`{"size":-1,"range":["AAAA"],"leaf":"{}"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, data := range [][]byte{body, fmt.Appendf(nil, "%s%x\n%s", cursorHeader, sha256.Sum256(body), body)} {
			c, err := parseCursor(data)
			if err != nil {
				if !errors.Is(err, ErrCursor) {
					t.Errorf("an error without a sentinel: %v", err)
				}
				continue
			}
			again, err := parseCursor(c.format())
			if err != nil || !bytes.Equal(again.format(), c.format()) {
				t.Errorf("it does not format to itself: %v", err)
			}
		}
	})
}
