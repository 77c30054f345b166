package transparency_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// fixedKey is the same in every process: the workers of a fuzzing run must agree with it on what is signed.
func fixedKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("key of " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func fixedNoteKey(f *testing.F, name string) noteKey {
	f.Helper()
	key := fixedKey(name)
	typed := append([]byte{1}, key.Public().(ed25519.PublicKey)...)
	hash := sha256.Sum256(append([]byte(name+"\n"), typed...))
	secret := fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, hash[:4], base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	signer, err := note.NewSigner(secret)
	if err != nil {
		f.Fatal(err)
	}
	return noteKey{fmt.Sprintf("%s+%x+%s", name, hash[:4], base64.StdEncoding.EncodeToString(typed)), signer}
}

// FuzzOpenCheckpoint gives signed notes: what is accepted is kept in a form that is accepted again, with the same tree,
// quorum time and witnesses; and nobody without the key gets another tree accepted.
func FuzzOpenCheckpoint(f *testing.F) {
	log, root := fixedNoteKey(f, origin), fixedNoteKey(f, "root.a")
	w1, w2 := witnessKey{"w1.example", fixedKey("w1")}, witnessKey{"w2.example", fixedKey("w2")}
	tr := newTrust(f, 1, 1, []noteKey{root}, log, fmt.Sprintf("witness w1 %s\nwitness w2 %s\ngroup g any w1 w2\nquorum g\n", w1.vkey(), w2.vkey()))
	tree := tlog.Tree{N: 7, Hash: tlog.RecordHash([]byte("x"))}
	signed, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: origin, Tree: tree}, log.signer)
	if err != nil {
		f.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	one := w1.cosign(bytes.Clone(signed), at)
	both := w2.cosign(bytes.Clone(one), at.Add(time.Hour))
	if _, err := tr.OpenCheckpoint(one); err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{signed, one, both, w1.cosign(bytes.Clone(both), at), []byte("x\n\n— ")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := tr.OpenCheckpoint(msg)
		if err != nil {
			return
		}
		if c.Tree != tree {
			t.Errorf("a tree that nobody signed: %+v", c.Tree)
		}
		again, err := tr.OpenCheckpoint(c.Note)
		if err != nil || again.Checkpoint != c.Checkpoint || !again.QuorumTime.Equal(c.QuorumTime) || len(again.Witnesses) != len(c.Witnesses) || !bytes.Equal(again.Note, c.Note) {
			t.Errorf("what is kept of %q is %q: %v", msg, c.Note, err)
		}
	})
}

// FuzzParseWitnessPolicy: a policy has one form; and for any set of cosignatures a quorum time is one of their times, and no
// later when a cosignature is missing.
func FuzzParseWitnessPolicy(f *testing.F) {
	w1, w2 := witnessKey{"w1.example", fixedKey("w1")}, witnessKey{"w2.example", fixedKey("w2")}
	f.Add("quorum none\n", uint8(0))
	f.Add(fmt.Sprintf("witness w1 %s\nquorum w1\n", w1.vkey()), uint8(1))
	f.Add(fmt.Sprintf("witness w1 %s https://w1.example/\nwitness w2 %s\ngroup g 2 w1 w2\nquorum g\n", w1.vkey(), w2.vkey()), uint8(3))
	f.Add(fmt.Sprintf("witness w1 %s\nwitness w2 %s\ngroup g any w1\ngroup h all g w2\nquorum h\n", w1.vkey(), w2.vkey()), uint8(2))
	f.Fuzz(func(t *testing.T, text string, present uint8) {
		p, err := transparency.ParseWitnessPolicy(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Errorf("accepted a policy that formats differently: %q", text)
		}
		cosigned := map[string]time.Time{}
		for i, w := range p.Witnesses() {
			if present>>(i%8)&1 == 1 {
				cosigned[w.Name] = time.Unix(int64(1000+i), 0)
			}
		}
		at, ok := p.QuorumTime(cosigned)
		if !ok || p.IsNone() {
			return
		}
		found := false
		for name, x := range cosigned {
			found = found || x.Equal(at)
			fewer := map[string]time.Time{}
			for n, y := range cosigned {
				if n != name {
					fewer[n] = y
				}
			}
			if less, ok := p.QuorumTime(fewer); ok && less.After(at) {
				t.Errorf("without %s the quorum of %q is later", name, text)
			}
		}
		if !found {
			t.Errorf("the quorum time %s is nobody's", at)
		}
	})
}

func FuzzParseTilePath(f *testing.F) {
	for _, seed := range []string{"tile/0/000", "tile/3/x001/234.p/5", "tile/entries/000.p/1", "tile/data/000", "tile/64/000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := transparency.ParseTilePath(path); err == nil && transparency.TilePath(tile) != path {
			t.Errorf("accepted a path that formats differently: %q", path)
		}
	})
}

func FuzzParseReleaseKey(f *testing.F) {
	der, err := x509.MarshalPKIXPublicKey(fixedKey("release").Public())
	if err != nil {
		f.Fatal(err)
	}
	ec, _ := releaseKey(f)
	f.Add(der)
	f.Add(ec.SPKI())
	f.Fuzz(func(t *testing.T, spki []byte) {
		k, err := transparency.ParseReleaseKey(spki)
		if err != nil {
			return
		}
		if !bytes.Equal(k.SPKI(), spki) || k.ID() != sha256.Sum256(spki) {
			t.Errorf("a key that is not its bytes: %x", spki)
		}
		if k.Verify([]byte("message"), spki) {
			t.Error("a key is no signature")
		}
	})
}
