package transparency_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// TestCheckpointLimits: what a stranger can add to a note, lines and bytes, ends where it is said to end.
func TestCheckpointLimits(t *testing.T) {
	log, root, w := newNoteKey(t, origin), newNoteKey(t, "root.a"), newWitness(t, "w.example")
	tr := newTrust(t, 1, 1, []noteKey{root}, log, fmt.Sprintf("witness w %s\nquorum w\n", w.vkey()))
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	signed, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 7, Hash: tlog.RecordHash([]byte("x"))}}, log.signer)
	if err != nil {
		t.Fatal(err)
	}
	wrong := w.cosign([]byte("another\n1\ntext\n\n"), at)
	_, wrong, _ = bytes.Cut(wrong, []byte("\n\n"))
	text, line, _ := strings.Cut(string(signed), "\n\n")
	signedTwice := text + "\n\n" + changedLine(line) + line
	for n, want := range map[int]bool{0: true, 1: true, 97: true, 98: false, 300: false} { // the log's lines and the good one are three
		msg := w.cosign(append([]byte(signedTwice), bytes.Repeat(wrong, n)...), at)
		if _, err := tr.OpenCheckpoint(msg); (err == nil) != want {
			t.Errorf("a good line behind %d wrong ones: %v", n, err)
		}
	}
	good := w.cosign(bytes.Clone(signed), at)
	for size, want := range map[int]bool{transparency.MaxCheckpointBytes: true, transparency.MaxCheckpointBytes + 1: false} {
		msg := append(bytes.Clone(good), "— stranger "...)
		// Base64 in groups of four: the name takes up the rest.
		rest := size - len(msg) - 1
		msg = append(msg[:len(msg)-1], strings.Repeat("x", rest%4)...)
		msg = append(append(append(msg, ' '), strings.Repeat("A", rest-rest%4)...), '\n')
		if _, err := tr.OpenCheckpoint(msg); len(msg) != size || (err == nil) != want {
			t.Errorf("%d bytes of %d: %v", len(msg), size, err)
		}
	}
}

// changedLine is a signature line that is wrong.
func changedLine(line string) string {
	at, other := len(line)-10, "A"
	if line[at] == 'A' {
		other = "B"
	}
	return line[:at] + other + line[at+1:]
}

// TestProofLimits: a proof that ends behind its leaf is refused, and so is a path longer than that of any tree.
func TestProofLimits(t *testing.T) {
	const head = "c2sp.org/tlog-proof@v1\nextra AAAA\n"
	hash := tlog.Hash{}.String() + "\n"
	for text, want := range map[string]bool{
		head + "\nx\n": false,
		head + "index 0\n" + strings.Repeat(hash, 63) + "\nx\n": true,
		head + "index 0\n" + strings.Repeat(hash, 64) + "\nx\n": false,
	} {
		if _, err := transparency.ParseProof([]byte(text)); (err == nil) != want || err != nil && !errors.Is(err, transparency.ErrProof) {
			t.Errorf("%.60q, %d lines: %v", text, strings.Count(text, "\n"), err)
		}
	}
}

// TestBundleHasItsWidth: whoever takes entries by their index finds all of them, or none.
func TestBundleHasItsWidth(t *testing.T) {
	var bundle []byte
	for range 3 {
		var err error
		if bundle, err = transparency.AppendEntry(bundle, []byte("entry")); err != nil {
			t.Fatal(err)
		}
	}
	for width, want := range map[int]bool{2: false, 3: true, 4: false, transparency.TileWidth: false} {
		entries, err := transparency.ParseBundle(bundle, width)
		if (err == nil) != want || (len(entries) > 0) != want || err != nil && !errors.Is(err, transparency.ErrBundle) {
			t.Errorf("3 entries where %d belong: %d, %v", width, len(entries), err)
		}
	}
}

// TestTrustIsAllOfItsText: a note whose signed text goes on behind an empty line is signed for something else than its beginning.
func TestTrustIsAllOfItsText(t *testing.T) {
	log, root := newNoteKey(t, origin), newNoteKey(t, "root.a")
	tr := newTrust(t, 1, 1, []noteKey{root}, log, "quorum none\n")
	for more, want := range map[string]bool{"": true, "\nand more\n": false} {
		msg, err := note.Sign(&note.Note{Text: tr.Text() + more}, root.signer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := transparency.ParseTrust(msg)
		if err == nil {
			err = got.VerifySelf()
		}
		if (err == nil) != want {
			t.Errorf("with %q behind it: %v", more, err)
		}
	}
}

// TestReleaseKeyHasOneEncoding: a bit string may count its bits otherwise, since the first byte of a point begins with zeros. Two
// encodings of one key would be two keys by their SHA-256, and count twice.
func TestReleaseKeyHasOneEncoding(t *testing.T) {
	k, _ := releaseKey(t)
	spki := k.SPKI()
	at := bytes.Index(spki, []byte{0x03, 0x42, 0x00, 0x04}) // BIT STRING of 66 bytes, no bits unused, an uncompressed point
	if at < 0 {
		t.Fatalf("%x", spki)
	}
	point := spki[at+3:]
	for unused := range 6 {
		other := append(bytes.Clone(spki[:at+2]), byte(unused))
		for i, b := range point {
			next := byte(0)
			if i+1 < len(point) {
				next = point[i+1]
			}
			other = append(other, b<<unused|byte(uint16(next)<<unused>>8))
		}
		if _, err := transparency.ParseReleaseKey(other); (err == nil) != (unused == 0) {
			t.Errorf("with %d unused bits, %s: %v", unused, base64.StdEncoding.EncodeToString(other), err)
		}
	}
}
