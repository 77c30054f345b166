package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

const (
	hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	hexC = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// The leaves of schema/README.md, spelled out: whoever changes these bytes breaks every log.
const (
	setLeaf     = `{"domain":"example.org","kind":"change","op":"set","policy":{"mode":"enforce","mxs":["mx1.example.org"]},"reason":"promote.evidence","release":124}`
	setManyLeaf = `{"domain":"xn--bcher-kva.example","kind":"change","op":"set","policy":{"mode":"testing","mxs":[".mail.example.org","mx1.example.org"]},"reason":"add.owner","release":1}`
	delLeaf     = `{"domain":"gone.example","kind":"change","op":"del","reason":"remove.owner","release":124}`
	trustLeaf   = `{"kind":"trust","sha256":"` + hexA + `","version":4}`

	releaseHead    = `{"author":"The \"list\" <list@policylist.example>","changes":{"from":4712,"to":4790},"count":1003,"evidence":"` + hexB + `","expires":"2026-11-25T03:00:00Z","kind":"release","list":{"sha256":"` + hexA + `","size":90313},"origin":"policylist.example/list","override":"","previous":"` + hexC + `","release":124,`
	releaseTail    = `"source":"git:0123456789abcdef0123456789abcdef01234567","timestamp":"2026-11-11T03:00:00Z","trust":3}`
	releaseSigned  = `"signatures":[{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","signature":"c2lnbmF0dXJl"},{"key":"/////////////////////////////////////////zA=","signature":"b3RoZXI="}],`
	releaseLeaf    = releaseHead + releaseSigned + releaseTail
	releaseMessage = "policylist/release/v1\npolicylist.example/list\n" + releaseHead + releaseTail
	firstRelease   = `{"author":"","changes":{"from":0,"to":0},"count":0,"evidence":"","expires":"2026-11-25T03:00:00Z","kind":"release","list":{"sha256":"` + hexA + `","size":175},"origin":"policylist.example/list","override":"list.final","previous":"","release":1,"signatures":[{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","signature":"c2lnbmF0dXJl"}],"source":"renew","timestamp":"2026-11-11T03:00:00Z","trust":1}`
)

// again writes a parsed leaf.
func (l Leaf) again() ([]byte, error) {
	switch {
	case l.Change != nil:
		return l.Change.Append(nil), nil
	case l.Trust != nil:
		return l.Trust.Append(nil), nil
	}
	return l.Release.Bytes()
}

func TestLeavesHaveOneForm(t *testing.T) {
	for _, text := range []string{setLeaf, setManyLeaf, delLeaf, trustLeaf, releaseLeaf, firstRelease} {
		l, err := ParseLeaf([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if back, err := l.again(); err != nil || string(back) != text {
			t.Errorf("wrote\n%s\nfor\n%s, %v", back, text, err)
		}
	}
}

func digestOf(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

func TestReleaseLeafFields(t *testing.T) {
	evidence, previous := digestOf(0xbb), digestOf(0xcc)
	key := [32]byte{}
	for i := range key {
		key[i] = byte(i)
	}
	other := [32]byte(append(bytes.Repeat([]byte{0xff}, 31), 0x30))
	r := &ReleaseLeaf{
		Author: `The "list" <list@policylist.example>`, From: 4712, To: 4790, Count: 1003, Evidence: &evidence,
		Expires: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC), ListDigest: digestOf(0xaa), ListSize: 90313,
		Origin: "policylist.example/list", Previous: &previous, Release: 124,
		Signatures: []transparency.KeySignature{{Key: key, Signature: []byte("signature")}, {Key: other, Signature: []byte("other")}},
		Source:     "git:0123456789abcdef0123456789abcdef01234567",
		Timestamp:  time.Date(2026, 11, 11, 4, 0, 0, 0, time.FixedZone("CET", 3600)), Trust: 3,
	}
	if got, err := r.Bytes(); err != nil || string(got) != releaseLeaf {
		t.Errorf("got\n%s\nwant\n%s, %v", got, releaseLeaf, err)
	}
	if got, err := r.Message(); err != nil || string(got) != releaseMessage {
		t.Errorf("the release keys would sign\n%s\nnot\n%s, %v", got, releaseMessage, err)
	}
	l, err := ParseLeaf([]byte(releaseLeaf))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Release.Message(); err != nil || string(got) != releaseMessage {
		t.Errorf("the parsed leaf's message is\n%s, %v", got, err)
	}
	if l.Release.IsImport() || l.Release.IsFinal() {
		t.Error("neither an import nor the end")
	}
	for name, edit := range map[string]func(r *ReleaseLeaf){
		"author":   func(r *ReleaseLeaf) { r.Author = "Bücher" },
		"source":   func(r *ReleaseLeaf) { r.Source = "git:\n" },
		"long":     func(r *ReleaseLeaf) { r.Author = strings.Repeat("x", policy.MaxAuthorLen+1) },
		"origin":   func(r *ReleaseLeaf) { r.Origin = "a\x00b" },
		"override": func(r *ReleaseLeaf) { r.Override = strings.Repeat("x", maxCode+1) },
	} {
		bad := *r
		edit(&bad)
		if got, err := bad.Bytes(); err == nil {
			t.Errorf("%s: wrote %s", name, got)
		}
	}
}

// Each text has one flaw, which its name tells.
func TestMalformedLeaves(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   "",
		"null":                    "null",
		"another kind":            `{"kind":"note"}`,
		"white space before":      " " + setLeaf,
		"a newline after":         setLeaf + "\n",
		"two leaves":              setLeaf + delLeaf,
		"white space inside":      strings.Replace(setLeaf, `,"kind"`, `, "kind"`, 1),
		"keys out of order":       strings.Replace(delLeaf, `"kind":"change","op":"del"`, `"op":"del","kind":"change"`, 1),
		"an unknown key":          strings.Replace(delLeaf, `"reason"`, `"note":"","reason"`, 1),
		"a key twice":             strings.Replace(delLeaf, `"op":"del"`, `"op":"del","op":"del"`, 1),
		"capitals":                strings.Replace(setLeaf, "example.org", "Example.org", 1),
		"a final dot":             strings.Replace(setLeaf, `example.org",`, `example.org.",`, 1),
		"a U-label":               strings.Replace(setLeaf, `example.org`, `bücher.example`, 1),
		"mode none":               strings.Replace(setLeaf, "enforce", "none", 1),
		"no mxs":                  strings.Replace(setLeaf, `"mx1.example.org"`, ``, 1),
		"mxs out of order":        strings.Replace(setManyLeaf, `".mail.example.org","mx1.example.org"`, `"mx1.example.org",".mail.example.org"`, 1),
		"an mx twice":             strings.Replace(setLeaf, `"mx1.example.org"`, `"mx1.example.org","mx1.example.org"`, 1),
		"a star":                  strings.Replace(setLeaf, `"mx1.`, `"*.`, 1),
		"an op of no meaning":     strings.Replace(delLeaf, `"del"`, `"add"`, 1),
		"a del with a policy":     strings.Replace(setLeaf, `"set"`, `"del"`, 1),
		"a set without":           strings.Replace(delLeaf, `"del"`, `"set"`, 1),
		"no reason":               strings.Replace(delLeaf, "remove.owner", "", 1),
		"a reason in capitals":    strings.Replace(delLeaf, "remove.owner", "Remove", 1),
		"a long reason":           strings.Replace(delLeaf, "remove.owner", strings.Repeat("r", maxCode+1), 1),
		"a negative number":       strings.Replace(delLeaf, "124", "-1", 1),
		"a leading zero":          strings.Replace(delLeaf, "124", "0124", 1),
		"a float":                 strings.Replace(delLeaf, "124", "124.0", 1),
		"an exponent":             strings.Replace(delLeaf, "124", "1e2", 1),
		"2^53":                    strings.Replace(delLeaf, "124", "9007199254740992", 1),
		"no number":               strings.Replace(delLeaf, "124", "", 1),
		"digest in capitals":      strings.Replace(trustLeaf, "aa", "AA", 1),
		"digest too short":        strings.Replace(trustLeaf, "aa", "", 1),
		"digest too long":         strings.Replace(trustLeaf, "aa", "aaaa", 1),
		"no signatures":           strings.Replace(releaseLeaf, releaseSigned, `"signatures":[],`, 1),
		"a key of 33 bytes":       strings.Replace(releaseLeaf, "zA=", "zAA", 1),
		"a key of 31 bytes":       strings.Replace(releaseLeaf, "/zA=", "/w==", 1),
		"an empty signature":      strings.Replace(releaseLeaf, "b3RoZXI=", "", 1),
		"base64 without padding":  strings.Replace(releaseLeaf, "b3RoZXI=", "b3RoZXI", 1),
		"base64 with stray bits":  strings.Replace(releaseLeaf, "b3RoZXI=", "b3RoZXJ=", 1),
		"a time with an offset":   strings.Replace(releaseLeaf, "T03:00:00Z", "T03:00:00+00:00", 1),
		"a time with a fraction":  strings.Replace(releaseLeaf, "T03:00:00Z", "T03:00:00.0Z", 1),
		"the 31st of November":    strings.Replace(releaseLeaf, "2026-11-25", "2026-11-31", 1),
		"a slash escaped":         strings.Replace(releaseLeaf, "policylist.example/list", `policylist.example\/list`, 1),
		"an escape by number":     strings.Replace(releaseLeaf, `\"list\"`, `\u0022list\"`, 1),
		"too many signatures":     strings.Replace(releaseLeaf, releaseSigned, `"signatures":[`+strings.TrimSuffix(strings.Repeat(`{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","signature":"c2lnbmF0dXJl"},`, maxSignatures+1), ",")+`],`, 1),
		"an author with controls": strings.Replace(releaseLeaf, "The ", "The\t", 1),
		"longer than a leaf":      strings.Replace(delLeaf, "remove.owner", strings.Repeat("r", transparency.MaxEntryBytes), 1),
	} {
		if l, err := ParseLeaf([]byte(text)); !errors.Is(err, ErrLeaf) {
			t.Errorf("%s: got %+v, %v for\n%.300s", name, l, err, text)
		}
	}
}

// Every prefix of a leaf, and every leaf with one byte changed, is refused or another leaf in its one form.
func TestDamagedLeaves(t *testing.T) {
	for _, text := range []string{setManyLeaf, delLeaf, trustLeaf, releaseLeaf, firstRelease} {
		for i := range text {
			if l, err := ParseLeaf([]byte(text[:i])); err == nil {
				t.Fatalf("accepted the first %d bytes of %s as %+v", i, text, l)
			}
			for bit := range 8 {
				data := []byte(text)
				data[i] ^= 1 << bit
				checkLeaf(t, data)
			}
		}
	}
}

// checkLeaf checks that what ParseLeaf accepts is written as it was read.
func checkLeaf(t *testing.T, data []byte) {
	t.Helper()
	l, err := ParseLeaf(data)
	if err != nil {
		if !errors.Is(err, ErrLeaf) {
			t.Fatalf("%q: %v does not wrap ErrLeaf", data, err)
		}
		return
	}
	if back, err := l.again(); err != nil || !bytes.Equal(back, data) {
		t.Fatalf("read %q, wrote %q, %v", data, back, err)
	}
}

func FuzzParseLeaf(f *testing.F) {
	for _, text := range []string{setLeaf, setManyLeaf, delLeaf, trustLeaf, releaseLeaf, firstRelease, ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(checkLeaf)
}

// The fuzzer inserts up to three leaves, each a line, before a good release: whatever they are, nothing panics, the
// list changes by valid releases alone, and the good release is found.
func FuzzReplay(f *testing.F) {
	for _, text := range []string{setLeaf, delLeaf + "\n" + trustLeaf, releaseLeaf, setLeaf + "\n" + trustLeaf + "\n" + firstRelease, "\n\n"} {
		f.Add([]byte(text))
	}
	base := newWorld(f, 0)
	base.release(many(5, policy.Testing)...)
	f.Fuzz(func(t *testing.T, data []byte) {
		mine := *base
		mine.t = t
		w := mine.fork()
		replay := NewReplay(w.chain, nil)
		for _, leaf := range w.leaves {
			replay.Add(leaf)
		}
		before := replay.Last()
		lines := bytes.SplitN(data, []byte("\n"), 3)
		for _, line := range lines {
			w.add(line)
			if r := replay.Add(line); r != nil || replay.Last() != before {
				t.Fatalf("%q made a release without a key", line)
			}
		}
		start := len(w.leaves)
		want := w.release(set("x.example", policy.Enforce), del("d001.example"))
		var got *Release
		for _, leaf := range w.leaves[start:] {
			got = replay.Add(leaf)
		}
		alarms, _ := replay.Alarms()
		if got == nil || got.Leaf.ListDigest != want.Leaf.ListDigest || got.List.Len() != 5 {
			t.Fatalf("after %q the good release was not found: %v", data, alarms)
		}
		if len(alarms) != len(lines) {
			t.Fatalf("%d alarms for %d leaves without effect: %v", len(alarms), len(lines), fmt.Sprint(alarms))
		}
	})
}
